"""Whether a host could be cut off, judged from what its devices answer on a quiet day."""

from datetime import UTC, datetime

import pytest

from doctor.fencing.readiness import HostCheck, Readiness, StepCheck, judge_host, judge_step, unchecked
from doctor.model.fence_plan import DeviceFacts, FencePlan, Level, Rule, Step
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

NOW = datetime(2026, 3, 4, tzinfo=UTC)
ON, OFF = Seen(Supply.ON, NOW), Seen(Supply.OFF, NOW)
BMC = DeviceFacts("ipmi", Cut.POWER, Vantage.OUT_OF_BAND, partial=False)
PDU = DeviceFacts("snmp_pdu", Cut.POWER, Vantage.OUT_OF_BAND, partial=True)
PERSON = DeviceFacts("manual", Cut.POWER, Vantage.HUMAN, partial=False)
NONE = Unknown(Doubt.NOT_OFFERED, "it cannot tell")
DEAF = Unknown(Doubt.LATE, "it does not answer")


@pytest.mark.parametrize(
    ("wanted", "facts", "identity", "reading", "is_up", "doubt"),
    [
        pytest.param("X-1", BMC, Identified(("x1",)), ON, True, None, id="the-right-one"),
        pytest.param(None, BMC, Identified(("x1",)), ON, True, None, id="nobody-said-which"),
        pytest.param(None, PDU, NONE, ON, True, None, id="it-cannot-tell-which"),
        pytest.param("x1", BMC, Identified(("x2",)), ON, True, Doubt.WRONG_MACHINE, id="another-one"),
        pytest.param("x1", PDU, NONE, ON, True, Doubt.NOT_OFFERED, id="it-should-tell-and-cannot"),
        pytest.param(None, BMC, DEAF, ON, True, Doubt.LATE, id="half-deaf"),
        pytest.param(None, BMC, Identified(("x1",)), DEAF, True, Doubt.LATE, id="deaf"),
        pytest.param(
            None, BMC, NONE, Unknown(Doubt.LOGIN, "it lets nobody in"), True, Doubt.LOGIN, id="locked"
        ),
        pytest.param("x1", BMC, Identified(("x1",)), OFF, True, Doubt.WRONG_MACHINE, id="off-though-it-runs"),
        pytest.param("x1", BMC, Identified(("x1",)), OFF, False, None, id="off-and-known-to-be-down"),
        pytest.param(None, PERSON, NONE, Unknown(Doubt.UNCONFIRMED, ""), True, None, id="a-person"),
    ],
)
def test_a_device_would_do_or_not(
    wanted: str | None,
    facts: DeviceFacts,
    identity: Identity,
    reading: Reading,
    is_up: bool,
    doubt: Doubt | None,
) -> None:
    check = judge_step(Step("device", "", wanted), facts, identity, reading, is_up=is_up, took_ms=7)
    assert check.doubt is doubt
    assert check.works is (doubt is None)
    assert bool(check.detail) is (doubt is not None)
    assert (check.took_ms, check.kind) == (7, facts.kind)


def test_what_could_be_better_is_remarked() -> None:
    """A device without an identity may be behind another machine one day."""
    check = judge_step(Step("bmc"), BMC, Identified(("guid-7",)), ON, is_up=True)
    assert check.works
    assert "guid-7" in check.remark
    assert check.names == ("guid-7",)
    assert check.supply is Supply.ON


DEVICES = {"bmc": BMC, "pdu-a": PDU, "pdu-b": PDU, "person": PERSON}
BMC_STEP, A, B, MAN = Step("bmc"), Step("pdu-a", "1"), Step("pdu-b", "2"), Step("person", "compute-1")


def host(*levels: tuple[Rule, tuple[Step, ...]], broken: tuple[Step, ...] = (), feeds: int = 0) -> HostCheck:
    steps = {step for _, steps in levels for step in steps}
    checks = {
        step: StepCheck(
            device=step.device,
            plug=step.plug,
            kind=DEVICES[step.device].kind,
            doubt=Doubt.LATE if step in broken else None,
            detail="it does not answer" if step in broken else "",
        )
        for step in steps
    }
    plan = FencePlan("compute-1", tuple(Level(*level) for level in levels))
    return judge_host(plan, checks, DEVICES, feeds=feeds, now=NOW)


ALL, ANY = Rule.ALL_OF, Rule.ANY_OF


@pytest.mark.parametrize(
    ("levels", "broken", "feeds", "readiness"),
    [
        pytest.param(((ALL, (BMC_STEP,)),), (), 0, Readiness.READY, id="one-that-works"),
        pytest.param(((ALL, (BMC_STEP,)),), (BMC_STEP,), 0, Readiness.UNREADY, id="one-that-does-not"),
        pytest.param(
            ((ALL, (BMC_STEP,)), (ALL, (A, B))), (A,), 2, Readiness.DEGRADED, id="the-second-is-half"
        ),
        pytest.param(
            ((ALL, (BMC_STEP,)), (ALL, (A, B))), (BMC_STEP, B), 2, Readiness.UNREADY, id="half-is-none"
        ),
        pytest.param(((ANY, (BMC_STEP, A)),), (A,), 1, Readiness.DEGRADED, id="either-will-do"),
        pytest.param(((ALL, (MAN,)),), (), 0, Readiness.MANUAL, id="a-person-alone"),
        pytest.param(
            ((ALL, (BMC_STEP,)), (ALL, (MAN,))), (BMC_STEP,), 0, Readiness.UNREADY, id="a-person-left"
        ),
        pytest.param(((ALL, (BMC_STEP,)), (ALL, (MAN,))), (), 0, Readiness.READY, id="and-a-person-at-last"),
        pytest.param(((ALL, (A,)),), (), 2, Readiness.UNREADY, id="one-feed-of-two"),
        pytest.param(((ALL, (A, B)),), (), 2, Readiness.READY, id="both-feeds"),
        pytest.param(((ALL, (BMC_STEP,)),), (), 2, Readiness.READY, id="a-bmc-cuts-all-feeds"),
    ],
)
def test_a_host_could_be_cut_off_or_not(
    levels: tuple[tuple[Rule, tuple[Step, ...]], ...],
    broken: tuple[Step, ...],
    feeds: int,
    readiness: Readiness,
) -> None:
    found = host(*levels, broken=broken, feeds=feeds)
    assert found.readiness is readiness
    assert bool(found.reason) is (bool(broken) or readiness is Readiness.UNREADY)


def test_the_reason_names_each_device_once() -> None:
    found = host((ALL, (BMC_STEP,)), (ANY, (BMC_STEP, A)), broken=(BMC_STEP, A))
    assert found.reason == "bmc: it does not answer; pdu-a 1: it does not answer"


def test_before_the_first_check_nothing_is_known() -> None:
    found = unchecked(FencePlan("compute-1", ()))
    assert (found.readiness, found.checked, found.levels) == (Readiness.UNCHECKED, None, ())
