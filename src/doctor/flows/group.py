"""Takes what owners say of their redundancy groups: who is in one, and what the group bears [HA 5.3].

It holds for the very next event: the map says of machines what their owners say, wherever the map comes from.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.fault import FaultFlow
from doctor.flows.situation import GROUP_MEMO, Situation
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.group import Group
from doctor.model.identity import Identity
from doctor.model.map_news import MapDelta
from doctor.model.resource import VIRTUAL_MACHINE, Constraints, VirtualResource
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

MOST = 1000  # groups of which a project may say something


class Known(NamedTuple):
    """A group as it is: what its owner has said of it, if anything, and who is in it by his word or by the map."""

    said: Group | None
    project: str
    name: str
    machines: Sequence[VirtualResource]

    @property
    def max_out(self) -> int | None:
        """Return how many of it may be away at once, None: nobody has said."""
        if self.said is not None and self.said.max_out is not None:
            return self.said.max_out
        return min((one.max_out for one in self._limits if one.max_out is not None), default=None)

    @property
    def recovery_time(self) -> float | None:
        """Return how many seconds pass between two that leave."""
        if self.said is not None and self.said.recovery_time is not None:
            return self.said.recovery_time
        return max((one.recovery_time for one in self._limits if one.recovery_time is not None), default=None)

    @property
    def max_per_host(self) -> int | None:
        """Return how many of it may be on one host."""
        own = None if self.said is None else self.said.max_per_host
        return min((one.together for one in self._limits if one.together is not None), default=own)

    @property
    def _limits(self) -> list[Constraints]:
        return [one.constraints for one in self.machines if one.constraints is not None]


class GroupFlow:
    """All groups. ``look_at`` hears of which machines something else holds than before."""

    def __init__(
        self,
        situation: Situation,
        faults: FaultFlow,
        clock: Clock,
        look_at: Callable[[Iterable[str]], None],
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._clock = clock
        self._look_at = look_at
        situation.on_restored(lambda: situation.dress(situation.resources))

    def all(self, identity: Identity) -> list[Known]:
        """Return the groups that somebody may see: those of the map, and those that owners have named."""
        resources, scope = self._situation.resources, identity.scope
        names = {(one.project, one.name) for one in self._situation.groups if scope in (None, one.project)}
        machines = (
            resources.virtual.values()
            if scope is None
            else (resources.virtual[one] for one in resources.owned_by(scope))
        )
        names |= {
            (one.owner, one.group)
            for one in machines
            if one.group is not None and one.type == VIRTUAL_MACHINE
        }
        return [self._known(*name) for name in sorted(names)]

    def get(self, project: str, name: str) -> Known:
        """Return a group.

        Raises:
            RejectedError: there is none.
        """
        found = self._known(project, name)
        if found.said is None and not found.machines:
            raise RejectedError("there is no such group", reason=Reason.NOT_FOUND)
        return found

    def _known(self, project: str, name: str) -> Known:
        resources = self._situation.resources
        members = (resources.virtual[one] for one in resources.group(project, name))
        machines = [one for one in members if one.type == VIRTUAL_MACHINE]
        return Known(self._situation.groups.get(project, name), project, name, machines)

    async def put(self, group: Group, *, user: str) -> Known:
        """Have this said of a group from now on.

        Raises:
            RejectedError: it is wrong; each flaw says where.
            StoreError: it was not kept, and does not hold.
        """
        async with self._situation.setting:
            await self._situation.ready()
            await self._put(group, user)
        return self._known(group.project, group.name)

    async def join(self, project: str, name: str, machine: str, *, user: str) -> None:
        """Have a machine in a group, and in no other one by its owner's word.

        Raises:
            RejectedError: the machine is not his.
            StoreError: it was not kept.
        """
        groups = self._situation.groups
        async with self._situation.setting:
            await self._situation.ready()
            if groups.group_of(project, machine) != name:
                await self._leave(project, machine, user)
                known = groups.get(project, name) or Group(project=project, name=name)
                await self._put(replace(known, members=(*known.members, machine)), user)

    async def leave(self, project: str, machine: str, *, user: str) -> None:
        """Have a machine in no group by its owner's word.

        Raises:
            StoreError: it was not kept.
        """
        async with self._situation.setting:
            await self._situation.ready()
            await self._leave(project, machine, user)

    async def forget(self, project: str, name: str, *, user: str) -> None:
        """Have nothing said of a group any more: what the map says counts.

        Raises:
            RejectedError: nothing is said of it.
            StoreError: it was not kept, and still holds.
        """
        async with self._situation.setting:
            await self._situation.ready()
            gone = self._situation.groups.get(project, name)
            if gone is None:
                raise RejectedError("nothing is said of such a group", reason=Reason.NOT_FOUND)
            await self._situation.keep(Change(memos=[_memo(project, name, None)]))
            before = self._concerned(gone)
            self._situation.groups.forget(project, name)
            await self._follow(before)
        log.info("group.removed", project=project, group=name, user=user)

    async def _put(self, group: Group, user: str) -> None:
        situation = self._situation
        if wrong := list(self._flaws(group)):
            raise RejectedError("the group is wrong", flaws=wrong)
        former = situation.groups.get(group.project, group.name)
        if former is None and sum(one.project == group.project for one in situation.groups) >= MOST:
            raise RejectedError(f"a project has {MOST} groups at most: remove some", reason=Reason.TOO_MANY)
        made = replace(group, user=user, changed=self._clock.now())
        await situation.keep(Change(memos=[_memo(made.project, made.name, msgspec.msgpack.encode(made))]))
        before = [] if former is None else self._concerned(former)
        situation.groups.put(made)
        await self._follow([*before, *self._concerned(made)])
        log.info("group.set", project=made.project, group=made.name, user=user)

    async def _leave(self, project: str, machine: str, user: str) -> None:
        name = self._situation.groups.group_of(project, machine)
        known = None if name is None else self._situation.groups.get(project, name)
        if known is not None:
            left = tuple(one for one in known.members if one != machine)
            roles = {one: role for one, role in known.roles.items() if one != machine}
            await self._put(replace(known, members=left, roles=roles), user)

    def _flaws(self, group: Group) -> Iterator[Flaw]:
        situation = self._situation
        known = situation.groups.get(group.project, group.name)
        former = () if known is None else known.members
        seen: set[str] = set()
        for index, name in enumerate(group.members):
            found = situation.resources.virtual.get(name)
            other = situation.groups.group_of(group.project, name)
            is_his = found is not None and (found.owner, found.type) == (group.project, VIRTUAL_MACHINE)
            if name in seen:
                yield Flaw(f"/members/{index}", f"{name!r} is there twice")
            elif not is_his and (found is not None or name not in former):  # one that is gone may stay
                yield Flaw(f"/members/{index}", "no machine of yours has this id")
            elif other not in (None, group.name):
                yield Flaw(f"/members/{index}", f"is in your group {other!r}: take it out of that first")
            seen.add(name)
        in_it = {*seen, *situation.resources.group(group.project, group.name)}
        for name in group.roles:
            if name not in in_it:
                yield Flaw(f"/roles/{name}", "is not in the group")

    def _concerned(self, group: Group) -> list[str]:
        """Return the machines of which a group says something."""
        return [*group.members, *self._situation.resources.group(group.project, group.name)]

    async def _follow(self, machines: Iterable[str]) -> None:
        """Have the map say of machines what holds now."""
        resources = self._situation.resources
        names = dict.fromkeys(machines)
        given = [one for name in names if (one := resources.as_given(name)) is not None]
        if given:
            await self._faults.change_map(MapDelta(virtual=tuple(given)))
        self._look_at(names)


def _memo(project: str, name: str, record: bytes | None) -> Memo:
    return Memo(kind=GROUP_MEMO, key=f"{project}{SEPARATOR}{name}", record=record)
