"""What the doors to policies of owners share: for which machines, and for whom somebody speaks."""

from typing import Any, Literal

import msgspec

from doctor.api.owned import Described, Several
from doctor.api.paging import PageQuery
from doctor.flows.scoped_policy import ScopedPolicyFlow
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity
from doctor.model.scope import Scope, ScopeKind

SCOPES = {"scope": "machine:ID, group:NAME or sal:LEVEL"}


class ProjectQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose policy. The Administrator has to say it; a Consumer speaks for his own project only."""

    project: Described | None = None


class PoliciesQuery(PageQuery, frozen=True, kw_only=True):
    """Which policies; ``project`` is for the Administrator."""

    project: Several = frozenset()
    sort: Literal["scope", "-scope"] = "scope"


def scope_of(text: str) -> Scope:
    """Read a scope.

    Raises:
        RejectedError: it is none.
    """
    kind, colon, name = text.partition(":")
    if not colon or kind not in list(ScopeKind) or not 0 < len(name) <= 255 or not name.isprintable():
        raise RejectedError(
            f"{text!r} is no scope: write machine:ID, group:NAME or sal:LEVEL", reason=Reason.NOT_FOUND
        )
    return Scope(ScopeKind(kind), name)


def speaks_for(policies: ScopedPolicyFlow[Any], identity: Identity, scope: Scope, given: str | None) -> str:
    """Return for whom somebody speaks.

    Raises:
        RejectedError: the Administrator has not said for whom, or a Consumer wants to speak for others.
    """
    if identity.scope is None and given is None and scope.kind is ScopeKind.MACHINE:
        return policies.machine(identity, scope.name).owner
    return project_of(identity, given)


def project_of(identity: Identity, given: str | None) -> str:
    """Return for whom somebody speaks of what is not one machine.

    Raises:
        RejectedError: as `speaks_for`.
    """
    if identity.scope is not None:
        if given not in (None, identity.scope):
            flaws = [Flaw("/project", "is not yours: leave it out")]
            raise RejectedError("nobody speaks for another project", flaws=flaws)
        return identity.scope
    if given is None:
        flaws = [Flaw("/project", "required of the Administrator: say ?project=NAME")]
        raise RejectedError("nobody has said whose it is", flaws=flaws)
    return given
