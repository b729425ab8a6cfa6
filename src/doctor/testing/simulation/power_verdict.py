"""Judges one run with power: what was done, and whether in the end all that was begun has an end."""

from collections.abc import Iterator

import msgspec

from doctor.flows.situation import INSTRUCTION_MEMO, MARK_MEMO, RECOVERY_MEMO
from doctor.model.fence_job import FenceState
from doctor.model.instruction import Instruction
from doctor.model.notification import StoredNotification
from doctor.model.recovery import Recovery, RecoveryState
from doctor.testing.simulation.powered_world import PoweredWorld
from doctor.testing.simulation.referee import Figures, Referee

S = FenceState
NEEDS_PERSON = "isolation needs a person"
# As long as one of these holds a suspicion may last: somebody has said so, or something else has an alarm of its own.
PATIENT = frozenset(("mode", "hold", "storm", "cause", "self check", "start-up"))
TOLD = {
    S.SUSPECT: "pending",
    S.FENCED: "isolated",
    S.NEEDS_HUMAN: "failed",
}


def judge_power(world: PoweredWorld, moment: str) -> tuple[list[str], Figures]:
    """Say all that is wrong at a moment when everybody has got everything, and what has happened so far."""
    referee = Referee(world).judge()
    broken = list(referee.broken)
    broken += _stuck(world, referee)
    broken += _calls(world)
    broken += _untold(world)
    if moment == "when all is well again":
        broken += _left_over(world)
    return broken, referee.figures


def _stuck(world: PoweredWorld, referee: Referee) -> Iterator[str]:
    """What was begun has an end."""
    decisions = {one.host: one for one in world.store._fence_decisions}
    for host, job in world.jobs().items():
        if job.state in (S.AUTHORISED, S.CONFIRMING, S.UNFENCING, S.EXHAUSTED, S.CONTRADICTED):
            yield f"I-17: {host} is still {job.state}"
        if job.state in (S.SUSPECT, S.ATTEMPT):
            holding = {check.brake for check in decisions[host].checks if not check.passes}
            if not holding & PATIENT:
                yield f"I-17: {host} is still {job.state}, held back by {sorted(holding)}"
        if job.state is S.FENCED:
            since = next(step.tick for step in referee.jobs[host] if step.job.changed == job.changed)
            for name, word in referee.words[host].items():
                if word.is_alive and word.tick > since:
                    yield f"I-16: {host} counts as isolated, and {name} sees it alive"
    for record in world.store._memos.get(INSTRUCTION_MEMO, {}).values():
        one = msgspec.msgpack.decode(record, type=Instruction)
        if not one.is_over:
            yield f"[D 5.2.1]: {one.action} of {one.tasks[0].resource_id} is still {one.tasks[0].state}"
    for instruction_id in world.logbook.asked:
        if instruction_id not in world.store._memos.get(INSTRUCTION_MEMO, {}):
            yield f"I-1: {instruction_id} was taken, and is gone"
    for record in world.store._memos.get(RECOVERY_MEMO, {}).values():
        recovery = msgspec.msgpack.decode(record, type=Recovery)
        if recovery.state is RecoveryState.RUNNING and recovery.tries[-1].until < world.clock.now():
            yield f"[D 3.3.6]: the recovery of {recovery.resource_id} is still running"


def _calls(world: PoweredWorld) -> Iterator[str]:
    """A person is called for each host that needs one, and for no other."""
    called = {
        str(record.fault.details["host"])
        for record in world.store._faults.values()
        if record.fault.is_open and record.fault.fault_type == NEEDS_PERSON
    }
    needed = {host for host, job in world.jobs().items() if job.state is S.NEEDS_HUMAN}
    for host in needed - called:
        yield f"[4.4]: nobody is called for {host}"
    for host in called - needed:
        yield f"[4.4]: somebody is called for {host} for nothing"


def _untold(world: PoweredWorld) -> Iterator[str]:
    """Who hears of a host that is down knows how far its isolation got."""
    open_on: dict[str, str] = {}
    for record in world.store._faults.values():
        if record.fault.is_open:
            for alarm in record.alarms.values():
                if alarm.resource_state.is_out:
                    open_on[alarm.resource_id] = alarm.alarm_id
    for subscription_id, rows in world.store._notifications.items():
        subscription = world.store._subscriptions.get(subscription_id)
        if subscription is None or not subscription.change or subscription.filter.fault_type:
            continue
        known = _isolations(list(rows.values()))
        for resource, isolation in known.items():
            host = world.machines.get(resource, resource)
            job = world.jobs().get(host)
            if resource in open_on and job is not None and isolation != TOLD.get(job.state, isolation):
                yield f"[D 3.3.5]: {subscription_id} believes that {resource} is {isolation}, and {host} is {job.state}"


def _isolations(rows: list[StoredNotification]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in sorted(rows, key=lambda one: one.sequence):
        message = msgspec.json.decode(row.body)
        if message.get("maintenance") or "session_id" in message:
            continue  # that is how it was with hosts that served
        for info in (*message.get("physical_resource_info", ()), *message.get("virtual_resource_info", ())):
            found[info.get("physical_resource_id") or info["virtual_resource_id"]] = info["isolation"]
    return found


def _left_over(world: PoweredWorld) -> Iterator[str]:
    """When all is well no mark is left, and every machine runs once."""
    marks = world.store._memos.get(MARK_MEMO, {})
    for key in marks:
        yield f"[D 4.3.2]: the mark {key!r} is left"
    for host in world.cloud.content.physical:
        if host.vim_state != "enabled up":
            yield f"[D 4.3.2]: the cloud has {host.id} as {host.vim_state}"
    running = dict(world.plant.writers())
    for machine in world.cloud.content.virtual:
        where = running.get(machine.id, ())
        if machine.vim_state == "active" and where != (machine.host,):
            yield f"I-15: {machine.id} is on {machine.host}, and runs on {where}"
        elif machine.vim_state not in ("active", "stopped"):
            yield f"[D 4.3.2]: the cloud has {machine.id} as {machine.vim_state}"
