"""What is to be marked in the cloud, in which order, and how each mark goes on [D 4.3.2].

Level by level: what should be marked follows from how resources are now, whatever happened before; what Doctor has
marked is in its records. Hence a crash, a clear in the middle or a repeat never leads anywhere else.

Somebody else's marks are respected: what is marked already is not ours, and what does not say any more what we wrote
was changed by somebody who knew why.
"""

from typing import NamedTuple

from doctor.model.fault import ResourceState
from doctor.model.marking import HEALTHY, MARKED, ForceDown, Mark, MarkKind, MarkRecord, Standing
from doctor.model.resource import (
    HOST,
    LAST_RANK,
    NIC,
    STORAGE,
    VIRTUAL_MACHINE,
    Isolation,
    PhysicalResource,
    Resource,
    VirtualResource,
)

_OF_VIRTUAL = {
    VIRTUAL_MACHINE: MarkKind.SERVER_ERROR,
    NIC: MarkKind.PORT_DOWN,
    STORAGE: MarkKind.VOLUME_ERROR,
}
_MARKABLE = {
    MarkKind.FORCED_DOWN: frozenset({"up"}),
    MarkKind.DISABLED: frozenset({"enabled"}),
    # A cloud can put a server back to active and to nothing else.
    MarkKind.SERVER_ERROR: frozenset({"active"}),
    MarkKind.PORT_DOWN: frozenset({"active"}),
    MarkKind.VOLUME_ERROR: frozenset({"available", "in-use"}),
}
_STAGES = {
    MarkKind.FORCED_DOWN: 0,
    MarkKind.DISABLED: 1,  # after force-down Nova does not ask the dead host about it
    MarkKind.SERVER_ERROR: 2,
    MarkKind.PORT_DOWN: 3,
    MarkKind.VOLUME_ERROR: 4,
}
BUSY = "busy: "
_OURS = "doctor: "  # how reasons of Doctor begin


def wanted(
    resource: Resource,
    state: ResourceState,
    isolation: Isolation,
    force_down: ForceDown,
    *,
    is_planned: bool = False,
) -> tuple[MarkKind, ...]:
    """Return how a resource in this state should be marked.

    ``isolation`` is of a host; NOT_REQUIRED where nobody could isolate it. ``is_planned`` is of a host that is to be
    worked on: nothing is to be placed there any more [D 3.4.2].
    """
    if isinstance(resource, VirtualResource):
        kind = _OF_VIRTUAL.get(resource.type)
        return (kind,) if kind is not None and state.is_out else ()
    if resource.type != HOST or not (state.is_out or is_planned):
        return ()
    if state is ResourceState.DOWN and _may_force_down(isolation, force_down):
        return (MarkKind.FORCED_DOWN, MarkKind.DISABLED)
    return (MarkKind.DISABLED,)


def _may_force_down(isolation: Isolation, force_down: ForceDown) -> bool:
    """Nova takes a host that is forced down for fenced, and will run its machines elsewhere on request."""
    match force_down:
        case ForceDown.IMMEDIATELY:
            return True
        case ForceDown.WHEN_ISOLATED:
            return isolation is Isolation.ISOLATED
        case ForceDown.AUTO:
            return isolation in (Isolation.ISOLATED, Isolation.NOT_REQUIRED)


def rank(mark: Mark, resource: Resource | None) -> tuple[int, int]:
    """Return the place of a mark in the order of work: the host first, then servers of the highest level."""
    return _STAGES[mark.kind], resource.sal_rank if isinstance(resource, VirtualResource) else LAST_RANK


class Begin(NamedTuple):
    """Mark it; this is what it says now."""

    before: str


class Write(NamedTuple):
    """Say this to the cloud."""

    standing: Standing


class Done(NamedTuple):
    """The cloud says what it should."""


class Leave(NamedTuple):
    """It is not ours to change."""

    reason: str


def standing_in(resource: Resource, kind: MarkKind) -> str:
    """Return what the map has of the side of a resource that a mark is about."""
    text = resource.vim_state or ""
    if isinstance(resource, PhysicalResource):
        words = text.split()
        return MARKED[kind] if MARKED[kind] in words else HEALTHY[kind]
    return text or HEALTHY[kind]


def opening(kind: MarkKind, now: str) -> Begin | Leave:
    """Decide whether to mark what says this now."""
    if now in _MARKABLE[kind]:
        return Begin(now)
    if now == MARKED[kind]:
        return Leave(f"it is {now} already, by somebody else")
    if " (" in now:
        return Leave(f"{BUSY}{now}")
    return Leave(f"it is {now}, and could not be put back to that")


def marking(record: MarkRecord, now: Standing) -> Write | Done | Leave:
    """Decide how to go on with a mark of which nobody knows whether it is in the cloud already."""
    kind = record.mark.kind
    if now.state == MARKED[kind]:
        ours = kind is not MarkKind.DISABLED or now.reason == record.reason
        return Done() if ours else Leave(f"it is {now.state} already, by somebody else")
    if now.state == record.before:
        return Write(Standing(MARKED[kind], record.reason))
    return Leave(f"it became {now.state} meanwhile")


def unmarking(record: MarkRecord, now: Standing) -> Write | Leave:
    """Decide how to take back a mark: only what still says what we wrote, and to what it said before."""
    kind = record.mark.kind
    if now.state != MARKED[kind]:
        return Leave(f"it became {now.state} meanwhile")
    if kind is MarkKind.DISABLED and now.reason != record.reason:
        return Leave("somebody gave another reason since")
    return Write(Standing(record.before))


MAINTENANCE = "maintenance"  # in place of the type of a fault, with the id of the session


def reason_for(fault_type: str, fault_id: str) -> str:
    """Return what is written beside a mark, so that whoever finds it knows where it comes from."""
    return f"{_OURS}{fault_type} ({fault_id})"


def is_reason_of_doctor(reason: str) -> bool:
    """Tell whether a reason that stands beside a mark was written by a Doctor."""
    return reason.startswith(_OURS)
