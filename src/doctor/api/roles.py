"""Who may use which door. What nobody is named for, nobody may use."""

from doctor.model.identity import Role

ADMIN = frozenset({Role.ADMIN})
ADMINISTRATORS = frozenset({Role.ADMIN, Role.OPERATOR})
OVERSEERS = ADMINISTRATORS | {Role.AUDITOR}
OWNERS = ADMINISTRATORS | {Role.CONSUMER}
READERS = OVERSEERS | {Role.CONSUMER}
REPORTERS = ADMINISTRATORS | {Role.MONITOR}
