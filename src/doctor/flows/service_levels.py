"""Says when a VNF does not get what its service availability level promises, and when it does again [HA 6.1.1, 6.1.2].

Behind the way of a fault, never on it: what a step did to machines is taken in when it is kept and told. Each VNF that
is concerned is looked at, then and when time alone may change something. What has changed goes as an event of Doctor's
own the way of all events, so that the failure policy decides what it means. How it stands is for
`doctor.profiler.promises` to say.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import msgspec
import structlog

from doctor.flows.agenda import Agenda
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.machine_outages import is_outage, open_outages, outage_of, past_outages
from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.alarm import Alarm, Transition
from doctor.model.event import RawEvent
from doctor.model.resource import VIRTUAL_MACHINE, VNF, Vnf, vnf_named, vnf_of
from doctor.notifier.message import PROMISE
from doctor.profiler.availability import Levels, Outage
from doctor.profiler.promises import Kept, Promise, Standing, looked_at

log = structlog.get_logger(__name__)

MEASURER = "doctor-profiler"  # the source of what Doctor has measured
ALARMS_AT_ONCE = 200  # so many are taken in, and so many VNFs looked at, before others have their turn
VNFS_AT_ONCE = 20
PACE = timedelta(
    milliseconds=20
)  # from one turn to the next: it leaves the loop to others for most of the time
BEHIND = timedelta(seconds=0.5)  # those who are told of a fault are told first
SWEEP_EVERY = timedelta(minutes=10)

TAKE_IN, SWEEP, READ = "service levels", "service levels: sweep", "service levels: read"
PROMISES: Mapping[str, Promise] = {str(promise): promise for promise in Promise}

Place = tuple[str, str]  # the owner, and the machine


class ServiceLevels:
    """Keeps the promises of the levels in view."""

    def __init__(
        self, situation: Situation, faults: FaultFlow, agenda: Agenda, clock: Clock, levels: Levels
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._agenda = agenda
        self._clock = clock
        self._levels = levels
        back = [
            level.window
            for level in levels.values()
            if level.availability is not None or level.failures_per_day is not None
        ]
        self._window = max(back, default=None)
        self._past: dict[Place, list[Outage]] = {}
        self._said: dict[tuple[str, Promise], Kept] = {}
        self._new: deque[Alarm] = deque()
        self._to_look: dict[str, None] = {}
        faults.on_settled(self._settled)
        situation.on_restored(self.start)

    def start(self) -> None:
        """Take over what is open, and have read what the store knows of outages."""
        self._said = dict(_said_of(self._situation))
        self._to_look.update((resource_id, None) for resource_id, _ in self._said)
        for record in self._situation.book:
            self._new.extend(record.alarms.values())
        now = self._clock.now()
        self._agenda.at(now, READ, self._read)
        self._agenda.at(now + SWEEP_EVERY, SWEEP, self._sweep)

    def _settled(self, transitions: Iterable[Transition]) -> None:
        """Note what a step did, as quickly as can be."""
        for transition in transitions:
            for alarms in (transition.raised, transition.changed, transition.cleared):
                self._new.extend(alarms)
            for alarm in transition.corrected:  # it was no outage of this VNF
                place = (alarm.project or "", alarm.resource_id)
                self._to_look.update((vnf.id, None) for vnf, _ in self._promised(place))
        if (self._new or self._to_look) and not self._agenda.has(TAKE_IN):
            self._agenda.at(self._clock.now() + BEHIND, TAKE_IN, self._take_in)

    async def _read(self, now: datetime) -> None:
        """Read the outages that are over: those of the longest window of any level."""
        past: dict[Place, list[Outage]] = {}
        if self._window is not None:
            since = now - self._window
            for alarm in await past_outages(self._situation, since):
                _put(past, alarm)
        self._past = past
        for place in past:
            self._to_look.update((vnf.id, None) for vnf, _ in self._promised(place))
        self._agenda.at(now, TAKE_IN, self._take_in)
        log.info("service_levels.read", machines=len(past))

    async def _take_in(self, now: datetime) -> None:
        """Take in what is new, and look at some of the VNFs that are concerned."""
        concerned: dict[Vnf, None] = {}
        for _ in range(min(ALARMS_AT_ONCE, len(self._new))):
            alarm = self._new.popleft()
            if alarm.resource_type == VIRTUAL_MACHINE and alarm.project is not None:
                concerned.update(self._promised((alarm.project, alarm.resource_id)))
                if self._window is not None and alarm.cleared_time is not None and is_outage(alarm):
                    _put(self._past, alarm)
        self._to_look.update((vnf.id, None) for vnf in concerned)
        due = [] if self._new else list(self._to_look)[:VNFS_AT_ONCE]
        changed = [change for resource_id in due for change in self._look(resource_id, now)]
        events = [event for event, _, _ in changed]
        if events:
            await self._faults.accept(
                [Reported([event], MEASURER, msgspec.json.encode(event), now) for event in events]
            )
        for _, key, kept in changed:
            if kept is Kept.YES:
                self._said.pop(key, None)
            else:
                self._said[key] = kept
        for resource_id in due:
            self._to_look.pop(resource_id, None)
        if self._new or self._to_look:
            self._agenda.at(now + PACE, TAKE_IN, self._take_in)

    def _look(self, resource_id: str, now: datetime) -> Iterator[tuple[RawEvent, tuple[str, Promise], Kept]]:
        """Return what is not as it was said last, each as the event that says so."""
        vnf = vnf_named(resource_id)
        machines = () if vnf is None else self._situation.resources.machines_of(vnf)
        standings: Mapping[Promise, Standing] = {}
        if vnf is not None and machines:
            ids = [machine.id for machine in machines]
            outages = open_outages(self._situation, ids, vnf.owner)
            outages += [outage for one in ids for outage in self._past.get((vnf.owner, one), ())]
            look = looked_at(machines, outages, self._levels, now)
            standings = {standing.promise: standing for standing in look.standings}
            self._plan(resource_id, look.again)
        for promise in Promise:
            standing = standings.get(promise) or Standing(promise, Kept.YES, {})
            key = (resource_id, promise)
            if standing.kept is not self._said.get(key, Kept.YES):
                yield _event(resource_id, standing, now), key, standing.kept

    def _plan(self, resource_id: str, again: datetime | None) -> None:
        key = SEPARATOR.join((TAKE_IN, resource_id))
        if again is None:
            self._agenda.cancel(key)
        else:
            self._agenda.at(again, key, lambda now: self._look_again(resource_id, now))

    async def _look_again(self, resource_id: str, now: datetime) -> None:
        self._to_look[resource_id] = None
        self._agenda.at(now, TAKE_IN, self._take_in)

    async def _sweep(self, now: datetime) -> None:
        """Forget outages that no window reaches any more, and see whether the VNFs are still there."""
        if self._window is not None:
            since = now - self._window
            for place, outages in list(self._past.items()):
                left = [one for one in outages if one.end is None or one.end > since]
                if left:
                    self._past[place] = left
                else:
                    del self._past[place]
        self._to_look.update((resource_id, None) for resource_id, _ in self._said)
        self._agenda.at(now, TAKE_IN, self._take_in)
        self._agenda.at(now + SWEEP_EVERY, SWEEP, self._sweep)

    def _promised(self, place: Place) -> Iterator[tuple[Vnf, None]]:
        """Return the VNF of a machine, if it may have been promised anything."""
        owner, machine_id = place
        machine = self._situation.resources.virtual.get(machine_id)
        if machine is None or machine.owner != owner:
            return
        if machine.group is not None or machine.sal is not None:
            yield vnf_of(machine), None


def _put(past: dict[Place, list[Outage]], alarm: Alarm) -> None:
    assert alarm.project is not None  # a machine's
    past.setdefault((alarm.project, alarm.resource_id), []).append(outage_of(alarm))


def _said_of(situation: Situation) -> Iterator[tuple[tuple[str, Promise], Kept]]:
    """Return what was said of which promises, as far as it is not that they are kept."""
    for record in situation.book:
        details = record.fault.details
        promise = PROMISES.get(str(details.get(PROMISE)))
        if promise is not None:
            kept = Kept.AT_RISK if details.get("kept") == Kept.AT_RISK else Kept.NO
            yield (record.fault.resource_id, promise), kept


def _event(resource_id: str, standing: Standing, now: datetime) -> RawEvent:
    event_type = f"service.level.{standing.promise}"
    status = "up" if standing.kept is Kept.YES else "down"
    said = {PROMISE: standing.promise, "kept": standing.kept, "status": status, **standing.details}
    return RawEvent(
        time=now,
        type=event_type,
        resource=resource_id,
        resource_type=VNF,
        source=MEASURER,
        status=status,
        raw_details=msgspec.json.encode(said),
    )
