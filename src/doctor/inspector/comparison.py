"""What two failure policies do differently with the same events."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from doctor.inspector.firing import Firing


class DifferenceKind(StrEnum):
    """Which of two policies acts on a fault at a moment: the candidate, the one in force, or both, differently."""

    ONLY_CANDIDATE = "only_candidate"
    ONLY_CURRENT = "only_current"
    CHANGED = "changed"


class Difference(NamedTuple):
    """What two policies do differently with one fault at one moment; one of the two may do nothing."""

    current: Firing | None
    candidate: Firing | None

    @property
    def kind(self) -> DifferenceKind:
        """Return which of the two acts."""
        if self.current is None:
            return DifferenceKind.ONLY_CANDIDATE
        return DifferenceKind.ONLY_CURRENT if self.candidate is None else DifferenceKind.CHANGED

    @property
    def firing(self) -> Firing:
        """Return what the candidate does, or else the one in force."""
        firing = self.candidate or self.current
        assert firing is not None
        return firing


def differences(current: Iterable[Firing], candidate: Iterable[Firing]) -> Iterator[Difference]:
    """Compare what two policies make of the same, in the order of the one in force and then the candidate's.

    By which rule a fault is what it is nobody hears.
    """
    before, after = _by_fault(current), _by_fault(candidate)
    for key in {**before, **after}:
        difference = Difference(before.get(key), after.get(key))
        told = [one.told for one in difference if one is not None]
        if len(told) < 2 or told[0] != told[1]:
            yield difference


def _by_fault(firings: Iterable[Firing]) -> dict[tuple[object, ...], Firing]:
    return {(one.at, one.resource_id, one.fault_type): one for one in firings}
