"""What a token of the cloud's identity service stands for, and which role it gives in Doctor."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from doctor.model.identity import Identity, Role

SYSTEM = "system"  # the scope of tokens for the cloud as a whole; no project has this id


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a token, and as what.

    ``scope`` is the id of the project, `SYSTEM`, or None where the token is for neither. ``roles`` are in small letters.
    """

    user: str
    scope: str | None
    roles: frozenset[str]
    expires: datetime


class RoleRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who has this role of the cloud has that one in Doctor.

    ``where`` is the scope in which the cloud's role has to be held; None is any project.
    """

    cloud_role: str
    where: str | None = None
    role: Role

    def fits(self, grant: Grant) -> bool:
        """Tell whether a grant has the role, and where it has to."""
        if self.where is None:
            is_there = grant.scope not in (None, SYSTEM)
        else:
            is_there = grant.scope == self.where
        return is_there and self.cloud_role in grant.roles


def parse_rule(text: str, role: Role) -> RoleRule:
    """Read `ROLE` (held in any project), `ROLE@system` or `ROLE@PROJECT_ID`.

    Raises:
        ValueError: it is none of these, or gives a role that needs a project without one.
    """
    name, at, where = text.partition("@")
    if not name.strip() or (at and not where.strip()):
        raise ValueError("write ROLE, ROLE@system or ROLE@PROJECT_ID")
    if role is Role.CONSUMER and where == SYSTEM:
        raise ValueError("a consumer belongs to a project: the system has none")
    return RoleRule(cloud_role=name.strip().lower(), where=where.strip() or None, role=role)


DEFAULT_RULES = (
    RoleRule(cloud_role="admin", role=Role.ADMIN),
    RoleRule(cloud_role="admin", where=SYSTEM, role=Role.ADMIN),
    RoleRule(cloud_role="reader", where=SYSTEM, role=Role.AUDITOR),
    RoleRule(cloud_role="member", role=Role.CONSUMER),
)


def identity_of(grant: Grant, rules: Iterable[RoleRule]) -> Identity | None:
    """Return who a grant is in Doctor by the first rule that fits, or None where none does."""
    for rule in rules:
        if rule.fits(grant):
            project = grant.scope if rule.role is Role.CONSUMER else None
            return Identity(name=grant.user, role=rule.role, project=project)
    return None
