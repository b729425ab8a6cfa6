"""When a redundancy group is worth a word: N+M [D 3.3.3].

With N active machines and M standbys one failure harms nobody. In comes which failures of a group began and ended; out
goes which of them are to be told now. As long as no more members are out at the same time than the subscriber can
bear nothing is told; from the moment that more are out all of them are told, and each further one at once.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from doctor.model.resource import VirtualResource
from doctor.model.subscription import Aggregate


class Failure(msgspec.Struct, frozen=True):
    """One alarm that puts a member of the group out."""

    resource_id: str
    began: datetime


class Group(msgspec.Struct, frozen=True):
    """How a group stands, by alarm id: what is out, and what the subscriber was told of.

    ``exceeded`` is whether more are out than the subscriber can bear. What was told is forgotten when it is cleared; an
    alarm that no longer puts its machine out stays told until then.
    """

    out: Mapping[str, Failure] = {}
    told: frozenset[str] = frozenset()
    exceeded: bool = False


class Step(NamedTuple):
    """How a group stands afterwards, and which alarms are to be told as failures now, the oldest first."""

    group: Group
    tell: tuple[str, ...]


def is_member(aggregate: Aggregate, project: str | None, machine: VirtualResource | None) -> bool:
    """Tell whether a machine belongs to the group: a group is its owner's, whatever others call theirs."""
    return (
        machine is not None
        and machine.owner == project
        and machine.group == aggregate.group
        and (aggregate.role is None or machine.role == aggregate.role)
    )


def step(
    aggregate: Aggregate,
    group: Group,
    *,
    began: Mapping[str, str],
    ended: Iterable[str],
    cleared: Iterable[str],
    now: datetime,
) -> Step:
    """Decide what is told after some failures began (alarm id: machine) and others ended.

    ``ended`` no longer put their machine out; ``cleared`` are over, and whoever was told of them is told so. A failure
    that began before ``within`` does not make the limit exceeded, but it is one of those that are out.
    """
    over = frozenset(cleared)
    out = {key: value for key, value in group.out.items() if key not in over}
    for alarm_id in ended:
        out.pop(alarm_id, None)
    for alarm_id, resource_id in began.items():
        out.setdefault(alarm_id, Failure(resource_id, now))
    told = group.told - over
    exceeded = _is_exceeded(aggregate, out.values(), now, before=group.exceeded)
    tell = tuple(key for key in out if key not in told) if exceeded else ()
    return Step(Group(out, told.union(tell), exceeded), tell)


def _is_exceeded(aggregate: Aggregate, failures: Iterable[Failure], now: datetime, *, before: bool) -> bool:
    since: dict[str, datetime] = {}
    for failure in failures:
        since[failure.resource_id] = min(failure.began, since.get(failure.resource_id, failure.began))
    if len(since) <= aggregate.more_than:
        return False
    if before or aggregate.within is None:
        return True
    return sum(now - began <= aggregate.within for began in since.values()) > aggregate.more_than
