"""What a notification says, and what it does not."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms.lifecycle import cleared, settled
from doctor.inspector.impact import Effect
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault, ResourceState, Severity
from doctor.model.notification import Notification, NotificationType
from doctor.model.resource import Isolation, PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Subscription
from doctor.notifier.message import (
    Describer,
    MachineWriter,
    encode,
    host_ref,
    host_status,
    notification_id_of,
    write,
)
from tests.unit.model.nfvis import SEVERITIES, START, STATES, at, fault_on

SECRET = b"s" * 32
DOWN = Effect(ResourceState.DOWN, Severity.CRITICAL)
ERROR = Effect(ResourceState.ERROR, Severity.CRITICAL)

RESOURCES = ResourceMap(
    [
        PhysicalResource(
            id="compute-1",
            zone_id="zone-1",
            firmware_version="1.2",
            hypervisor_version="kvm 9",
            update_status="current",
            metadata={"serial": "SN-1"},
        )
    ],
    [
        VirtualResource(id="vm-1", host="compute-1", owner="red"),
        VirtualResource(id="vm-2", host="compute-1", owner="blue"),
        VirtualResource(id="net-1", type="virtual network", owner="red"),
    ],
)
FAULT = replace(fault_on("compute-1"), details={"reason": "kernel panic"})
BOOK = AlarmBook()
RAISED = settled(
    AlarmedFault(fault=FAULT, alarms={}),
    FAULT,
    {"compute-1": DOWN, "vm-1": ERROR, "vm-2": ERROR},
    RESOURCES,
    now=at(0),
)
BOOK.apply(RAISED)
KINDS = [NotificationType.FAULT, NotificationType.FAULT_CHANGED, NotificationType.FAULT_CLEARED]


def subscription(project: str | None) -> Subscription:
    return Subscription(subscription_id=f"of {project}", project=project, created=START)


def message(
    viewer: str | None,
    alarms: tuple[Alarm, ...] = RAISED.raised,
    record: AlarmedFault = RAISED.record,
    *,
    resources: ResourceMap = RESOURCES,
    book: AlarmBook = BOOK,
    kind: NotificationType = NotificationType.FAULT,
) -> Any:
    own = tuple(alarm for alarm in alarms if viewer in (None, alarm.project))
    describer = Describer(viewer, resources, book, SECRET)
    notification_id, body = write(subscription(viewer), kind, own, record, describer, sequence=7, now=at(1))
    decoded = msgspec.json.decode(body)
    assert decoded["notification_id"] == notification_id
    return decoded


@pytest.mark.requirement("B21", "C17", "D13", "D20", "D21", "D24", "D30", "D40", "G27")
def test_what_an_owner_reads() -> None:
    """[D 5.4, 5.5.1, design 5] The whole message, field by field."""
    alarm = RAISED.record.alarms["vm-1"]
    notification_id = notification_id_of("of red", FAULT, NotificationType.FAULT)
    assert message("red") == {
        "notification_id": notification_id,
        "subscription_id": "of red",
        "sequence": 7,
        "notification_type": "fault",
        "event_time": "2026-03-04T05:06:07Z",
        "sent_time": "2026-03-04T05:06:08Z",
        "virtual_resource_info": [
            {
                "virtual_resource_id": "vm-1",
                "virtual_resource_type": "virtual machine",
                "virtual_resource_state": "error",
                "host_status": "UNKNOWN",
                "location": {"zone_id": "zone-1", "host_ref": host_ref(SECRET, "red", "compute-1")},
                "isolation": "pending",
                "faults": [
                    {
                        "alarm_id": alarm.alarm_id,
                        "fault_id": alarm.fault_id,
                        "fault_type": "host down",
                        "alarm_state": "raised",
                        "severity": 5,
                        "perceived_severity": "critical",
                        "event_time": "2026-03-04T05:06:07Z",
                        "raised_time": "2026-03-04T05:06:07Z",
                        "changed_time": None,
                        "cleared_time": None,
                        "probable_cause": "underlying resource unavailable",
                        "is_root_cause": False,
                        "correlated_fault_id": [],
                        "recommended_action": "switch_to_hot_standby",
                        "fault_details": {},
                    }
                ],
            }
        ],
        "links": {
            "instructions": "/v1/instructions",
            "faults": f"/v1/faults?fault_id={alarm.fault_id}",
            "handled": f"/v1/notifications/{notification_id}/handled",
        },
    }


def test_links_begin_with_the_public_url() -> None:
    """[design 6] A Consumer elsewhere can follow them."""
    describer = Describer("red", RESOURCES, BOOK, SECRET, public_url="https://doctor.example")
    own = (RAISED.record.alarms["vm-1"],)
    _, body = write(
        subscription("red"), NotificationType.FAULT, own, RAISED.record, describer, sequence=1, now=at(1)
    )
    links = msgspec.json.decode(body, type=Notification).links
    assert links["instructions"] == "https://doctor.example/v1/instructions"
    assert {link.split("/v1/")[0] for link in links.values()} == {"https://doctor.example"}


@pytest.mark.requirement("D21", "D22", "D23", "D27", "B14")
def test_what_the_administrator_reads() -> None:
    """[D 3.3.4, design 3] The physical side, the details, and how root cause and derived faults belong together."""
    told = message(None)
    (host,) = told["physical_resource_info"]
    assert {key: value for key, value in host.items() if key != "faults"} == {
        "physical_resource_id": "compute-1",
        "physical_resource_type": "host",
        "physical_resource_state": "down",
        "maintenance_state": "enabled",
        "zone_id": "zone-1",
        "firmware_version": "1.2",
        "hypervisor_version": "kvm 9",
        "update_status": "current",
        "isolation": "pending",
        "metadata": {"serial": "SN-1"},
    }
    (root,) = host["faults"]
    assert root["fault_details"] == {"reason": "kernel panic"}
    assert (root["is_root_cause"], root["fault_id"]) == (True, FAULT.fault_key)
    assert told["links"]["faults"] == f"/v1/faults?fault_id={FAULT.fault_key}"
    machines = told["virtual_resource_info"]
    assert [info["virtual_resource_id"] for info in machines] == ["vm-1", "vm-2"]
    assert [info["location"]["physical_resource_id"] for info in machines] == ["compute-1"] * 2
    derived = [info["faults"][0] for info in machines]
    assert [fault["correlated_fault_id"] for fault in derived] == [[FAULT.fault_key]] * 2
    assert [fault["fault_details"] for fault in derived] == [{}, {}]
    assert root["correlated_fault_id"] == [fault["fault_id"] for fault in derived]


def test_the_end_is_of_no_severity() -> None:
    """[design 3] Severity 0, ``cleared``; the state is what other faults leave."""
    book = AlarmBook(BOOK)
    end = cleared(RAISED.record, now=at(1))
    book.apply(end)
    told = message("red", end.cleared, end.record, book=book, kind=NotificationType.FAULT_CLEARED)
    (info,) = told["virtual_resource_info"]
    (fault,) = info["faults"]
    assert (fault["severity"], fault["perceived_severity"], fault["alarm_state"]) == (0, "cleared", "cleared")
    assert fault["cleared_time"] == "2026-03-04T05:06:08Z"
    assert (info["virtual_resource_state"], info["host_status"], info["isolation"]) == (
        "normal",
        "UP",
        "not_required",
    )


def test_a_resource_that_no_map_knows_is_described_as_far_as_it_goes() -> None:
    """[design 5] An alarm of the Administrator."""
    fault = fault_on("stranger", "unknown resource")
    raised = settled(AlarmedFault(fault=fault, alarms={}), fault, {"stranger": DOWN}, RESOURCES, now=at(0))
    (info,) = message(None, raised.raised, raised.record)["physical_resource_info"]
    assert (info["physical_resource_id"], info["physical_resource_type"]) == ("stranger", "unknown resource")
    assert (info["zone_id"], info["metadata"]) == (None, {})


@pytest.mark.requirement("F18", "F20", "G31")
@pytest.mark.parametrize(
    ("state", "isolation", "status"),
    [
        (ResourceState.NORMAL, Isolation.NOT_REQUIRED, "UP"),
        (ResourceState.MAINTENANCE, Isolation.NOT_REQUIRED, "MAINTENANCE"),
        (ResourceState.ERROR, Isolation.NOT_REQUIRED, "UNKNOWN"),
        (ResourceState.DOWN, Isolation.PENDING, "UNKNOWN"),
        (ResourceState.DOWN, Isolation.FAILED, "UNKNOWN"),
        (ResourceState.DOWN, Isolation.ISOLATED, "DOWN"),
    ],
)
def test_what_an_owner_may_know_of_the_host(state: ResourceState, isolation: Isolation, status: str) -> None:
    """[design 3] A dead host is UNKNOWN until it is isolated."""
    assert host_status(state, isolation) == status


@given(st.text(), st.text(), st.binary(min_size=1, max_size=64), st.text(min_size=1), st.text(min_size=1))
def test_the_name_of_a_host_means_something_to_one_project_only(
    host: str, other_host: str, secret: bytes, project: str, other_project: str
) -> None:
    """[design 3] Stable, different for every project and host, and not to be guessed without the secret."""
    name = host_ref(secret, project, host)
    assert name == host_ref(secret, project, host)
    assert len(name) == 14
    assert (name == host_ref(secret, other_project, host)) is (project == other_project)
    assert (name == host_ref(secret, project, other_host)) is (host == other_host)
    assert name != host_ref(secret + b"x" if len(secret) < 64 else b"x", project, host)


def test_an_id_is_made_from_what_is_told() -> None:
    """[I-4] Another subscription, fault, step or kind makes another id; the same makes the same, for ever."""
    ids = {
        notification_id_of(name, fault, kind)
        for name in ("a", "b")
        for fault in (FAULT, replace(FAULT, transition=2), replace(FAULT, fault_key="other"))
        for kind in KINDS
    }
    assert len(ids) == 2 * 3 * len(KINDS)
    assert notification_id_of("a", FAULT, NotificationType.FAULT, "back") not in ids
    assert notification_id_of("a", FAULT, NotificationType.FAULT) in ids


# --- quickly written JSON is the JSON of the structs, to the byte ---

NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "\x1f", "é", "\u2028", "😀", "{}", "null"]
)
DETAILS = st.dictionaries(
    NAMES | st.just("\x1fhere\x1f"), NAMES | st.just("\x1fhere\x1f") | st.integers(0, 9), max_size=3
)


@st.composite
def told_faults(draw: st.DrawFn) -> tuple[ResourceMap, AlarmBook, Transition]:
    """Return a fault on something with names of all kinds: raised, then changed, perhaps cleared."""
    hosts = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    machines = [name for name in draw(st.lists(NAMES, max_size=8, unique=True)) if name not in hosts]
    kind, place = st.sampled_from(["virtual machine", 'virtual "x"']), st.sampled_from([*hosts, None])
    resources = ResourceMap(
        [PhysicalResource(id=name, zone_id=draw(st.none() | NAMES)) for name in hosts],
        [
            VirtualResource(
                id=name, type=draw(kind), host=draw(place), owner=draw(st.sampled_from(["red", "blue"]))
            )
            for name in machines
        ],
    )
    root = draw(st.sampled_from([*hosts, *machines]))
    fault = replace(fault_on(root), details=draw(DETAILS), probable_cause=draw(NAMES))
    reaches = st.dictionaries(
        st.sampled_from([*hosts, *machines, "gone"]), st.builds(Effect, STATES, SEVERITIES)
    )
    record, book = AlarmedFault(fault=fault, alarms={}), AlarmBook()
    transition = settled(record, fault, {root: DOWN, **draw(reaches)}, resources, now=at(0))
    book.apply(transition)
    for second in range(1, draw(st.integers(1, 3))):
        again: Fault = replace(transition.record.fault, transition=second + 1)
        transition = settled(
            transition.record, again, {root: ERROR, **draw(reaches)}, resources, now=at(second + 0.5)
        )
        book.apply(transition)
    if draw(st.booleans()):
        transition = cleared(transition.record, now=at(9))
        book.apply(transition)
    if draw(st.booleans()):
        resources = ResourceMap(resources.physical.values())
    return resources, book, transition


VIEWERS = st.sampled_from([None, "red", "blue"])


@settings(deadline=None)
@given(told_faults(), VIEWERS)
def test_what_is_written_quickly_is_what_the_struct_says(
    told: tuple[ResourceMap, AlarmBook, Transition], viewer: str | None
) -> None:
    """[I-4] Whatever the ids are made of."""
    resources, book, transition = told
    describer = Describer(viewer, resources, book, SECRET)
    record = transition.record
    alarms = list(record.alarms.values())
    machines = [
        describer.virtual(one.resource_id, one.resource_type, (describer.fault(record, one),), one.project)
        for one in alarms
    ]
    assert MachineWriter(describer, record).write(alarms) == encode(machines)


@settings(deadline=None)
@given(told_faults(), VIEWERS, st.sampled_from(KINDS), st.integers(1, 2**40))
def test_a_message_is_the_json_of_a_notification(
    told: tuple[ResourceMap, AlarmBook, Transition],
    viewer: str | None,
    kind: NotificationType,
    sequence: int,
) -> None:
    """[D 5.5.1] And is read back as one."""
    resources, book, transition = told
    alarms = [alarm for alarm in transition.record.alarms.values() if viewer in (None, alarm.project)]
    describer = Describer(viewer, resources, book, SECRET)
    record = transition.record
    notification_id, body = write(
        subscription(viewer), kind, alarms, record, describer, sequence=sequence, now=at(1)
    )
    fault_ids = [alarm.fault_id for alarm in alarms if viewer is not None] or [record.fault.fault_key]
    notification = Notification(
        notification_id=notification_id,
        subscription_id=f"of {viewer}",
        sequence=sequence,
        notification_type=kind,
        event_time=record.fault.event_time,
        sent_time=at(1),
        physical_resource_info=tuple(
            describer.physical(one.resource_id, one.resource_type, (describer.fault(record, one),))
            for one in alarms
            if one.project is None
        ),
        virtual_resource_info=tuple(
            describer.virtual(
                one.resource_id, one.resource_type, (describer.fault(record, one),), one.project
            )
            for one in alarms
            if one.project is not None
        ),
        links={
            "instructions": "/v1/instructions",
            "faults": f"/v1/faults?fault_id={fault_ids[-1]}",
            "handled": f"/v1/notifications/{notification_id}/handled",
        },
    )
    assert body == encode(notification)
    assert msgspec.json.decode(body, type=Notification) == notification
