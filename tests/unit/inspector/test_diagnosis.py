"""From a verdict to the fault: what the event says, what the rule says, what the map knows."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.inspector import diagnosis
from doctor.inspector.selection import Raise
from doctor.model.event import RawEvent
from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.policy import Condition, FaultRule, RecommendedAction, ResourceSource
from doctor.model.resource import PhysicalResource

SEEN = datetime(2026, 3, 4, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 0, 0, 1, tzinfo=UTC)

RULE = FaultRule(
    name="hot",
    when=Condition(type=("t",)),
    clear_when=(),
    resource=ResourceSource(),
    fault_type="too hot",
    severity=Severity.MAJOR,
    state=ResourceState.ERROR,
    event_type=EventType.ENVIRONMENTAL,
    probable_cause="temperature unacceptable",
    recommended_action=RecommendedAction.NONE,
)
EVENT = RawEvent(time=SEEN, type="t", resource="c-1", raw_details=b'{"celsius": 90}')
HOST = PhysicalResource(id="compute-1", type="host")


def fault(verdict: Raise | None = None, event: RawEvent = EVENT, **said: Any) -> Fault:
    found = said.pop("found", HOST)
    chosen = verdict or Raise(RULE, Severity.MINOR, "c-1")
    return diagnosis.fault_of(
        chosen, event, "compute-1", found, fault_key="key", raised_by="event", now=NOW, **said
    )


def test_a_fault_has_what_the_rule_says_and_the_severity_of_the_verdict() -> None:
    made = fault()
    assert (made.fault_type, made.rule, made.severity, made.state) == (
        "too hot",
        "hot",
        Severity.MINOR,
        ResourceState.ERROR,
    )
    assert (made.event_time, made.raised_time, made.raised_by) == (SEEN, NOW, "event")
    assert not made.is_derived


@pytest.mark.parametrize(
    ("found", "said", "ruled", "wanted"),
    [
        pytest.param(HOST, "chassis", "switch", "host", id="the-map-knows-best"),
        pytest.param(None, "chassis", "switch", "chassis", id="then-the-event"),
        pytest.param(None, "", "switch", "switch", id="then-the-rule"),
        pytest.param(None, "", None, diagnosis.UNKNOWN_RESOURCE, id="nobody-knows"),
    ],
)
def test_of_what_type_the_resource_is(
    found: PhysicalResource | None, said: str, ruled: str | None, wanted: str
) -> None:
    rule = replace(RULE, resource=ResourceSource(type=ruled)) if ruled else RULE
    event = replace(EVENT, resource_type=said)
    assert fault(Raise(rule, Severity.MINOR, "c-1"), event, found=found).resource_type == wanted


def test_details_are_those_of_the_event_and_what_is_added() -> None:
    assert fault().details == {"celsius": 90}
    assert fault(more={"folded_changes": 3}).details == {"celsius": 90, "folded_changes": 3}
    read = Raise(RULE, Severity.MINOR, "c-1", {"celsius": 2**70})
    assert fault(read).details == {"celsius": str(2**70)}


@pytest.mark.parametrize(
    ("severity", "state", "has_moved"),
    [
        pytest.param(Severity.MINOR, ResourceState.ERROR, False, id="as-before"),
        pytest.param(Severity.MAJOR, ResourceState.ERROR, True, id="worse"),
        pytest.param(Severity.MINOR, ResourceState.DOWN, True, id="another-state"),
    ],
)
def test_what_is_worse_or_better_than_before_has_moved(
    severity: Severity, state: ResourceState, has_moved: bool
) -> None:
    before = fault()
    verdict = Raise(replace(RULE, state=state, name="other"), severity, "c-1")
    assert diagnosis.has_moved(before, verdict) is has_moved
    after = diagnosis.moved(before, verdict, now=NOW, more={"folded_changes": 1})
    assert (after.severity, after.state, after.rule, after.transition) == (severity, state, "other", 2)
    assert after.details == {"celsius": 90, "folded_changes": 1}
    assert after.changed_time == NOW
