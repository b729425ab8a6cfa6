"""What a cloud says of its own hosts and servers, as a Monitor would: what is down, in error, taken out of use.

A service that somebody has forced down, one that he has disabled, one that does not report any more, a server in error.
What Doctor has marked there itself says nothing new; it is known by its records, and by its reason where one is kept.
"""

from collections.abc import Container, Mapping

from doctor.inspector.marking import is_reason_of_doctor
from doctor.model.marking import MARKED, Mark, MarkKind
from doctor.model.resource import HOST, VIRTUAL_MACHINE, PhysicalResource, Resource

FORCED_DOWN, DISABLED = "vim.host.forced_down", "vim.host.disabled"
SILENT, SERVER_ERROR = "vim.service.failure", "compute.instance.error"
COMPUTE_SERVICE = "nova-compute"
SILENT_WORD = "silent"  # of the state of a host in the words of its cloud

# The marks of Doctor that look the same.
MARK_OF = {
    FORCED_DOWN: MarkKind.FORCED_DOWN,
    DISABLED: MarkKind.DISABLED,
    SERVER_ERROR: MarkKind.SERVER_ERROR,
}


def heard(resource: Resource, marks: Container[Mark]) -> dict[str, str]:
    """Return the types of the events that a cloud stands behind now, each with the cause that it gives."""
    state = resource.vim_state
    if not state:
        return {}
    if not isinstance(resource, PhysicalResource):
        is_error = resource.type == VIRTUAL_MACHINE and state == MARKED[MarkKind.SERVER_ERROR]
        ours = Mark(MarkKind.SERVER_ERROR, resource.id) in marks
        return {SERVER_ERROR: "the cloud has it in error"} if is_error and not ours else {}
    if resource.type != HOST:
        return {}
    words = state.split()
    found = {}
    is_ours = Mark(MarkKind.FORCED_DOWN, resource.id) in marks
    if MARKED[MarkKind.FORCED_DOWN] in words and not is_ours:
        found[FORCED_DOWN] = "somebody has forced it down in the cloud"
    if SILENT_WORD in words and not is_ours:
        found[SILENT] = f"{COMPUTE_SERVICE} does not report"
    reason = str(resource.metadata.get("disabled_reason") or "")
    if MARKED[MarkKind.DISABLED] in words and not is_reason_of_doctor(reason):
        found[DISABLED] = reason or "somebody has disabled it in the cloud"
    return found


def changes(before: Container[str], now: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the types that are new, and those of all that a cloud can say that are over."""
    news = [one for one in now if one not in before]
    return news, [
        one for one in (FORCED_DOWN, DISABLED, SILENT, SERVER_ERROR) if one in before and one not in now
    ]
