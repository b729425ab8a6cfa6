"""Failure impact zones in the course of some faults, without a flow: nobody is asked, so nobody decides.

What a fault takes down is not weighed here.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from doctor.inspector.zone_book import Change, Duties, End, Explain, Open, Present, ZoneBook
from doctor.kit.ids import SEPARATOR
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault
from doctor.model.policy import ZoneLevel
from doctor.model.resource_map import ResourceMap


class Told(NamedTuple):
    """A fault on a zone that begins, or is over."""

    fault: Fault
    is_over: bool


class ZoneCourse:
    """Faults go in, faults on zones come out."""

    def __init__(self, levels: Iterable[ZoneLevel]) -> None:
        self._levels = {level.type: level for level in levels}
        self._book = AlarmBook()
        self._zones = ZoneBook(lambda *parts: SEPARATOR.join(parts))
        self._due: dict[str, datetime] = {}

    def passes(self, resources: ResourceMap, now: datetime) -> Iterator[Told]:
        """Let time pass."""
        while due := [(moment, zone) for zone, moment in self._due.items() if moment <= now]:
            moment, zone = min(due)
            del self._due[zone]
            present = Present(self._levels, self._book, resources, moment)
            yield from self._perform(self._zones.passes(zone, present), present)

    def takes(self, fault: Fault, resources: ResourceMap) -> Iterator[Told]:
        """Take a fault as it is now, and what it means for the zones around its resource."""
        now = fault.cleared_time or fault.changed_time or fault.raised_time
        self._settle(fault)
        present = Present(self._levels, self._book, resources, now)
        yield from self._perform(self._zones.heed(fault, present), present)

    def _perform(self, duties: Duties, present: Present) -> Iterator[Told]:
        done: list[Fault] = []
        for duty in duties:
            match duty:
                case Open(fault):
                    done.append(fault)
                    yield Told(fault, is_over=False)
                case Change(fault):
                    done.append(fault)
                case Explain(fault_key, symptoms):
                    done.append(replace(self._fault(fault_key), explains=symptoms))
                case End(fault_key):
                    done.append(replace(self._fault(fault_key), cleared_time=present.now))
                    yield Told(done[-1], is_over=True)
            self._settle(done[-1])
        for zone in self._zones.take_changed():
            due = self._zones.due(zone, present)
            if due is None:
                self._due.pop(zone, None)
            else:
                self._due[zone] = due
        for fault in done:
            yield from self._perform(self._zones.heed(fault, present), present)

    def _fault(self, fault_key: str) -> Fault:
        record = self._book.fault(fault_key)
        assert record is not None  # zones speak of faults of their own
        return record.fault

    def _settle(self, fault: Fault) -> None:
        """Take a fault over as it is now: with one alarm, since nothing is taken down here."""
        known = self._book.fault(fault.fault_key)
        alarm = Alarm(
            fault.fault_key,
            fault.fault_key,
            fault.resource_id,
            fault.resource_type,
            None,
            fault.severity,
            fault.state,
            is_root_cause=True,
            raised_time=fault.raised_time,
        )
        record = AlarmedFault(fault=fault, alarms={fault.resource_id: alarm})
        self._book.apply(
            Transition(
                record=record,
                raised=(alarm,) if known is None else (),
                cleared=() if fault.is_open else (alarm,),
            )
        )
