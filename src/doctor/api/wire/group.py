"""The shapes of redundancy groups."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from doctor.api.wire.duration import Duration, duration_in
from doctor.flows.group import Known
from doctor.model.errors import Flaw, RejectedError
from doctor.model.group import Group

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
MOST_MEMBERS = 10_000


class GroupIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What I say of a group of mine; it takes the place of what I said of it before.

    ``members`` are in it beside those that the map has in it, ``roles`` are by machine (`ACT`, `STBY`). At most
    ``max_out`` of it are away at once by an instruction or for maintenance; ``recovery_time`` passes between two that
    leave a host that is emptied; ``max_per_host`` bounds how many Doctor starts on one host, and ``anti_affinity`` is the
    same as 1. What is left out stays as the map has it.
    """

    members: Annotated[list[Name], msgspec.Meta(max_length=MOST_MEMBERS)] = []
    roles: Annotated[dict[Name, Name], msgspec.Meta(max_length=MOST_MEMBERS)] = {}
    max_out: Annotated[int, msgspec.Meta(ge=0, le=10**6)] | None = None
    recovery_time: Duration | None = None
    max_per_host: Annotated[int, msgspec.Meta(ge=1, le=10**6)] | None = None
    anti_affinity: bool = False
    label: Annotated[str, msgspec.Meta(max_length=255)] = ""


class MemberOut(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of a group; ``by_owner`` is whether its owner has put it there, and not the map."""

    virtual_resource_id: str
    role: str | None
    by_owner: bool


class GroupOut(msgspec.Struct, frozen=True, kw_only=True):
    """A group as it holds now, by the word of its owner and by the map. ``recovery_time`` in seconds.

    ``user`` and ``changed`` are null where its owner has said nothing of it.
    """

    name: str
    project: str
    label: str
    members: tuple[MemberOut, ...]
    max_out: int | None
    recovery_time: float | None
    max_per_host: int | None
    anti_affinity: bool
    user: str | None
    changed: datetime | None


def group_of(given: GroupIn, project: str, name: str) -> Group:
    """Return a group as it was written.

    Raises:
        RejectedError: a duration is none, or two words of it do not go together.
    """
    flaws: list[Flaw] = []
    recovery = None
    if given.recovery_time is not None:
        recovery = duration_in(given.recovery_time, "/recovery_time", flaws, most=timedelta(days=1))
    if given.anti_affinity and given.max_per_host not in (None, 1):
        flaws.append(Flaw("/max_per_host", "is 1 with anti_affinity: leave one of them out"))
    if flaws:
        raise RejectedError("the group is wrong", flaws=flaws)
    return Group(
        project=project,
        name=name,
        members=tuple(given.members),
        roles=given.roles,
        max_out=given.max_out,
        recovery_time=None if recovery is None else recovery.total_seconds(),
        max_per_host=1 if given.anti_affinity else given.max_per_host,
        label=given.label,
    )


def group_out(known: Known) -> GroupOut:
    """Return a group as it is shown."""
    said = known.said
    own = frozenset(() if said is None else said.members)
    return GroupOut(
        name=known.name,
        project=known.project,
        label="" if said is None else said.label,
        members=tuple(
            MemberOut(virtual_resource_id=one.id, role=one.role, by_owner=one.id in own)
            for one in known.machines
        ),
        max_out=known.max_out,
        recovery_time=known.recovery_time,
        max_per_host=known.max_per_host,
        anti_affinity=known.max_per_host == 1,
        user=None if said is None else said.user,
        changed=None if said is None else said.changed,
    )
