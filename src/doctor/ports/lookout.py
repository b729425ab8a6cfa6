"""Whether Doctor sees what it should, before it acts on what it does not see."""

from collections.abc import Sequence
from typing import Protocol


class Lookout(Protocol):
    """Watches Doctor's own view: things that are never gone all at once, such as its gateways and neighbours [I-13]."""

    def troubles(self) -> Sequence[str]:
        """Return why the view cannot be trusted now, a clause each, the worst first; nothing when it can.

        It answers at once, from what it has seen lately.
        """
        ...


class NoLookout:
    """Sees no trouble: what the brakes can tell by themselves has to do."""

    def troubles(self) -> Sequence[str]:
        """Return nothing."""
        return ()
