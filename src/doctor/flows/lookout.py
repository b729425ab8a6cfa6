"""Doctor's own monitors are asked what they see before their silence is believed [I-13].

Stands before the judging of events: what a vantage reports of hosts that fell silent passes at once if the vantage
proves that it sees, and else waits until that is clear, for some tenths of a second. If it turns out that the vantage
is cut off there is one fault, of the vantage, and the hosts wait until it sees again; what is still silent then is
judged as if it were said now. While no vantage sees, nobody's absence says anything either.

What waits is in memory alone: a monitor that starts anew reports anew whom it does not hear.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from doctor.flows.agenda import Agenda
from doctor.flows.settlement import Settlement
from doctor.flows.situation import Situation
from doctor.flows.step import Step
from doctor.inspector.vantage import (
    MONITOR_ISOLATED,
    Held,
    Vantage,
    fault_of,
    is_blind,
    may_be_blind,
    sees_again,
)
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.alarm import AlarmedFault
from doctor.model.event import RawEvent
from doctor.model.policy import SelfIsolation
from doctor.model.vantage import CANARY_EVENT, SIGHT_EVENT, Sight

log = structlog.get_logger(__name__)

NOBODY_SPEAKS = timedelta(seconds=60)  # after a start: a vantage that says nothing is not there any more
UP = "up"

Judge = Callable[[RawEvent, str, Step], None]
ByItself = Callable[[Callable[[Step], None]], Awaitable[None]]


class Lookout:
    """Knows the vantages. ``judge`` takes what they say as any event; ``by_itself`` keeps what no event brings about."""

    def __init__(
        self,
        situation: Situation,
        agenda: Agenda,
        clock: Clock,
        settlement: Settlement,
        judge: Judge,
        by_itself: ByItself,
    ) -> None:
        self._situation = situation
        self._agenda = agenda
        self._clock = clock
        self._settlement = settlement
        self._judge = judge
        self._by_itself = by_itself
        self._vantages: dict[str, Vantage] = {}
        self._blind_before: set[str] = set()  # when this Doctor began
        self._cut_off_until: datetime | None = None
        situation.on_policy(self._reconsider_all)

    def start(self) -> None:
        """See after a while whether the vantages that were blind are still there to say that they see."""
        for record in self._situation.book:
            if record.fault.fault_type == MONITOR_ISOLATED and record.fault.is_derived:
                name = record.fault.resource_id
                self._blind_before.add(name)
                moment = self._clock.now() + NOBODY_SPEAKS
                self._agenda.at(moment, _plan("gone", name), partial(self._gone, name))

    def troubles(self) -> dict[str, str]:
        """Return by which vantage nobody is to be cut off now, and why: what it does not see may be there all the same."""
        names = sorted({*self._vantages, *self._blind_before})
        found = {
            name: _trouble(self._vantages.get(name) or Vantage(name), self.isolation(name)) for name in names
        }
        return {name: trouble for name, trouble in found.items() if trouble is not None}

    @property
    def vantages(self) -> list[Vantage]:
        """Return the vantages that have said something, by name."""
        return [self._vantages[name] for name in sorted(self._vantages)]

    def isolation(self, name: str) -> AlarmedFault | None:
        """Return the open fault that a vantage is cut off, or None."""
        return self._situation.book.open_fault(name, MONITOR_ISOLATED)

    def cut_off_until(self, now: datetime) -> datetime | None:
        """Return until when Doctor could not be sure to hear anybody: now if no vantage sees, None if one always did."""
        return now if self._is_cut_off else self._cut_off_until

    def passes(self, event: RawEvent, event_id: str, sight: Sight, step: Step) -> bool:
        """Take note of what a vantage says, and tell whether it is to be judged now."""
        vantage = self._vantages.setdefault(sight.vantage, Vantage(sight.vantage))
        is_up = event.status == UP
        if event.type == CANARY_EVENT:
            vantage.canary(event.resource, None if is_up else step.now)
            self._reconsider(vantage, step.now)
            return False
        if event.type == SIGHT_EVENT:
            if vantage.held and self.isolation(vantage.name) is None:
                self._let_go_soon(vantage, step.now)
            return False
        host = self._situation.id_of(event.resource)
        if is_up:
            vantage.sees(host)
            self._reconsider(vantage, step.now)
            return True
        rules = self._rules
        is_blind_already = self.isolation(vantage.name) is not None
        if (
            rules is None
            or vantage.is_overruled
            or (not is_blind_already and self._is_sure(vantage, sight, rules))
        ):
            vantage.believe(host, step.now)
            return True
        vantage.hold(host, Held(event, event_id, step.accepted, step.now))
        if is_blind_already:
            self._reconsider(vantage, step.now)
        elif len(vantage.held) == 1:
            moment = step.now + timedelta(seconds=sight.settles_in)
            self._agenda.at(moment, _plan("doubt", vantage.name), partial(self._decide, vantage))
        return False

    def overrule(self, name: str) -> None:
        """Believe a vantage until it sees again: somebody who knows better has ended its fault."""
        vantage = self._vantages.setdefault(name, Vantage(name))
        vantage.is_overruled = True
        log.warning("vantage.overruled", vantage=name, silent_hosts=len(vantage.held))
        self._let_go_soon(vantage, self._clock.now())

    @property
    def _is_cut_off(self) -> bool:
        return bool(self._vantages) and all(self.isolation(name) is not None for name in self._vantages)

    @property
    def _rules(self) -> SelfIsolation | None:
        return self._situation.selector.policy.self_isolation

    def _is_sure(self, vantage: Vantage, sight: Sight, rules: SelfIsolation) -> bool:
        return sight.is_clear or not (sight.canaries or may_be_blind(vantage, rules))

    def _reconsider(self, vantage: Vantage, now: datetime) -> None:
        """Look anew at a vantage of which something is news: whether it sees again."""
        rules = self._rules or SelfIsolation()
        sees, plan = sees_again(vantage, rules), _plan("return", vantage.name)
        if self.isolation(vantage.name) is None:
            vantage.is_overruled = vantage.is_overruled and not sees
        elif not sees:
            self._agenda.cancel(plan)
        elif not self._agenda.has(plan):
            self._agenda.at(now + rules.settle, plan, partial(self._return, vantage))

    def _reconsider_all(self) -> None:
        """Take over another policy: without a word on it everything is believed."""
        if self._rules is None:
            for vantage in self._vantages.values():
                if vantage.held:
                    self._let_go_soon(vantage, self._clock.now())

    def _let_go_soon(self, vantage: Vantage, now: datetime) -> None:
        self._agenda.at(now, _plan("doubt", vantage.name), partial(self._let_go, vantage))

    async def _decide(self, vantage: Vantage, now: datetime) -> None:
        """Believe what waits, or that the vantage is blind: all that fell silent with it has been reported by now."""
        situation, rules = self._situation, self._rules
        await situation.ready()
        if not vantage.held or self.isolation(vantage.name) is not None:
            return
        if rules is None or not is_blind(vantage, rules, situation.resources, now):
            await self._let_go(vantage, now)
            return
        log.error(
            "vantage.isolated",
            vantage=vantage.name,
            silent_hosts=len(vantage.held),
            seen_hosts=len(vantage.seen),
            canaries=len(vantage.canaries),
        )
        await self._by_itself(lambda step: self._open(vantage, step))

    def _open(self, vantage: Vantage, step: Step) -> None:
        first = min(vantage.held.values(), key=lambda held: held.since)
        key = self._situation.fault_key(first.event_id, vantage.name, MONITOR_ISOLATED)
        self._settlement.open(fault_of(vantage, fault_key=key, now=step.now), step)

    async def _return(self, vantage: Vantage, now: datetime) -> None:
        """End the fault of a vantage that has seen again for a while, and judge what is still silent."""
        rules = self._rules
        if rules is None or sees_again(vantage, rules):
            await self._let_go(vantage, now)

    async def _gone(self, name: str, now: datetime) -> None:
        if name not in self._vantages:
            await self._let_go(Vantage(name), now)

    async def _let_go(self, vantage: Vantage, now: datetime) -> None:
        """Judge what waits, as if it were said now; there is no doubt about the vantage any more."""
        waiting = dict(vantage.held)
        await self._by_itself(lambda step: self._judge_all(vantage.name, waiting, step))
        for host, held in waiting.items():
            if vantage.held.get(host) is held:
                vantage.believe(host, held.since)
        log.info("vantage.sees", vantage=vantage.name, silent_hosts=len(waiting))

    def _judge_all(self, name: str, waiting: dict[str, Held], step: Step) -> None:
        isolation = self.isolation(name)
        if isolation is not None:
            self._cut_off_until = self.cut_off_until(step.now)
            self._settlement.end(isolation, step)
        for held in waiting.values():
            step.accepted, step.reporter = held.received, name
            self._judge(held.event, held.event_id, step)


def _trouble(vantage: Vantage, isolation: AlarmedFault | None) -> str | None:
    """Say why a vantage is not good enough to act upon, which is more than not to be believed; None if it is."""
    canaries = vantage.canaries.values()
    if isolation is not None:
        return f"{vantage.name} is cut off"
    if vantage.held:
        return f"{vantage.name} may be cut off"
    if vantage.is_overruled:
        return f"{vantage.name} is believed on somebody's word only"
    if canaries and all(since is not None for since in canaries):
        return f"{vantage.name} sees none of its canaries"
    return None


def _plan(what: str, name: str) -> str:
    return SEPARATOR.join(("vantage", what, name))
