"""The open faults and their alarms, with the look-ups that the doors and the flows need."""

from collections.abc import Container, Iterable, Iterator, KeysView
from datetime import datetime

from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.fault import Fault, ResourceState
from doctor.model.resource import VNF


class AlarmBook:
    """All that is open now. `apply` keeps it in step with what was decided; it holds nothing that is cleared.

    ``away`` is what is in maintenance, as somebody else keeps it.
    """

    def __init__(self, records: Iterable[AlarmedFault] = (), away: Container[str] = frozenset()) -> None:
        self._away = away
        self._by_key: dict[str, AlarmedFault] = {}
        self._by_subject: dict[tuple[str, str], str] = {}
        self._on_resource: dict[str, tuple[str, ...]] = {}
        self._rooted: dict[str, tuple[str, ...]] = {}
        self._explained: dict[str, tuple[str, ...]] = {}
        self._by_alarm: dict[str, tuple[str, str]] = {}
        self._of_project: dict[str | None, dict[str, None]] = {}
        self._vnfs: dict[str, None] = {}
        for record in sorted(records, key=lambda record: record.fault.raised_time):
            self._open(record, record.alarms.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[AlarmedFault]:
        return iter(self._by_key.values())

    def apply(self, transition: Transition) -> None:
        """Take over what a transition decided."""
        record = transition.record
        over = (*transition.cleared, *transition.corrected)
        for alarm in over:
            self._forget(record.fault.fault_key, alarm)
        if over:
            self._disown(record, over)
        if record.fault.is_open:
            self._open(record, transition.raised)
        else:
            self._by_key.pop(record.fault.fault_key, None)
            self._by_subject.pop((record.fault.resource_id, record.fault.fault_type), None)
            self._disclaim(record.fault, record.fault.explains)
            self._uproot(record.fault.resource_id, record.fault.fault_key)

    def _open(self, record: AlarmedFault, new: Iterable[Alarm]) -> None:
        fault = record.fault
        before = self._by_key.get(fault.fault_key)
        if before is None:
            self._rooted[fault.resource_id] = (*self._rooted.get(fault.resource_id, ()), fault.fault_key)
            if fault.resource_type == VNF:
                self._vnfs[fault.resource_id] = None
        if before is None or before.fault.explains != fault.explains:
            self._claim(fault, before)
        self._by_key[fault.fault_key] = record
        self._by_subject[fault.resource_id, fault.fault_type] = fault.fault_key
        alone = (fault.fault_key,)
        for alarm in new:
            here = self._on_resource.get(alarm.resource_id)
            self._on_resource[alarm.resource_id] = alone if here is None else (*here, fault.fault_key)
            self._by_alarm[alarm.alarm_id] = (fault.fault_key, alarm.resource_id)
        for project in {alarm.project for alarm in new}:
            self._of_project.setdefault(project, {})[fault.fault_key] = None

    def _disown(self, record: AlarmedFault, over: Iterable[Alarm]) -> None:
        left = {alarm.project for alarm in record.alarms.values()} if record.fault.is_open else set()
        for project in {alarm.project for alarm in over} - left:
            keys = self._of_project.get(project, {})
            keys.pop(record.fault.fault_key, None)
            if not keys:
                self._of_project.pop(project, None)

    def _claim(self, fault: Fault, before: AlarmedFault | None) -> None:
        known = frozenset(() if before is None else before.fault.explains)
        self._disclaim(fault, known.difference(fault.explains))
        for key in fault.explains:
            if key not in known:
                self._explained[key] = (*self._explained.get(key, ()), fault.fault_key)

    def _disclaim(self, fault: Fault, keys: Iterable[str]) -> None:
        for key in keys:
            left = tuple(other for other in self._explained.get(key, ()) if other != fault.fault_key)
            if left:
                self._explained[key] = left
            else:
                self._explained.pop(key, None)

    def _uproot(self, resource_id: str, fault_key: str) -> None:
        left = tuple(key for key in self._rooted.get(resource_id, ()) if key != fault_key)
        if left:
            self._rooted[resource_id] = left
        else:
            self._rooted.pop(resource_id, None)
            self._vnfs.pop(resource_id, None)

    def _forget(self, fault_key: str, alarm: Alarm) -> None:
        self._by_alarm.pop(alarm.alarm_id, None)
        left = tuple(key for key in self._on_resource.get(alarm.resource_id, ()) if key != fault_key)
        if left:
            self._on_resource[alarm.resource_id] = left
        else:
            self._on_resource.pop(alarm.resource_id, None)

    def open_fault(self, resource_id: str, fault_type: str) -> AlarmedFault | None:
        """Return the open fault of this type whose root is this resource, or None."""
        key = self._by_subject.get((resource_id, fault_type))
        return None if key is None else self._by_key[key]

    def fault(self, fault_key: str) -> AlarmedFault | None:
        """Return the open fault of this key, or None."""
        return self._by_key.get(fault_key)

    def alarm(self, alarm_id: str) -> tuple[AlarmedFault, Alarm] | None:
        """Return an open alarm with its fault, or None."""
        place = self._by_alarm.get(alarm_id)
        if place is None:
            return None
        record = self._by_key[place[0]]
        return record, record.alarms[place[1]]

    def rooted_in(self, resource_id: str) -> Iterator[AlarmedFault]:
        """Return the open faults of this very resource, not those that only reach it."""
        return (self._by_key[key] for key in self._rooted.get(resource_id, ()))

    def opened_since(self, moment: datetime) -> Iterator[AlarmedFault]:
        """Return the open faults that have begun at a moment or later, the newest first."""
        for record in reversed(self._by_key.values()):
            if record.fault.raised_time < moment:
                return
            yield record

    @property
    def roots(self) -> KeysView[str]:
        """Return the ids of the resources that have an open fault of their own."""
        return self._rooted.keys()

    @property
    def vnfs(self) -> KeysView[str]:
        """Return the ids of the resources with an open fault of their own that are said to be VNFs."""
        return self._vnfs.keys()

    def on(self, resource_id: str) -> Iterator[AlarmedFault]:
        """Return the open faults that reach this resource."""
        return (self._by_key[key] for key in self._on_resource.get(resource_id, ()))

    def of_project(self, project: str) -> Iterator[AlarmedFault]:
        """Return the open faults of which this project has alarms."""
        return (self._by_key[key] for key in self._of_project.get(project, ()))

    def explained_by(self, fault_key: str) -> str | None:
        """Return the key of the first open fault that was concluded from this one among others, or None."""
        claims = self._explained.get(fault_key)
        return None if claims is None else claims[0]

    def chain(self, fault: Fault) -> Iterator[str]:
        """Return the keys of a fault and of what explains it, one after the other, up to the root cause."""
        key: str | None = fault.fault_key
        seen = set()
        while key is not None and key not in seen:
            yield key
            seen.add(key)
            record = self._by_key.get(key)
            key = fault.cause if key == fault.fault_key else None if record is None else record.fault.cause

    def root_cause(self, fault: Fault) -> AlarmedFault | None:
        """Return the open fault of which this one is a symptom in the end, None if it is a root cause itself."""
        if fault.cause is None:
            return None
        *_, root = self.chain(fault)
        return self._by_key.get(root)

    def state_of(self, resource_id: str) -> ResourceState:
        """Return the worst state that maintenance or open faults put this resource in; normal without any [D 5.4]."""
        planned = ResourceState.MAINTENANCE if resource_id in self._away else ResourceState.NORMAL
        keys = self._on_resource.get(resource_id)
        if keys is None:
            return planned
        if len(keys) == 1:
            state = self._by_key[keys[0]].alarms[resource_id].resource_state
            return state if state.badness > planned.badness else planned
        states = [self._by_key[key].alarms[resource_id].resource_state for key in keys]
        return max(planned, *states, key=lambda state: state.badness)

    def is_troubled(self, resource_id: str) -> bool:
        """Tell whether a resource has an open alarm."""
        return resource_id in self._on_resource

    def troubled(self) -> Iterator[str]:
        """Return the ids of all resources with an open alarm."""
        return iter(self._on_resource)
