"""The words of the field: what follows from their fields."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.model.alarm import Alarm, AlarmState
from doctor.model.errors import (
    DoctorError,
    Flaw,
    PermanentError,
    Reason,
    RejectedError,
    StoreError,
    TransientError,
)
from doctor.model.event import RawEvent
from doctor.model.fault import EventType, Fault, ResourceState, Severity, severity_of
from doctor.model.identity import Identity, Role
from doctor.model.policy import Catalogue, CatalogueRow, ClearingRow, RecommendedAction

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


# --- events ---

EVENT = RawEvent(
    time=NOW,
    type="compute.host.down",
    resource="compute-1",
    resource_type="host",
    source="ping",
    status="down",
    severity="critical",
    monitor_event_id="e-1",
    raw_details=b'{"hostname":"compute-1","n":[1,null]}',
)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"time": NOW + timedelta(microseconds=1)}, id="time"),
        pytest.param({"type": "compute.host.up"}, id="type"),
        pytest.param({"resource": "compute-2"}, id="resource"),
        pytest.param({"source": "zabbix"}, id="source"),
        pytest.param({"status": "up"}, id="status"),
        pytest.param({"monitor_event_id": "e-2"}, id="monitor-event-id"),
    ],
)
def test_what_makes_two_reports_two_events(other: dict[str, object]) -> None:
    """[design 5]"""
    assert replace(EVENT, **other).identity != EVENT.identity


@pytest.mark.parametrize(
    "other", [{"severity": "minor"}, {"resource_type": "switch"}, {"raw_details": b"{}"}]
)
def test_what_does_not(other: dict[str, object]) -> None:
    assert replace(EVENT, **other).identity == EVENT.identity


def test_details_are_decoded_when_somebody_looks() -> None:
    assert EVENT.details == {"hostname": "compute-1", "n": [1, None]}
    assert RawEvent(time=NOW, type="x").details == {}


@pytest.mark.parametrize("raw", [b'{"n":1e400}', b"{", b'{"a":"\\xff"}', b""])
def test_details_that_cannot_be_decoded_count_as_none(raw: bytes) -> None:
    assert RawEvent(time=NOW, type="x", raw_details=raw).details == {}


# --- severities and states ---


@pytest.mark.requirement("D18", "D42")
@pytest.mark.parametrize("severity", list(Severity))
def test_a_severity_reads_by_name_and_number(severity: Severity) -> None:
    assert severity_of(severity.perceived) is severity
    assert severity_of(f" {severity.perceived.upper()} ") is severity
    assert severity_of(int(severity)) is severity
    assert severity_of(str(int(severity))) is severity


@pytest.mark.requirement("C4", "D42")
@pytest.mark.parametrize(
    ("word", "severity"),
    [
        pytest.param("info", Severity.INDETERMINATE, id="annex"),
        pytest.param("OKAY", Severity.CLEARED, id="collectd-okay"),
        pytest.param("FAILURE", Severity.CRITICAL, id="collectd-failure"),
        pytest.param("high", Severity.MAJOR, id="zabbix"),
        pytest.param("Disaster", Severity.CRITICAL, id="zabbix-disaster"),
        pytest.param("Not classified", Severity.INDETERMINATE, id="zabbix-not-classified"),
        pytest.param("page", Severity.CRITICAL, id="alertmanager"),
    ],
)
def test_what_monitors_write(word: str, severity: Severity) -> None:
    """[design 3]"""
    assert severity_of(word) is severity


@given(st.text() | st.integers(min_value=6) | st.integers(max_value=-1))
def test_an_unknown_severity_is_refused_with_what_would_be_right(word: str | int) -> None:
    try:
        severity_of(word)
    except ValueError as error:
        assert "use critical, major, minor, warning, indeterminate or cleared" in str(error)
        assert len(str(error)) < 300


@pytest.mark.requirement("D14")
def test_states_have_an_order_of_badness() -> None:
    order = [ResourceState.NORMAL, ResourceState.MAINTENANCE, ResourceState.ERROR, ResourceState.DOWN]
    assert sorted(ResourceState, key=lambda state: state.badness) == order
    assert all(first.badness < second.badness for first, second in combinations(order, 2))


# --- alarms and faults ---

ALARM = Alarm("a-1", "f-1", "vm-1", "virtual machine", "red", Severity.MAJOR, ResourceState.ERROR, False, NOW)


@pytest.mark.requirement("D40", "D41")
@pytest.mark.parametrize(
    ("times", "state"),
    [
        pytest.param({}, AlarmState.RAISED, id="raised"),
        pytest.param({"changed_time": NOW}, AlarmState.CHANGED, id="changed"),
        pytest.param({"cleared_time": NOW}, AlarmState.CLEARED, id="cleared"),
        pytest.param(
            {"changed_time": NOW, "cleared_time": NOW}, AlarmState.CLEARED, id="changed-and-cleared"
        ),
    ],
)
def test_the_state_of_an_alarm_follows_from_its_times(times: dict[str, datetime], state: AlarmState) -> None:
    """[D 5.5.3]"""
    assert replace(ALARM, **times).alarm_state is state


@pytest.mark.parametrize(
    ("now", "before", "worst"),
    [
        (Severity.MAJOR, Severity.CLEARED, Severity.MAJOR),
        (Severity.MINOR, Severity.CRITICAL, Severity.CRITICAL),
        (Severity.CRITICAL, Severity.MINOR, Severity.CRITICAL),
    ],
)
def test_an_alarm_knows_how_bad_it_ever_was(now: Severity, before: Severity, worst: Severity) -> None:
    assert replace(ALARM, severity=now, worst_before=before).worst_severity is worst


def test_a_fault_is_open_until_it_is_cleared() -> None:
    fault = Fault(
        fault_key="k",
        resource_id="compute-1",
        resource_type="host",
        fault_type="host down",
        rule="host-down",
        severity=Severity.CRITICAL,
        state=ResourceState.DOWN,
        event_type=EventType.EQUIPMENT,
        probable_cause="",
        recommended_action="",
        raised_by="e",
        event_time=NOW,
        raised_time=NOW,
    )
    assert fault.is_open
    assert not replace(fault, cleared_time=NOW).is_open


# --- identities ---


@pytest.mark.parametrize(
    ("role", "project", "scope"),
    [
        (Role.ADMIN, None, None),
        (Role.OPERATOR, None, None),
        (Role.AUDITOR, None, None),
        (Role.CONSUMER, "red", "red"),
        (Role.CONSUMER, None, ""),
        (Role.MONITOR, None, ""),
        (Role.ADMIN, "red", None),
    ],
)
def test_who_sees_what(role: Role, project: str | None, scope: str | None) -> None:
    """None is everything; the empty project has nothing, and is nobody's."""
    assert Identity(name="x", role=role, project=project).scope == scope


# --- errors ---


def test_the_tree_of_errors() -> None:
    for kind in (RejectedError, TransientError, PermanentError):
        assert kind.__bases__ == (DoctorError,)
    assert issubclass(StoreError, TransientError)


def test_a_rejection_says_why_and_where() -> None:
    flaws = [Flaw("/a", "is wrong")]
    error = RejectedError("no", reason=Reason.CONFLICT, flaws=flaws)
    assert (str(error), error.detail, error.reason, error.flaws) == (
        "no",
        "no",
        Reason.CONFLICT,
        tuple(flaws),
    )
    assert RejectedError("no").reason is Reason.IMPOSSIBLE


# --- the catalogue ---


def test_a_catalogue_knows_all_its_types() -> None:
    row = CatalogueRow(
        type="compute.host.down",
        fault_type="host down",
        resource="host",
        severity=Severity.CRITICAL,
        state=ResourceState.DOWN,
        event_type=EventType.EQUIPMENT,
        probable_cause="",
        recommended_action=RecommendedAction.NONE,
        detection="",
        repair="",
        cites=(),
    )
    clearing = ClearingRow(type="compute.host.up", clears="compute.host.down", detection="", cites=())
    catalogue = Catalogue(rows={row.type: row}, clearing={clearing.type: clearing})
    assert catalogue.types == ("compute.host.down", "compute.host.up")
