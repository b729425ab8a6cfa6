"""Which sessions begin, and end, because somebody has taken a host out of use in its cloud."""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple

from doctor.inspector.marking import is_reason_of_doctor
from doctor.inspector.vim_state import DISABLED, heard
from doctor.model.maintenance import Session
from doctor.model.marking import Mark
from doctor.model.resource import PhysicalResource


class Due(NamedTuple):
    """What is to be done: the hosts that are to be emptied, with the reason in their cloud, and sessions whose host is in use
    again.
    """

    to_open: Mapping[str, str]
    to_end: tuple[Session, ...]


def taken_out(
    hosts: Iterable[PhysicalResource], marks: Container[Mark], is_meant: Callable[[str], bool]
) -> dict[str, str]:
    """Return the hosts that somebody else than Doctor has disabled for a reason that is meant."""
    found = {}
    for host in hosts:
        reason = str(host.metadata.get("disabled_reason") or "")
        is_other = bool(reason) and not is_reason_of_doctor(reason) and DISABLED in heard(host, marks)
        if is_other and is_meant(reason):
            found[host.id] = reason
    return found


def due(disabled: Mapping[str, str], sessions: Iterable[Session], busy: Container[str]) -> Due:
    """Decide what follows from the hosts that are disabled now. ``busy`` are those that are in a session.

    A host that could not be emptied is not tried again before it was in use again: its session holds it.
    """
    held = {host: one for one in sessions if one.holds for host in one.hosts}
    return Due(
        {host: why for host, why in disabled.items() if host not in held and host not in busy},
        tuple(one for host, one in held.items() if host not in disabled),
    )
