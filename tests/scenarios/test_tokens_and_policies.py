"""Tokens and failure policies: kept first, in force at once, and neither half of a wrong one."""

from datetime import timedelta
from pathlib import Path

import pytest

from doctor.flows.policy import SHIPPED, PolicyFlow
from doctor.flows.tokens import TokenFlow, fingerprint
from doctor.inspector.catalogue import default_catalogue
from doctor.model.errors import Reason, RejectedError, StoreError
from doctor.model.identity import Role
from doctor.testing.clock import START, ManualClock
from doctor.testing.scenario import RunningFlows, Scenario, host_down
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import small_nfvi

IN_AN_HOUR = START + timedelta(hours=1)


def flows(store: FallibleStore | None = None) -> tuple[RunningFlows, ManualClock]:
    """Return the flows of a Doctor that was loaded, and a clock."""
    story = Scenario(small_nfvi(), store=store or FallibleStore())
    doctor = RunningFlows(story.store, story.channel, story.clock, story.resources, story.selector)
    return doctor, ManualClock()


# --- tokens ---


async def test_a_token_says_whose_it_is_until_it_expires() -> None:
    doctor, clock = flows()
    await doctor.situation.load()
    tokens = TokenFlow(doctor.situation, clock)
    token, secret = await tokens.create(Role.CONSUMER, project="red", name="vnfm", expires=IN_AN_HOUR)
    identity = tokens.identify(secret)
    assert identity is not None
    assert (identity.name, identity.role, identity.scope) == ("vnfm", Role.CONSUMER, "red")
    assert token.sha256 == fingerprint(secret) != secret
    assert tokens.identify(f"{secret}x") is None
    clock.advance(3599)
    assert tokens.identify(secret)
    clock.advance(1)
    assert tokens.identify(secret) is None


async def test_a_token_without_a_name_is_called_by_its_id() -> None:
    doctor, clock = flows()
    await doctor.situation.load()
    tokens = TokenFlow(doctor.situation, clock)
    token, secret = await tokens.create(Role.ADMIN, project=None, name="", expires=None)
    identity = tokens.identify(secret)
    assert identity is not None
    assert identity.name == token.token_id


@pytest.mark.parametrize(
    ("role", "project", "seconds", "pointer"),
    [
        pytest.param(Role.CONSUMER, None, None, "/project", id="consumer-without-a-project"),
        pytest.param(Role.CONSUMER, "", None, "/project", id="consumer-with-an-empty-project"),
        pytest.param(Role.ADMIN, "red", None, "/project", id="admin-with-a-project"),
        pytest.param(Role.ADMIN, None, 0, "/expires", id="expired"),
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(
    role: Role, project: str | None, seconds: int | None, pointer: str
) -> None:
    doctor, clock = flows()
    await doctor.situation.load()
    tokens = TokenFlow(doctor.situation, clock)
    expires = None if seconds is None else START + timedelta(seconds=seconds)
    with pytest.raises(RejectedError) as refused:
        await tokens.create(role, project=project, name="x", expires=expires)
    assert [flaw.pointer for flaw in refused.value.flaws] == [pointer]
    assert tokens.all() == []


async def test_a_revoked_token_is_worthless_at_once_and_after_a_restart() -> None:
    store = FallibleStore()
    doctor, clock = flows(store)
    await doctor.situation.load()
    tokens = TokenFlow(doctor.situation, clock)
    first, secret = await tokens.create(Role.ADMIN, project=None, name="a", expires=None)
    clock.advance(1)
    second, other = await tokens.create(Role.MONITOR, project=None, name="b", expires=None)
    assert tokens.all() == [first, second]
    await tokens.revoke(first.token_id)
    assert tokens.identify(secret) is None
    with pytest.raises(RejectedError) as refused:
        await tokens.revoke(first.token_id)
    assert refused.value.reason is Reason.NOT_FOUND
    again, _ = flows(store)
    await again.situation.load()
    assert TokenFlow(again.situation, clock).identify(secret) is None
    assert TokenFlow(again.situation, clock).identify(other)


async def test_a_token_that_was_not_kept_is_none() -> None:
    """[I-29]"""
    store = FallibleStore()
    doctor, clock = flows(store)
    await doctor.situation.load()
    tokens = TokenFlow(doctor.situation, clock)
    store.breaks = 1
    with pytest.raises(StoreError):
        await tokens.create(Role.ADMIN, project=None, name="a", expires=None, secret="known")
    assert tokens.identify("known") is None
    await tokens.create(Role.ADMIN, project=None, name="a", expires=None, secret="known")
    assert tokens.identify("known")


# --- policies ---

NOTHING_ON_COMPUTE_1 = """
version: 1
faults: [{name: host-down, when: {type: compute.host.down}}]
ignore: [{name: laboratory, when: {type: compute.host.down, resource: compute-1}}]
propagate: [{from: host, kind: hosts, to_state: error}]
"""
BROKEN = "version: 1\nfaults: [{name: host-down, when: {type: compute.host.down}, severity: awful}]\n"


@pytest.mark.requirement("A7", "B7")
def test_a_policy_holds_for_the_very_next_event() -> None:
    """[design 4] Changed at run time."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).apply_policy(NOTHING_ON_COMPUTE_1)
    story.at(1.0).push(host_down("compute-1"), host_down("compute-2"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-2 is error")
    story.play()


def test_a_broken_policy_is_refused_and_the_running_one_stays() -> None:
    """[bad input] With the place that is wrong."""
    story = Scenario(small_nfvi())
    errors: list[Exception] = []
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).apply_policy(BROKEN, refused=errors)
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    story.play()
    (error,) = errors
    assert isinstance(error, RejectedError)
    assert [flaw.pointer for flaw in error.flaws] == ["/faults/0/severity"]


def test_a_policy_that_was_not_kept_is_not_in_force() -> None:
    """[I-29]"""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store)
    errors: list[Exception] = []
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).do(lambda: setattr(store, "breaks", 1))
    story.at(1.0).apply_policy(NOTHING_ON_COMPUTE_1, refused=errors)
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    story.play()
    assert [type(error) for error in errors] == [StoreError]


async def test_the_policy_that_was_applied_last_is_in_force_after_a_restart(tmp_path: Path) -> None:
    """[design 6] The file of the settings is for the first start only."""
    file = tmp_path / "policy.yaml"
    file.write_text(NOTHING_ON_COMPUTE_1)
    store = FallibleStore()
    doctor, clock = flows(store)
    policies = PolicyFlow(default_catalogue(), clock)
    await doctor.situation.load()
    assert policies.current(doctor.situation).user == SHIPPED
    await policies.start(doctor.situation, None)
    assert policies.current(doctor.situation).version == 0
    await policies.start(doctor.situation, file)
    assert policies.current(doctor.situation).version == 1
    file.unlink()
    again, _ = flows(store)
    await again.situation.load()
    await policies.start(again.situation, file)
    assert policies.current(again.situation).text == NOTHING_ON_COMPUTE_1
    assert again.situation.selector.policy.ignore[0].name == "laboratory"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"\xff", "codec can't decode", id="no-text"),
        pytest.param(BROKEN.encode(), "has one flaw", id="broken"),
    ],
)
async def test_a_policy_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    """[bad input] With its path."""
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_bytes(content)
    doctor, clock = flows()
    await doctor.situation.load()
    with pytest.raises(RejectedError, match=complaint) as refused:
        await PolicyFlow(default_catalogue(), clock).start(doctor.situation, file)
    assert str(file) in refused.value.detail
