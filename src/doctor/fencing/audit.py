"""The chain of decisions: each carries the digest of the one before, so that none can be taken out unseen."""

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from doctor.model.fence_job import FenceDecision

_encode = msgspec.msgpack.Encoder().encode


def chained(decision: FenceDecision, previous: str) -> FenceDecision:
    """Return a decision with its place in the chain."""
    placed = replace(decision, previous=previous, digest="")
    return replace(placed, digest=sha256(_encode(placed)).hexdigest())


def first_break(decisions: Iterable[FenceDecision]) -> FenceDecision | None:
    """Return the first decision, oldest first, that is not as it was written or does not follow the one before."""
    previous: str | None = None
    for one in decisions:
        if chained(one, one.previous) != one or (previous is not None and one.previous != previous):
            return one
        previous = one.digest
    return None
