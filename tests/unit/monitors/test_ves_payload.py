"""What events of VES 7 mean. Their shape is that of CommonEventFormat 30.2.1."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doctor.drivers.monitors.ves.payload import payload
from doctor.model.errors import RejectedError
from doctor.ports.payload import Alive
from tests.unit.monitors.payloads import NOW, read, the_event, understood

MICROSECONDS = 1795222777775991


def event(domain: str, **fields: Any) -> dict[str, Any]:
    """Return an event of a domain, with what belongs to it."""
    header = {
        "domain": domain,
        "eventId": "7",
        "eventName": f"{domain}_x",
        "lastEpochMicrosec": MICROSECONDS,
        "priority": "High",
        "reportingEntityName": "agent",
        "sequence": 0,
        "sourceName": fields.pop("sourceName", "compute-1"),
        "startEpochMicrosec": MICROSECONDS - 172,
        "version": "4.1",
        "vesEventListenerVersion": "7.2.1",
    }
    return {
        "event": {"commonEventHeader": header, f"{domain}Fields": {f"{domain}FieldsVersion": "4.0", **fields}}
    }


def fault(**fields: Any) -> dict[str, Any]:
    """Return a fault."""
    known = {
        "alarmCondition": "fan",
        "eventSeverity": "MAJOR",
        "eventSourceType": "host",
        "specificProblem": "fan 1 stands still",
        "vfStatus": "Active",
    }
    return event("fault", **{**known, **fields})


def test_a_fault_is_of_its_source_and_of_its_time() -> None:
    said = the_event(payload, fault(alarmAdditionalInformation={"slot": "3"}))
    assert (said.type, said.resource, said.status, said.severity) == ("fan", "compute-1", "down", "major")
    assert said.time == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=MICROSECONDS)
    assert (said.details["cause"], said.details["more"]) == ("fan 1 stands still", {"slot": "3"})


def test_the_links_of_a_host_are_told_apart() -> None:
    a, b = (the_event(payload, fault(alarmInterfaceA=name)) for name in ("a", "b"))
    assert a.monitor_event_id != b.monitor_event_id


@pytest.mark.parametrize(
    ("state", "status"), [("outOfService", "down"), ("inService", "up"), ("maintenance", "down")]
)
def test_an_interface_that_changes_is_a_link(state: str, status: str) -> None:
    said = the_event(payload, event("stateChange", newState=state, oldState="x", stateInterface="ens1f0"))
    assert (said.type, said.status, said.details["interface"]) == ("compute.host.nic.error", status, "ens1f0")
    assert the_event(payload, event("stateChange", newState=state)).type == "ves.stateChange"


@pytest.mark.parametrize(
    ("every", "until"),
    [(20, NOW + timedelta(seconds=60)), (0, None), (-1, None), (10**9, None)],
)
def test_a_heartbeat_is_a_sign_of_life(every: int, until: datetime | None) -> None:
    assert read(payload, event("heartbeat", heartbeatInterval=every)) == [Alive(until)]


def test_a_batch_is_read_one_by_one() -> None:
    batch = {"eventList": [fault()["event"], event("heartbeat")["event"], event("measurement")["event"]]}
    found = understood(payload, batch)
    assert (found.indexes, [one.index for one in found.rejected]) == ([0, 1], [2])
    (flaw,) = found.rejected[0].errors
    assert flaw.pointer == "/eventList/2/commonEventHeader/domain"


def test_a_clock_that_cannot_be_is_not_believed() -> None:
    for microseconds in (0, 1e300, -1):
        wrong = fault()
        wrong["event"]["commonEventHeader"] |= {"lastEpochMicrosec": microseconds, "startEpochMicrosec": 0}
        assert the_event(payload, wrong).time == NOW


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        pytest.param([], [""], id="list"),
        pytest.param({"eventList": {}}, [""], id="no-list"),
        pytest.param({"event": {}}, ["/event/commonEventHeader"], id="no-header"),
        pytest.param(
            event("fault"),
            ["/event/faultFields/alarmCondition", "/event/faultFields/eventSeverity"],
            id="bare",
        ),
        pytest.param(event("syslog"), ["/event/commonEventHeader/domain"], id="other"),
    ],
)
def test_what_is_wrong_is_told_with_the_place(document: Any, pointers: list[str]) -> None:
    with pytest.raises(RejectedError) as refused:
        understood(payload, document)
    assert [flaw.pointer for flaw in refused.value.flaws] == pointers
