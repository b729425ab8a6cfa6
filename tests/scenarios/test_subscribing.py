"""The rules of subscribing, and what becomes of two who change one subscription at once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from doctor.flows.subscription import EndpointWish, SubscriptionLimits
from doctor.model.errors import Reason, RejectedError
from doctor.model.identity import Identity, Role
from doctor.model.subscription import SubscribeFilter, TellingPolicy
from doctor.testing.scenario import RunningFlows, Scenario, host_down
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import small_nfvi

RED = Identity(name="red", role=Role.CONSUMER, project="red")
BLUE = Identity(name="blue", role=Role.CONSUMER, project="blue")
ADMIN = Identity(name="admin", role=Role.ADMIN)
NOBODY = Identity(name="nobody", role=Role.CONSUMER)

Act = Callable[[RunningFlows], Awaitable[object]]


def during(story: Scenario, act: Act) -> None:
    """Let a story run in which this happens at 1.0."""

    async def at_1() -> None:
        await act(story.doctor)

    story.note(1.0, at_1)
    story.run()


def wishes(*urls: str, form: str = "doctor", secret: str | None = None) -> list[EndpointWish]:
    return [EndpointWish(url, form, secret) for url in urls]


def refused(act: Act, story: Scenario | None = None) -> RejectedError:
    """Return with what something was rejected."""
    errors: list[RejectedError] = []

    async def trying(doctor: RunningFlows) -> None:
        with pytest.raises(RejectedError) as failed:
            await act(doctor)
        errors.append(failed.value)

    during(story or Scenario(small_nfvi()), trying)
    return errors[0]


async def create(doctor: RunningFlows, identity: Identity = RED, *urls: str, form: str = "doctor") -> str:
    created, _ = await doctor.subscriptions.create(
        identity, SubscribeFilter(), wishes(*urls, form=form), resource_ids=[]
    )
    return created.subscription_id


def test_an_endpoint_that_does_not_answer_its_test_is_told_to_the_subscriber() -> None:
    """[design 5] A warning, no sequence used, and nobody is told anything by the test."""
    story = Scenario(small_nfvi())
    remarks: list[str | None] = []

    async def act(doctor: RunningFlows) -> None:
        created, probed = await doctor.subscriptions.create(
            RED, SubscribeFilter(), wishes("http://a"), resource_ids=[]
        )
        remarks.extend(one.remark for one in probed)
        story.channel.absent(created.endpoints[0].endpoint_id)
        remarks.extend(one.remark for one in await doctor.subscriptions.probe(created))
        assert doctor.situation.last_sequence(created.subscription_id) == 0

    during(story, act)
    assert remarks == [None, "connection refused"]
    assert story.channel.attempts == []


@pytest.mark.parametrize(
    ("urls", "form", "pointers"),
    [
        pytest.param(("http://a", "http://a"), "doctor", ["/endpoints/1/url"], id="twice"),
        pytest.param(("http://a", "http://bad"), "doctor", ["/endpoints/1/url"], id="forbidden"),
        pytest.param(("http://a",), "morse", ["/endpoints/0/url"], id="unknown-format"),
        pytest.param(
            ("http://bad", "http://a", "http://bad"),
            "doctor",
            ["/endpoints/0/url", "/endpoints/2/url"],
            id="several",
        ),
    ],
)
def test_endpoints_that_cannot_be_used_are_refused_by_their_place(
    urls: tuple[str, ...], form: str, pointers: list[str]
) -> None:
    """[design 5] And nothing is half done."""
    story = Scenario(small_nfvi())
    story.channel.forbid("http://bad")
    error = refused(lambda doctor: create(doctor, RED, *urls, form=form), story)
    assert [flaw.pointer for flaw in error.flaws] == pointers
    assert story.channel.probed == []


def test_a_project_has_so_many_subscriptions_at_most() -> None:
    """[bad input] Another project's do not count."""

    async def act(doctor: RunningFlows) -> None:
        doctor.subscriptions.limits = SubscriptionLimits(per_project=2)
        for identity in (RED, RED, BLUE, BLUE, RED):
            await create(doctor, identity)

    error = refused(act)
    assert error.reason is Reason.TOO_MANY


@pytest.mark.requirement("B20")
def test_somebody_elses_subscription_is_as_none() -> None:
    """[design 5] 404 for both, indistinguishable; the Administrator sees all."""
    details: list[tuple[str, Reason]] = []

    async def act(doctor: RunningFlows) -> None:
        mine = await create(doctor)
        for identity, name in ((BLUE, mine), (RED, "unheard-of"), (NOBODY, mine)):
            with pytest.raises(RejectedError) as failed:
                doctor.subscriptions.get(identity, name)
            details.append((failed.value.detail, failed.value.reason))
            with pytest.raises(RejectedError):
                await doctor.subscriptions.delete(identity, name)
        assert doctor.subscriptions.get(ADMIN, mine).project == "red"
        assert [one.subscription_id for one in doctor.subscriptions.all(RED)] == [mine]
        assert [one.subscription_id for one in doctor.subscriptions.all(ADMIN)] == [mine]
        assert doctor.subscriptions.all(BLUE) == doctor.subscriptions.all(NOBODY) == []

    during(Scenario(small_nfvi()), act)
    assert set(details) == {("there is no such subscription", Reason.NOT_FOUND)}


def test_a_secret_stays_until_another_is_given() -> None:
    """[design 5] It is never shown, so it need not be sent again."""
    secrets: list[str | None] = []

    async def act(doctor: RunningFlows) -> None:
        flows = doctor.subscriptions
        one, _ = await flows.create(
            RED,
            SubscribeFilter(),
            wishes("http://a", secret="whsec_MQ=="),
            resource_ids=[],
        )
        for secret in (None, "whsec_Mg==", None):
            changed = await flows.update(
                RED,
                one.subscription_id,
                asked=None,
                wishes=wishes("http://a", secret=secret),
                resource_ids=[],
            )
            secrets.append(changed.endpoints[0].secret)

    during(Scenario(small_nfvi()), act)
    assert secrets == ["whsec_MQ==", "whsec_Mg==", "whsec_Mg=="]


@pytest.mark.requirement("D29")
def test_what_is_not_given_stays_as_it_was() -> None:
    """[design 5] ``PATCH``."""

    async def act(doctor: RunningFlows) -> None:
        name = await create(doctor, RED, "http://a")
        before = doctor.subscriptions.get(RED, name)
        after = await doctor.subscriptions.update(
            RED, name, asked=None, wishes=None, resource_ids=[], policy=TellingPolicy(clear=False)
        )
        assert (after.filter, after.endpoints, after.clear, after.change) == (
            before.filter,
            before.endpoints,
            False,
            True,
        )
        assert doctor.subscriptions.get(RED, name) is after

    during(Scenario(small_nfvi()), act)


@pytest.mark.requirement("B20")
def test_the_administrator_may_ask_for_any_machine_and_a_consumer_only_for_its_own() -> None:
    """[D 3.3.4]"""

    async def act(doctor: RunningFlows) -> None:
        for identity, names in ((ADMIN, ["vm-1", "vm-3"]), (RED, ["vm-1", "vm-3", "vm-9"])):
            await doctor.subscriptions.create(identity, SubscribeFilter(), [], resource_ids=names)

    error = refused(act)
    assert [flaw.pointer for flaw in error.flaws] == [
        "/subscribe_filter/virtual_resource_id/1",
        "/subscribe_filter/virtual_resource_id/2",
    ]


def test_what_was_deleted_stays_deleted() -> None:
    """A change that was under way at the same time does not bring it back, and says so."""
    story = Scenario(small_nfvi(), store=FallibleStore(seconds=0.05))
    outcomes: list[object] = []

    async def act(doctor: RunningFlows) -> None:
        name = await create(doctor, RED, "http://a")
        changing = doctor.subscriptions.update(
            RED, name, asked=None, wishes=wishes("http://b"), resource_ids=[]
        )
        outcomes.extend(
            await asyncio.gather(doctor.subscriptions.delete(RED, name), changing, return_exceptions=True)
        )
        outcomes.append(len(doctor.situation.subscriptions))

    story.at(2.0).push(host_down("compute-1"))
    during(story, act)
    deleted, changed, left = outcomes
    assert deleted is None
    assert isinstance(changed, RejectedError)
    assert left == 0
    assert story.channel.attempts == []
