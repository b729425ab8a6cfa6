"""Takes what owners say beforehand about the recovery of their machines [D 3.3.6]."""

from collections.abc import Callable, Iterable

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.situation import RECOVERY_POLICY_MEMO, Situation
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity
from doctor.model.recovery import RecoveryPolicy, Scope, ScopeKind
from doctor.model.resource import VIRTUAL_MACHINE, VirtualResource
from doctor.ports.store import Change, Memo
from doctor.recovery.policies import flaws, wish_of, with_usual

log = structlog.get_logger(__name__)

MOST = 1000  # policies of a project

LookAt = Callable[[Iterable[str]], None]


class RecoveryPolicyFlow:
    """All recovery policies. ``look_at`` hears which machines may be recovered otherwise than before."""

    def __init__(self, situation: Situation, clock: Clock, look_at: LookAt) -> None:
        self._situation = situation
        self._clock = clock
        self._look_at = look_at

    def all(self, identity: Identity) -> list[RecoveryPolicy]:
        """Return the policies that somebody may see, in their order."""
        found = [one for one in self._situation.recovery_policies if identity.scope in (None, one.project)]
        return sorted(found, key=lambda one: (one.project, str(one.scope)))

    def get(self, project: str, scope: Scope) -> RecoveryPolicy:
        """Return the policy of a scope.

        Raises:
            RejectedError: there is none.
        """
        found = self._situation.recovery_policies.get(project, scope)
        if found is None:
            raise RejectedError("there is no such recovery policy", reason=Reason.NOT_FOUND)
        return found

    def machine(self, identity: Identity, resource_id: str) -> VirtualResource:
        """Return a machine of which somebody may speak.

        Raises:
            RejectedError: there is none, or it is somebody else's: the same answer for both.
        """
        found = self._situation.resources.virtual.get(resource_id)
        if found is None or identity.scope not in (None, found.owner) or found.type != VIRTUAL_MACHINE:
            raise RejectedError("there is no such virtual machine", reason=Reason.NOT_FOUND)
        return found

    def holding(self, machine: VirtualResource) -> RecoveryPolicy | None:
        """Return what holds for a machine, None if nobody has said anything."""
        return self._situation.recovery_policies.of(machine)

    def unread_wish(self, machine: VirtualResource) -> str | None:
        """Return the wish that is written down with a machine, if nobody can read it."""
        return machine.recovery if machine.recovery and wish_of(machine) is None else None

    def machines_of(self, policy: RecoveryPolicy) -> list[VirtualResource]:
        """Return the machines for which a policy stands, if nothing narrower does."""
        resources = self._situation.resources
        owned = (resources.virtual[one] for one in resources.owned_by(policy.project))
        return [
            one
            for one in owned
            if one.type == VIRTUAL_MACHINE
            and policy.scope.name
            == {
                ScopeKind.MACHINE: one.id,
                ScopeKind.GROUP: one.group,
                ScopeKind.SAL: None if one.sal is None else str(one.sal),
            }[policy.scope.kind]
        ]

    async def put(self, policy: RecoveryPolicy, *, user: str) -> RecoveryPolicy:
        """Have a policy from now on, also for machines that are out already.

        Raises:
            RejectedError: it is wrong; each flaw says where.
            StoreError: it was not kept, and does not hold.
        """
        situation = self._situation
        async with situation.setting:
            await situation.ready()
            book = situation.recovery_policies
            usual = tuple(with_usual(step) for step in policy.steps)
            made = replace(policy, steps=usual, user=user, changed=self._clock.now())
            if wrong := list(flaws(made, book)):
                raise RejectedError("the recovery policy is wrong", flaws=wrong)
            is_new = book.get(made.project, made.scope) is None
            if is_new and sum(one.project == made.project for one in book) >= MOST:
                flaw = Flaw("", f"a project has {MOST} recovery policies at most: remove some")
                raise RejectedError("there are too many", reason=Reason.TOO_MANY, flaws=[flaw])
            await situation.keep(Change(memos=[_memo(made.project, made.scope, made)]))
            situation.recovery_policies.put(made)
        log.info("recovery_policy.set", project=made.project, scope=str(made.scope), user=user)
        self._look_at(one.id for one in self.machines_of(made))
        return made

    async def forget(self, project: str, scope: Scope, *, user: str) -> None:
        """Have no policy for a scope any more. What was begun by it goes on to the end of its step.

        Raises:
            RejectedError: there is none.
            StoreError: it was not kept, and still holds.
        """
        situation = self._situation
        async with situation.setting:
            await situation.ready()
            gone = self.get(project, scope)
            await situation.keep(Change(memos=[_memo(project, scope, None)]))
            situation.recovery_policies.forget(project, scope)
        log.info("recovery_policy.removed", project=project, scope=str(scope), user=user)
        self._look_at(one.id for one in self.machines_of(gone))


def _memo(project: str, scope: Scope, policy: RecoveryPolicy | None) -> Memo:
    record = None if policy is None else msgspec.msgpack.encode(policy)
    return Memo(kind=RECOVERY_POLICY_MEMO, key=f"{project}{SEPARATOR}{scope}", record=record)
