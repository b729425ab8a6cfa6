"""The chain of decisions: each carries the digest of the one before, so that none can be changed or taken out unseen."""

from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from doctor.model.fence_job import FenceDecision

_encode = msgspec.msgpack.Encoder().encode

CHANGED = "it is not as it was written"
MISSING = "what was decided before it is gone or was written anew"
CUT_OFF = "what was decided last is gone or was written anew"


def chained(decision: FenceDecision, previous: str) -> FenceDecision:
    """Return a decision with its place in the chain."""
    placed = replace(decision, previous=previous, digest="")
    return replace(placed, digest=sha256(_encode(placed)).hexdigest())


class Break(NamedTuple):
    """Where the chain does not hold. ``decision`` None: there is none to show."""

    decision: FenceDecision | None
    what: str


class Audit:
    """What is found when the log is read from its end to its beginning. Of several breaks the first one counts."""

    def __init__(self) -> None:
        self.records = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.digest = ""
        self.broken: Break | None = None
        self._later: FenceDecision | None = None
        self._seen = {""}

    def take(self, decision: FenceDecision) -> None:
        """Look at the decision before the one that was taken last."""
        later = self._later
        if later is None:
            self.last, self.digest = decision.time, decision.digest
        elif later.previous != decision.digest:
            self.broken = Break(later, MISSING)
        if chained(decision, decision.previous) != decision:
            self.broken = Break(decision, CHANGED)
        self.records += 1
        self.first, self._later = decision.time, decision
        self._seen.add(decision.digest)

    def finish(self, end: str, noted: str = "") -> None:
        """Take note that there is no more, and that the log has to end with ``end`` and lead to what was ``noted``."""
        if self._later is not None and self._later.previous:
            self.broken = Break(self._later, MISSING)
        elif self.broken is None and self.digest != end:
            self.broken = Break(None, CUT_OFF)
        elif self.broken is None and noted not in self._seen:
            self.broken = Break(None, f"{noted} was noted of it and is not in it: it was written anew")
