"""Takes what owners say beforehand of their machines: of one, of a group, of a service availability level."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity
from doctor.model.resource import VIRTUAL_MACHINE, VirtualResource
from doctor.model.scope import Scope, ScopeBook
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

MOST = 1000  # policies of one kind, of a project

LookAt = Callable[[Iterable[str]], None]


class Word(Protocol):
    """What somebody has said for a scope, who, and when."""

    @property
    def project(self) -> str:
        """Return whose word it is."""
        ...

    @property
    def scope(self) -> Scope:
        """Return for which of his machines."""
        ...

    @property
    def user(self) -> str:
        """Return who said it."""
        ...

    @property
    def changed(self) -> datetime | None:
        """Return when."""
        ...


Policy = TypeVar("Policy", bound=Word)


class ScopedPolicyFlow(Generic[Policy]):
    """All policies of one kind. ``look_at`` hears for which machines another word may hold than before."""

    what: ClassVar[str]  # what such a policy is called
    memo: ClassVar[str]  # the kind of its records

    def __init__(self, situation: Situation, clock: Clock, look_at: LookAt) -> None:
        self._situation = situation
        self._clock = clock
        self._look_at = look_at

    def _book(self) -> ScopeBook[Policy]:
        """Return the policies as they are now."""
        raise NotImplementedError

    def _completed(self, policy: Policy) -> Policy:
        """Return a policy with what its author need not say."""
        return policy

    def _flaws(self, policy: Policy) -> Iterator[Flaw]:
        """Return what is wrong with a policy."""
        raise NotImplementedError

    def all(self, identity: Identity) -> list[Policy]:
        """Return the policies that somebody may see, in their order."""
        found = [one for one in self._book() if identity.scope in (None, one.project)]
        return sorted(found, key=lambda one: (one.project, str(one.scope)))

    def get(self, project: str, scope: Scope) -> Policy:
        """Return the policy of a scope.

        Raises:
            RejectedError: there is none.
        """
        found = self._book().get(project, scope)
        if found is None:
            raise RejectedError(f"there is no such {self.what}", reason=Reason.NOT_FOUND)
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

    def holding(self, machine: VirtualResource) -> Policy | None:
        """Return what holds for a machine, None if nobody has said anything."""
        return self._book().of(machine)

    def machines_of(self, policy: Policy) -> list[VirtualResource]:
        """Return the machines for which a policy stands, if nothing narrower does."""
        resources = self._situation.resources
        owned = (resources.virtual[one] for one in resources.owned_by(policy.project))
        return [one for one in owned if one.type == VIRTUAL_MACHINE and policy.scope.covers(one)]

    async def put(self, policy: Policy, *, user: str) -> Policy:
        """Have a policy from now on.

        Raises:
            RejectedError: it is wrong; each flaw says where.
            StoreError: it was not kept, and does not hold.
        """
        situation = self._situation
        async with situation.setting:
            await situation.ready()
            said = {"user": user, "changed": self._clock.now()}
            made: Policy = replace(self._completed(policy), **said)  # type: ignore[type-var]
            if wrong := list(self._flaws(made)):
                raise RejectedError(f"the {self.what} is wrong", flaws=wrong)
            book = self._book()
            is_new = book.get(made.project, made.scope) is None
            if is_new and sum(one.project == made.project for one in book) >= MOST:
                flaw = Flaw("", f"a project has {MOST} of them at most: remove some")
                raise RejectedError("there are too many", reason=Reason.TOO_MANY, flaws=[flaw])
            await situation.keep(Change(memos=[self._memo(made.project, made.scope, made)]))
            self._book().put(made)
        log.info("policy.set", kind=self.what, project=made.project, scope=str(made.scope), user=user)
        self._look_at(one.id for one in self.machines_of(made))
        return made

    async def forget(self, project: str, scope: Scope, *, user: str) -> None:
        """Have no policy for a scope any more. What was begun by it goes on to its end.

        Raises:
            RejectedError: there is none.
            StoreError: it was not kept, and still holds.
        """
        situation = self._situation
        async with situation.setting:
            await situation.ready()
            gone = self.get(project, scope)
            await situation.keep(Change(memos=[self._memo(project, scope, None)]))
            self._book().forget(project, scope)
        log.info("policy.removed", kind=self.what, project=project, scope=str(scope), user=user)
        self._look_at(one.id for one in self.machines_of(gone))

    def _memo(self, project: str, scope: Scope, policy: Policy | None) -> Memo:
        record = None if policy is None else msgspec.msgpack.encode(policy)
        return Memo(kind=self.memo, key=f"{project}{SEPARATOR}{scope}", record=record)
