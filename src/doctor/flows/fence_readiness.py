"""Asks every fence device, hour after hour, whether it would do its work: login, identity, state, and no command.

What it finds is kept, can be asked for, and is reported like what any monitor sees: an event when a host could not be
cut off any more, and one when it could again.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import msgspec
import structlog

from doctor.fencing.readiness import (
    HostCheck,
    Readiness,
    StepCheck,
    judge_host,
    judge_step,
    unchecked,
)
from doctor.flows.fences import Fences
from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.model.errors import Reason, RejectedError
from doctor.model.event import RawEvent
from doctor.model.fault import ResourceState, Severity
from doctor.model.fence_plan import FencePlan, Step
from doctor.ports.monitor import Targets
from doctor.ports.store import Change, Memo, Snapshot

log = structlog.get_logger(__name__)

NAME = "fence readiness"
UNREADY = "fencing.unready"  # the type of the event
RESOURCE_TYPE = "fence"
CHECK_MEMO = "fence_check"

FIRST_AFTER = 2.0  # seconds: a start has other things to do, and loads no libraries for this
SIDE_BY_SIDE = 8  # steps that are checked at once
PATIENCE = 15.0  # seconds for all that is asked of one device for one host
STEP_CHECKS = msgspec.msgpack.Decoder(HostCheck)

SEVERITIES = {
    Readiness.UNREADY: Severity.MAJOR,
    Readiness.DEGRADED: Severity.WARNING,
}


class FenceReadiness:
    """Knows how it stands with the fences of each host. It is a monitor, too."""

    name = NAME

    def __init__(self, situation: Situation, fences: Fences, clock: Clock, *, every: timedelta) -> None:
        self._situation = situation
        self._fences = fences
        self._clock = clock
        self._every = every.total_seconds()
        self._checks = {host: unchecked(plan) for host, plan in fences.plans.items()}
        self._told: dict[str, Readiness] = {}
        self._news: dict[str, RawEvent] = {}
        self._bell = asyncio.Event()
        self._turn = asyncio.Semaphore(SIDE_BY_SIDE)

    def start(self, snapshot: Snapshot) -> None:
        """Take over what was found before; hosts that have no plan any more are forgotten."""
        for host, record in snapshot.memos.get(CHECK_MEMO, {}).items():
            if host in self._checks:
                self._checks[host] = STEP_CHECKS.decode(record)
            else:
                self._situation.store.later(Change(memos=[Memo(kind=CHECK_MEMO, key=host, record=None)]))

    @property
    def checks(self) -> list[HostCheck]:
        """Return what is known of every host that has a plan."""
        return list(self._checks.values())

    async def watch(self, targets: Targets) -> AsyncGenerator[RawEvent, None]:
        """Check all hosts again and again, and yield what has changed."""
        checking = asyncio.create_task(self._check_for_ever(), name=NAME)
        try:
            while True:
                await self._bell.wait()
                self._bell.clear()
                while self._news:
                    yield self._news.pop(next(iter(self._news)))
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)

    async def check(self, host: str) -> HostCheck:
        """Check one host now.

        Raises:
            RejectedError: there is no plan for such a host.
        """
        found = self._situation.resources.find(host)
        plan = self._fences.plan_of(host if found is None else found.id, self._situation.resources)
        if plan is None:
            raise RejectedError("no fences are set for such a host", reason=Reason.NOT_FOUND)
        steps = {step for level in plan.levels for step in level.steps}
        found_out = dict(
            zip(
                steps,
                await asyncio.gather(*(self._check_step(plan.host, step) for step in steps)),
                strict=True,
            )
        )
        feeds = sum(one.kind == "powers" for one in self._situation.resources.suppliers(plan.host))
        checked = judge_host(plan, found_out, self._fences.facts, feeds=feeds, now=self._clock.now())
        self._take(checked)
        return checked

    async def _check_for_ever(self) -> None:
        await asyncio.sleep(FIRST_AFTER)
        while True:
            began = self._clock.monotonic()
            await asyncio.gather(*(self._check_quietly(plan) for plan in self._fences.plans.values()))
            await asyncio.sleep(max(self._every - (self._clock.monotonic() - began), 0.0))

    async def _check_quietly(self, plan: FencePlan) -> None:
        try:
            await self.check(plan.host)
        except Exception:  # a defect in one driver must not end the checks of all
            log.exception("fence.check_failed", host=plan.host)

    async def _check_step(self, host: str, step: Step) -> StepCheck:
        device = self._fences.devices[step.device]
        async with self._turn:
            began = self._clock.monotonic()
            deadline = Deadline.after(PATIENCE, self._clock)
            identity = await device.identify(step.plug, deadline)
            reading = await device.status(step.plug, deadline, fresh=True)
            took = self._clock.monotonic() - began
        return judge_step(
            step,
            self._fences.facts[step.device],
            identity,
            reading,
            is_up=self._is_up(host),
            took_ms=round(took * 1000),
        )

    def _is_up(self, host: str) -> bool:
        return (
            host in self._situation.resources.physical
            and self._situation.book.state_of(host) is ResourceState.NORMAL
        )

    def _take(self, checked: HostCheck) -> None:
        before = self._checks[checked.host]
        self._checks[checked.host] = checked
        if checked.readiness is not before.readiness:
            log.info(
                "fence.checked", host=checked.host, readiness=checked.readiness.value, reason=checked.reason
            )
        memo = Memo(kind=CHECK_MEMO, key=checked.host, record=msgspec.msgpack.encode(checked))
        self._situation.store.later(Change(memos=[memo]))
        # After a start everything is told once: a fault that was left open ends by it.
        if self._told.get(checked.host) is not checked.readiness:
            self._told[checked.host] = checked.readiness
            self._news[checked.host] = event_of(checked, self._clock.now())
            self._bell.set()


def event_of(checked: HostCheck, now: datetime) -> RawEvent:
    """Return the event that tells how it stands with a host. Its owners are not told: their machines are well."""
    severity = SEVERITIES.get(checked.readiness, Severity.CLEARED)
    status = "up" if severity is Severity.CLEARED else "down"
    details = {
        "host": checked.host,
        "status": status,
        "severity": severity.perceived,
        "source": NAME,
        "monitor_id": NAME,
        "monitor_event_id": checked.host,
        "readiness": checked.readiness.value,
        "cause": checked.reason or "its fence devices answer",
    }
    return RawEvent(
        time=now,
        type=UNREADY,
        resource=f"fences of {checked.host}",
        resource_type=RESOURCE_TYPE,
        source=NAME,
        status=status,
        severity=severity.perceived,
        monitor_event_id=checked.host,
        raw_details=msgspec.json.encode(details),
    )
