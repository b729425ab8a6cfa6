"""Planted bugs of maintenance: each would leave a host half-way, take more than may be away, or overhear its owners."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from doctor.flows import maintenance as maintenance_module
from doctor.flows import maintenance_desk as desk_module
from doctor.flows.instruction import InstructionFlow
from doctor.flows.maintenance import MaintenanceFlow
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.flows.maintenance_session import Look, SessionKeeper
from doctor.flows.situation import HOST_MEMO, Situation
from doctor.flows.step import Draft
from doctor.maintenance import guests as guests_module
from doctor.maintenance.guests import Sight, decided
from doctor.maintenance.stages import may_begin, verdict
from doctor.model.maintenance import Decider, Deed, Guest, HostStage, HostWork, Session, SessionState
from doctor.model.notification import Phase
from doctor.ports.store import Snapshot
from doctor.recovery import gate
from doctor.recovery.turns import Turn
from doctor.testing.simulation.environment import Patch
from doctor.testing.simulation.mutants import mutant

maintained = partial(mutant, where="maintenance")


# --- a host is empty in time, or serves as before ---


@maintained
def deadline_is_forgotten(patch: Patch) -> None:
    """Go on with a host for as long as it takes."""

    def patient(work: HostWork, state: Any, now: datetime) -> Any:
        return verdict(replace(work, deadline=None), state, now)

    patch.set(maintenance_module, "verdict", patient)


@maintained
def deadline_begins_anew_with_a_restart(patch: Patch) -> None:
    """Give a host all of its time again when Doctor has died over it."""
    restore = Situation._restore

    async def later(self: Situation) -> Snapshot:
        snapshot = await restore(self)
        book = self.maintenance
        for session in list(book):
            for work in book.works(session.session_id):
                if work.stage is HostStage.EMPTYING and work.deadline is not None:
                    book.put_host(replace(work, deadline=work.deadline + session.timeout))
        return snapshot

    patch.set(Situation, "_restore", later)


@maintained
def rest_is_as_long_as_the_work(patch: Patch) -> None:
    """Rest for twice as long as a look has taken, although it was the disk that was slow, or Doctor hung."""
    patch.set(maintenance_module, "LONGEST_REST", 10_000.0)


@maintained
def host_of_a_session_is_kept_in_memory_only(patch: Patch) -> None:
    """Forget to write down how far it is with a host."""
    keep = Situation.keep

    async def without(self: Situation, change: Any, *more: Any) -> None:
        change.memos = [
            one for one in change.memos if one.kind != HOST_MEMO or b"waiting" in (one.record or b"")
        ]
        await keep(self, change, *more)

    patch.set(Situation, "keep", without)


@maintained
def what_was_shut_down_stays_so(patch: Patch) -> None:
    """Call the instructions off when a host is given up or back, and start nothing again."""
    undo = SessionKeeper.undo

    async def half(self: SessionKeeper, works: Iterable[HostWork]) -> list[HostWork]:
        here = list(works)
        calm = [replace(one, guests=tuple(replace(guest, ran=False) for guest in one.guests)) for one in here]
        await undo(self, calm)
        return here

    patch.set(SessionKeeper, "undo", half)


@maintained
def what_is_queued_is_not_called_off(patch: Patch) -> None:
    """Leave an instruction that has not begun as it is when its host is given up."""

    async def leave(_self: InstructionFlow, _identity: Any, _instruction_id: str) -> None:
        return

    patch.set(InstructionFlow, "cancel", leave)


@maintained
def orphans_are_not_adopted(patch: Patch) -> None:
    """Overlook an instruction that was kept just before Doctor died, and of which its host does not know."""
    patch.set(SessionKeeper, "adopted", lambda _self, work: work)


# --- one response ---


@maintained
def response_at_every_look(patch: Patch) -> None:
    """Answer again whenever a session that is over is looked at."""

    def again(self: SessionKeeper, look: Look, now: datetime) -> Look:
        return self.answered(_with_outcome(self, look, now), now) if _is_over(self, look, now) else look

    _with_outcome = SessionKeeper.with_outcome

    def _is_over(self: SessionKeeper, look: Look, now: datetime) -> bool:
        return _with_outcome(self, look, now).session.state.is_over

    patch.set(SessionKeeper, "with_outcome", again)


@maintained
def nobody_answers_for_what_is_called_off(patch: Patch) -> None:
    """Tell owners that a session was called off, and not the Administrator who gets the response."""
    answered = SessionKeeper.answered

    def silent(self: SessionKeeper, look: Look, now: datetime) -> Look:
        return look if look.session.state is SessionState.ABORTED else answered(self, look, now)

    patch.set(SessionKeeper, "answered", silent)


@maintained
def response_is_told_before_it_is_kept(patch: Patch) -> None:
    """Write the response in a transaction of its own, before that of the step."""
    keep = SessionKeeper.keep

    async def split(self: SessionKeeper, look: Look, draft: Draft) -> None:
        if Phase.RESULT in look.said:
            early = Look(replace(look.session, state=SessionState.RUNNING, answered=None), {}, {})
            await keep(self, early._replace(said={Phase.RESULT: []}), Draft(draft.now))
        await keep(self, look, draft)

    patch.set(SessionKeeper, "keep", split)


# --- limits ---


@maintained
def turns_are_not_kept(patch: Patch) -> None:
    """Begin with all hosts of a session at once, however many may be away."""

    def all_(session: Session, works: Iterable[HostWork], now: datetime) -> list[HostWork]:
        return may_begin(replace(session, at_once=None), works, now)

    patch.set(maintenance_module, "may_begin", all_)


@maintained
def limits_of_groups_are_ignored(patch: Patch) -> None:
    """Let machines leave however many of their group are away."""
    waits = gate._waits

    def careless(instruction: Any, action: Any, facts: Any) -> Any:
        return waits(instruction, action, facts._replace(others_away=0))

    patch.set(gate, "_waits", careless)


@maintained
def machines_go_where_it_is_emptied_next(patch: Patch) -> None:
    """Place machines on hosts that are being emptied themselves."""
    turns = MaintenanceFlow._turns

    def astray(self: MaintenanceFlow, due: Any) -> dict[str, Any]:
        found = dict(turns(self, due))
        for work, guest, _ in due:
            turn = found[guest.resource_id]
            going = [host for host in self._situation.maintenance.hosts if host != work.host]
            if isinstance(turn, Turn) and turn.target is not None and going:
                found[guest.resource_id] = turn._replace(target=going[0])
        return found

    patch.set(MaintenanceFlow, "_turns", astray)


@maintained
def a_pause_is_overheard(patch: Patch) -> None:
    """Go on with a session that was paused."""
    advance = MaintenanceFlow._advance

    async def eager(self: MaintenanceFlow, session_id: str) -> Any:
        session = self._situation.maintenance.get(session_id)
        if session is not None and session.state is SessionState.PAUSED:
            self._situation.maintenance._sessions[session_id] = replace(session, state=SessionState.RUNNING)
        return await advance(self, session_id)

    patch.set(MaintenanceFlow, "_advance", eager)


@maintained
def a_host_may_be_in_two_sessions(patch: Patch) -> None:
    """Take a request for a host that is in another session already."""
    hosts = MaintenanceDesk._hosts

    def all_(self: MaintenanceDesk, request: Any, now: datetime) -> Any:
        book = self._situation.maintenance
        known, book._open = book._open, {}
        try:
            return hosts(self, request, now)
        finally:
            book._open = known

    patch.set(MaintenanceDesk, "_hosts", all_)


# --- owners ---


@maintained
def silence_is_consent(patch: Patch) -> None:
    """Migrate the machines of those who have not answered."""

    def taken(guest: Guest, deed: Deed, by: Decider, sight: Sight, now: datetime, **more: Any) -> Guest:
        meant = Deed.MIGRATE if by is Decider.SILENCE else deed
        return decided(guest, meant, by, sight, now, **more)

    patch.set(guests_module, "decided", taken)


@maintained
def a_refusal_is_overheard(patch: Patch) -> None:
    """Migrate the machines of those who want them to stay."""

    def heard(guest: Guest, deed: Deed, by: Decider, sight: Sight, now: datetime, **more: Any) -> Guest:
        return decided(guest, Deed.MIGRATE if deed is Deed.LEAVE else deed, by, sight, now, **more)

    patch.set(guests_module, "decided", heard)
    patch.set(desk_module, "decided", heard)
