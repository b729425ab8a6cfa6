"""Who asks, and what they may."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Role(StrEnum):
    """The roles of local tokens and of mapped Keystone users."""

    ADMIN = "admin"
    OPERATOR = "operator"
    MONITOR = "monitor"
    CONSUMER = "consumer"
    AUDITOR = "auditor"

    @property
    def sees_all(self) -> bool:
        """Tell whether the role sees the physical side and every project (the Administrator)."""
        return self in (Role.ADMIN, Role.OPERATOR, Role.AUDITOR)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The one behind a request. ``project`` is None unless the role is consumer."""

    name: str
    role: Role
    project: str | None = None

    @property
    def scope(self) -> str | None:
        """Return the project the identity is kept to; None is the Administrator's view of everything."""
        return None if self.role.sees_all else self.project or ""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A local token. Only its SHA-256 is kept; the token itself is shown once, when it is made."""

    token_id: str
    sha256: str
    role: Role
    project: str | None = None
    name: str = ""
    created: datetime
    expires: datetime | None = None
