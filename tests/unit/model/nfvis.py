"""Infrastructures and faults made by chance."""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st

from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.resource import VIRTUAL_MACHINE, PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
OWNERS = ("red", "blue", "green")
PHYSICAL = ("host", "host", "switch", "power", "rack", "nic", "controller", "cooling", "storage", "chassis")
VIRTUAL = (VIRTUAL_MACHINE, VIRTUAL_MACHINE, "virtual storage", "virtual network")
KINDS = ("connects", "powers", "contains", "attaches", "backs")

T = TypeVar("T")


def long_lists(elements: st.SearchStrategy[T], most: int, *, least: int = 0) -> st.SearchStrategy[list[T]]:
    """Return lists of which long ones are as likely as short ones; Hypothesis by itself likes them short."""
    return st.integers(least, most).flatmap(lambda size: st.lists(elements, min_size=size, max_size=size))


SEVERITIES = st.sampled_from([severity for severity in Severity if severity is not Severity.CLEARED])
STATES = st.sampled_from([ResourceState.NORMAL, ResourceState.ERROR, ResourceState.DOWN])


@st.composite
def nfvis(draw: st.DrawFn, *, most: int = 8) -> ResourceMap:
    """Return an infrastructure whose relations do not run in a circle, whatever sense they make."""
    physical = [
        PhysicalResource(
            id=f"p-{number}-{kind}", type=kind, zone_id=draw(st.sampled_from(["z-1", "z-2", None]))
        )
        for number, kind in enumerate(draw(long_lists(st.sampled_from(PHYSICAL), most, least=1)))
    ]
    hosts = [resource.id for resource in physical if resource.type == "host"]
    places = st.sampled_from([*hosts, *hosts, None])
    virtual = [
        VirtualResource(id=f"v-{number}", type=kind, host=draw(places), owner=draw(st.sampled_from(OWNERS)))
        for number, kind in enumerate(draw(long_lists(st.sampled_from(VIRTUAL), most)))
    ]
    names = [*(resource.id for resource in physical), *(resource.id for resource in virtual)]
    pairs = [(first, second) for place, first in enumerate(names) for second in names[place + 1 :]]
    tied = dict.fromkeys(draw(long_lists(st.sampled_from(pairs), 2 * most))) if pairs else {}
    relations = [Relation(first, draw(st.sampled_from(KINDS)), second) for first, second in tied]
    return ResourceMap(physical, virtual, draw(st.permutations(relations)))


def fault_on(
    resource_id: str,
    resource_type: str = "host",
    *,
    key: str = "key",
    severity: Severity = Severity.CRITICAL,
    state: ResourceState = ResourceState.DOWN,
    second: int = 0,
) -> Fault:
    """Return a fault."""
    return Fault(
        fault_key=key,
        resource_id=resource_id,
        resource_type=resource_type,
        fault_type="host down",
        rule="host-down",
        severity=severity,
        state=state,
        event_type=EventType.EQUIPMENT,
        probable_cause="underlying resource unavailable",
        recommended_action="switch_to_hot_standby",
        raised_by="event",
        event_time=START,
        raised_time=at(second),
    )


def at(second: float) -> datetime:
    """Return the time of a second."""
    return START + timedelta(seconds=second)
