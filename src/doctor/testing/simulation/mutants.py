"""Planted bugs."""
from collections.abc import Callable
from typing import NamedTuple
from doctor.testing.simulation.environment import Patch
class Mutant(NamedTuple):
    says: str
    plant: Callable[[Patch], None]
MUTANTS: dict[str, Mutant] = {}
