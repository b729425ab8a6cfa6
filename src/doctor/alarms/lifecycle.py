"""The life of an alarm: raised, changed, cleared [D 5.5.3].

In comes a fault and what it does to which resources; out goes a `Transition`: the record to keep and the alarms
that are news. Each alarm goes raised < changed < cleared, and an id is never used twice [I-5].
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from msgspec.structs import replace

from doctor.kit.ids import SEPARATOR, stable_id, stable_ids
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.fault import Fault, ResourceState, Severity
from doctor.model.resource_map import ResourceMap

ReachOf = Mapping[str, tuple[ResourceState, Severity]]
UNKNOWN_TYPE = "unknown"


def fault_key_of(event_id: str, resource_id: str, fault_type: str, *, secret: bytes) -> str:
    """Return the name of this occurrence of a fault: the event that raised it tells occurrences apart.

    All ids that owners are told follow from it. Without the secret of the installation an owner could try host names
    until the ids fit, since the rest of an event is easily guessed.
    """
    return stable_id("fault", secret.hex(), event_id, resource_id, fault_type)


def settled(
    record: AlarmedFault,
    fault: Fault,
    reach: ReachOf,
    resources: ResourceMap,
    *,
    now: datetime,
    retold: Collection[str] = (),
) -> Transition:
    """Bring the alarms of an open fault to what it reaches now; a new one has none before.

    The fault may have changed (its severity, or what explains it), or what it reaches (a redundant way was lost or
    came back). The alarms on the resources ``retold`` are news in any case.
    """
    before = record.alarms
    alarms: dict[str, Alarm] = {}
    changed: list[Alarm] = []
    for resource_id, alarm in before.items():
        effect = reach.get(resource_id)
        if effect is None:
            continue
        state, severity = effect
        if resource_id in retold or alarm.severity != severity or alarm.resource_state != state:
            alarm = replace(
                alarm,
                resource_state=state,
                severity=severity,
                is_root_cause=_is_root_cause(fault, resource_id),
                changed_time=_not_before(alarm, now),
                worst_before=alarm.worst_severity,
            )
            changed.append(alarm)
        alarms[resource_id] = alarm
    new = [resource_id for resource_id in reach if resource_id not in before]
    fresh = _new_alarms(fault, new, reach, resources, now)
    alarms.update(zip(new, fresh, strict=True))
    gone = tuple(_cleared(alarm, now) for key, alarm in before.items() if key not in reach)
    return Transition(
        record=AlarmedFault(fault=fault, alarms=alarms),
        raised=tuple(fresh),
        changed=tuple(changed),
        cleared=gone,
    )


def _is_root_cause(fault: Fault, resource_id: str) -> bool:
    return resource_id == fault.resource_id and fault.cause is None


def corrected(
    record: AlarmedFault, reach: ReachOf, resources: ResourceMap, *, now: datetime
) -> Transition | None:
    """Bring the alarms of an open fault to another resource map, or None when that changes nothing [I-24].

    What the fault does not reach any more, or what belongs to somebody else by now, was told wrongly: it is corrected,
    and raised anew for whom it concerns.
    """
    kept: dict[str, Alarm] = {}
    wrong: list[Alarm] = []
    for resource_id, alarm in record.alarms.items():
        is_right = resource_id in reach and alarm.project == _owner(resource_id, resources)
        if is_right:
            kept[resource_id] = alarm
        else:
            wrong.append(alarm)
    fault = replace(record.fault, transition=record.fault.transition + 1)
    before = AlarmedFault(fault=record.fault, alarms=kept)
    found = settled(before, fault, reach, resources, now=now)
    if not (wrong or found.raised or found.changed):
        return None
    return Transition(
        record=found.record,
        raised=found.raised,
        changed=found.changed,
        corrected=tuple(_cleared(alarm, now) for alarm in wrong),
    )


def withdrawn(record: AlarmedFault, *, now: datetime) -> Transition:
    """End a fault whose resource is in the map no more: it was not repaired, there is nothing left to repair."""
    ended = cleared(record, now=now)
    return Transition(record=ended.record, corrected=ended.cleared)


def _owner(resource_id: str, resources: ResourceMap) -> str | None:
    machine = resources.virtual.get(resource_id)
    if machine is not None:
        return machine.owner
    return None if resource_id in resources.physical else resources.vnf_owner(resource_id)


def cleared(record: AlarmedFault, *, now: datetime) -> Transition:
    """Clear a fault and all its alarms."""
    fault = record.fault
    end = max(now, fault.changed_time or fault.raised_time)
    fault = replace(fault, cleared_time=end, transition=fault.transition + 1)
    alarms = {key: _cleared(alarm, now) for key, alarm in record.alarms.items()}
    return Transition(
        record=AlarmedFault(fault=fault, alarms=alarms),
        cleared=tuple(alarms.values()),
    )


def _cleared(alarm: Alarm, now: datetime) -> Alarm:
    return replace(alarm, cleared_time=_not_before(alarm, now))


def _not_before(alarm: Alarm, now: datetime) -> datetime:
    """Return the time of the next step in the life of an alarm: the clock may have been set back since the last."""
    last = alarm.changed_time or alarm.raised_time
    return now if now >= last else last


def _new_alarms(
    fault: Fault, resource_ids: list[str], reach: ReachOf, resources: ResourceMap, now: datetime
) -> list[Alarm]:
    prefix = f"{fault.fault_key}{SEPARATOR}{fault.transition}{SEPARATOR}".encode()
    alarm_ids = stable_ids("alarm", [prefix + resource_id.encode() for resource_id in resource_ids])
    fault_id_of = _fault_ids(fault)
    alarms = []
    machine_of = resources.virtual.get
    for resource_id, alarm_id in zip(resource_ids, alarm_ids, strict=True):
        state, severity = reach[resource_id]
        machine = machine_of(resource_id)
        project: str | None
        if machine is not None:
            resource_type, project = machine.type, machine.owner
        else:
            physical = resources.physical.get(resource_id)
            resource_type = physical.type if physical else fault.resource_type or UNKNOWN_TYPE
            project = _owner(resource_id, resources)
        alarms.append(
            Alarm(
                alarm_id,
                fault_id_of(project),
                resource_id,
                resource_type,
                project,
                severity,
                state,
                _is_root_cause(fault, resource_id),
                now,
            )
        )
    return alarms


def _fault_ids(fault: Fault) -> Callable[[str | None], str]:
    """Return the giver of fault ids: the Administrator's is the fault's key, each project has its own."""
    known: dict[str | None, str] = {None: fault.fault_key}

    def fault_id(project: str | None) -> str:
        found = known.get(project)
        if found is None:
            found = known[project] = stable_id("project-fault", fault.fault_key, project or "")
        return found

    return fault_id
