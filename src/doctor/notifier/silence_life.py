"""How a silence is made, changed and ended, and what is refused (design part 4).

In comes what somebody asks for, out goes the silence as it is from now on; the same again when nothing is new. Nothing
here is known of clocks or of who may ask: the flow says who it is.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import asdict, replace

from doctor.kit.pattern import effort, is_literal, takes_anything
from doctor.kit.times import rfc3339
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import (
    MOST_CHANGES,
    Audience,
    Silence,
    SilenceChange,
    SilenceMatcher,
    SilenceState,
)
from doctor.notifier.silences import Matcher, subject_of

FURTHEST = timedelta(days=366)
MAX_EFFORT = 2_000  # of all patterns together: each alarm may be held against every silence
EVERYTHING = "covers everything: say so by everything=true, or name what is meant"
TOO_MUCH = "patterns that take too long to ask: begin them with what is known, or use fewer of them and fewer ? and [...]"
ONE_END = "say when it ends, or how long it lasts (duration): one of the two"


class SilenceOrder(NamedTuple):
    """What somebody asks for. ``start`` None is now; ``end`` or ``duration`` is given, never both."""

    matcher: SilenceMatcher
    audience: Audience | None
    owner: str
    reason: str
    start: datetime | None
    end: datetime | None
    duration: timedelta | None
    everything: bool = False


class SilenceEdit(NamedTuple):
    """What is to be another one; None stays. ``duration`` counts from the start."""

    owner: str | None = None
    reason: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    duration: timedelta | None = None


def made(
    order: SilenceOrder,
    silence_id: str,
    project: str | None,
    *,
    user: str,
    now: datetime,
    longest: timedelta,
) -> Silence:
    """Return a new silence of a project, or of the Administrator (None).

    Raises:
        RejectedError: with everything that is wrong with it.
    """
    flaws = list(_not_for_projects(order)) if project is not None else []
    audience = Audience.PROJECT if project is not None else order.audience or Audience.ADMINISTRATOR
    if audience is Audience.PROJECT and project is None:
        flaws.append(Flaw("/audience", "the Administrator says administrator or everybody"))
    start = now if order.start is None else max(order.start, now)
    end = _end(start, order.end, order.duration)
    if (order.end is None) is (order.duration is None):
        flaws.append(Flaw("/end", ONE_END))
    else:
        flaws += _wrong_times(order.start, start, end, now, longest)
    if not order.everything and _is_unlimited(order.matcher):
        flaws.append(Flaw("/matcher", EVERYTHING))
    if sum(effort(name) for names in asdict(order.matcher).values() for name in names) > MAX_EFFORT:
        flaws.append(Flaw("/matcher", TOO_MUCH))
    if flaws or end is None:
        raise RejectedError("the silence is wrong", flaws=flaws)
    return Silence(
        silence_id=silence_id,
        project=project,
        audience=audience,
        matcher=order.matcher,
        owner=order.owner or user,
        reason=order.reason,
        start=start,
        end=end,
        created=now,
        created_by=user,
    )


def changed(silence: Silence, edit: SilenceEdit, *, user: str, now: datetime, longest: timedelta) -> Silence:
    """Change a silence that is not over. What it covers stays: end it, and make another one.

    Raises:
        RejectedError: it is over (CONFLICT), or would be wrong then.
    """
    if silence.state(now) is SilenceState.ENDED:
        raise RejectedError("the silence is over: make a new one", reason=Reason.CONFLICT)
    start, flaws = silence.start, []
    if edit.start is not None and edit.start != silence.start:
        if silence.state(now) is SilenceState.ACTIVE:
            flaws.append(Flaw("/start", "it has begun already"))
        start = max(edit.start, now)
    if edit.end is not None and edit.duration is not None:
        flaws.append(Flaw("/end", ONE_END))
    end = _end(start, edit.end or silence.end, edit.duration)
    flaws += _wrong_times(edit.start, start, end, now, longest)
    if flaws or end is None:
        raise RejectedError("the silence cannot be changed like this", flaws=flaws)
    after = replace(
        silence,
        owner=silence.owner if edit.owner is None else edit.owner,
        reason=silence.reason if edit.reason is None else edit.reason,
        start=start,
        end=end,
    )
    return silence if after == silence else _noted(after, _difference(silence, after), user, now)


def ended(silence: Silence, *, user: str, now: datetime) -> Silence:
    """End a silence before its time; one that is over stays as it is."""
    if silence.state(now) is SilenceState.ENDED:
        return silence
    what = "cancelled" if silence.state(now) is SilenceState.PLANNED else "ended"
    return _noted(replace(silence, ended_time=now, ended_by=user), what, user, now)


def is_sweeping(matcher: SilenceMatcher, project: str | None, resources: ResourceMap) -> bool:
    """Tell whether patterns take all that a project, or the Administrator (None), has, and it is more than one.

    Who writes the names out means them; who names types of fault leaves others to be told.
    """
    names = (*matcher.resource_id, *matcher.project)
    if matcher.fault_type or (names and all(map(is_literal, names))):
        return False
    compiled = Matcher(matcher)
    count = 0
    for resource_id, owner in _resources_of(project, resources):
        if not compiled.takes_project(owner) or not compiled.takes_subject(
            subject_of(resource_id, "", resources)
        ):
            return False
        count += 1
    return count > 1


def doubts(matcher: SilenceMatcher, project: str | None, resources: ResourceMap) -> Iterator[Flaw]:
    """Return what somebody should look at once more: words that mean nothing that the map has."""
    compiled = Matcher(matcher)
    known = _Known(project, resources)
    nothing = "nothing of yours is called that" if project is not None else "the map has nothing of that name"
    for index, name in enumerate(matcher.resource_id):
        if is_literal(name) and name not in known:
            yield Flaw(f"/matcher/resource_id/{index}", nothing)
    if not any(
        compiled.takes_project(owner) and compiled.takes_subject(subject_of(resource_id, "", resources))
        for resource_id, owner in _resources_of(project, resources)
    ):
        yield Flaw("/matcher", "covers nothing that is there now")


class _Known:
    """The resources of a project, or all of them."""

    def __init__(self, project: str | None, resources: ResourceMap) -> None:
        self._project = project
        self._resources = resources

    def __contains__(self, resource_id: str) -> bool:
        if self._project is None:
            return self._resources.get(resource_id) is not None
        machine = self._resources.virtual.get(resource_id)
        return machine is not None and machine.owner == self._project


def _resources_of(project: str | None, resources: ResourceMap) -> Iterator[tuple[str, str | None]]:
    if project is not None:
        yield from ((resource_id, project) for resource_id in resources.owned_by(project))
        return
    yield from ((resource_id, None) for resource_id in resources.physical)
    yield from ((machine.id, machine.owner) for machine in resources.virtual.values())


def _not_for_projects(order: SilenceOrder) -> Iterator[Flaw]:
    if order.audience not in (None, Audience.PROJECT):
        yield Flaw("/audience", "only for the Administrator: yours keeps your own subscriptions quiet")
    if order.matcher.project:
        yield Flaw("/matcher/project", "only for the Administrator: yours covers your own resources")


def _end(start: datetime, end: datetime | None, duration: timedelta | None) -> datetime | None:
    if duration is None:
        return end
    try:
        return start + duration
    except OverflowError:
        return None


def _wrong_times(
    asked: datetime | None, start: datetime, end: datetime | None, now: datetime, longest: timedelta
) -> Iterator[Flaw]:
    if start - now > FURTHEST:
        yield Flaw("/start", f"is more than {FURTHEST.days} days away")
    if end is None:
        yield Flaw("/duration", "is too long")
    elif end <= now:
        yield Flaw("/end", "is over already")
    elif end <= start:
        before = asked is not None and end < asked
        yield Flaw("/end", "is before the start" if before else "is not after the start")
    elif end - start > longest:
        yield Flaw("/end", f"is more than {in_words(longest)} after the start (limits.silence_hours)")


def in_words(duration: timedelta) -> str:
    """Write a duration for people, in hours or days."""
    hours = duration / timedelta(hours=1)
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"


def _is_unlimited(matcher: SilenceMatcher) -> bool:
    """Tell whether a matcher restricts nothing, by having nothing or by patterns that take any word."""
    return all(not names or any(map(takes_anything, names)) for names in asdict(matcher).values())


def _noted(silence: Silence, what: str, user: str, now: datetime) -> Silence:
    changes = (*silence.changes, SilenceChange(now, user, what))
    return replace(silence, changes=changes[-MOST_CHANGES:])


def _difference(before: Silence, after: Silence) -> str:
    said = []
    if after.start != before.start:
        said.append(f"start {rfc3339(after.start)}, was {rfc3339(before.start)}")
    if after.end != before.end:
        said.append(f"end {rfc3339(after.end)}, was {rfc3339(before.end)}")
    if after.owner != before.owner:
        said.append(f"owner {after.owner}, was {before.owner}")
    if after.reason != before.reason:
        said.append(f"reason {after.reason!r}, was {before.reason!r}")
    return "; ".join(said)
