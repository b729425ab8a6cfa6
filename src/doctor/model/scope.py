"""For which of a project's machines something is said beforehand: one, a group, all of a service availability level."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Generic, NamedTuple, Protocol, TypeVar

from doctor.model.resource import VirtualResource


class ScopeKind(StrEnum):
    """For what a policy stands; the narrower one counts, and these are from narrow to wide."""

    MACHINE = "machine"
    GROUP = "group"
    SAL = "sal"


class Scope(NamedTuple):
    """The machines of a project that a policy stands for: one, a group, or all of a service availability level."""

    kind: ScopeKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def covers(self, machine: VirtualResource) -> bool:
        """Tell whether a machine of the project is one of them."""
        match self.kind:
            case ScopeKind.MACHINE:
                return machine.id == self.name
            case ScopeKind.GROUP:
                return machine.group == self.name
            case ScopeKind.SAL:
                return machine.sal is not None and str(machine.sal) == self.name


class Scoped(Protocol):
    """What is said for a scope of a project."""

    @property
    def project(self) -> str:
        """Return whose word it is."""
        ...

    @property
    def scope(self) -> Scope:
        """Return for which of his machines."""
        ...


Policy = TypeVar("Policy", bound=Scoped)


class ScopeBook(Generic[Policy]):
    """All that is said of one kind, one word for each scope."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        self._all = {(one.project, str(one.scope)): one for one in policies}

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def put(self, policy: Policy) -> None:
        """Have a policy, in place of the one of its scope."""
        self._all[policy.project, str(policy.scope)] = policy

    def forget(self, project: str, scope: Scope) -> None:
        """Have none for a scope."""
        self._all.pop((project, str(scope)), None)

    def get(self, project: str, scope: Scope) -> Policy | None:
        """Return the policy of a scope, or None."""
        return self._all.get((project, str(scope)))

    def of(self, machine: VirtualResource) -> Policy | None:
        """Return what holds for a machine, the narrowest word, None if nobody has said anything."""
        return self.of_machine(machine) or self.of_group(machine) or self.of_level(machine)

    def of_machine(self, machine: VirtualResource) -> Policy | None:
        """Return what is said of a machine itself."""
        return self.get(machine.owner, Scope(ScopeKind.MACHINE, machine.id)) if self._all else None

    def of_group(self, machine: VirtualResource) -> Policy | None:
        """Return what is said of the group of a machine."""
        if machine.group is None or not self._all:
            return None
        return self.get(machine.owner, Scope(ScopeKind.GROUP, machine.group))

    def of_level(self, machine: VirtualResource) -> Policy | None:
        """Return what is said of the level of a machine."""
        if machine.sal is None or not self._all:
            return None
        return self.get(machine.owner, Scope(ScopeKind.SAL, str(machine.sal)))
