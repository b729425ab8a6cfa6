"""What the bench found: figures beside their floors and targets, and the counts that show that nothing was lost."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from doctor.cli.bench.targets import TARGETS, Target


class BenchError(Exception):
    """A measurement cannot be made here; the sentence says why."""


class Verdict(StrEnum):
    """Whether a figure reaches its target."""

    REACHED = "pass"
    MISSED = "missed"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. ``floor`` is what the least work of the same kind made of it, in the same run."""

    name: str
    title: str
    value: float
    unit: str
    better: Literal["lower", "higher"] = "lower"
    floor: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return how many times the cost of the floor this is; 1 is as good as the floor, 2 twice as bad."""
        if not self.floor or not self.value:
            return None
        return self.value / self.floor if self.better == "lower" else self.floor / self.value

    @property
    def target(self) -> Target | None:
        """Return what this figure should reach, if anything was set."""
        return TARGETS.get(self.name)

    @property
    def verdict(self) -> Verdict | None:
        """Return whether the target is reached; None without one."""
        target = self.target
        if target is None:
            return None
        within = self.value <= target.limit if self.better == "lower" else self.value >= target.limit
        if target.times_floor is not None and self.ratio is not None:
            within = within and self.ratio <= target.times_floor
        return Verdict.REACHED if within else Verdict.MISSED


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement found.

    ``counts`` are pairs of what should have been and what was: a figure over lost work is worth nothing.
    ``rounds`` are the figures of every round, of which `Figure` has the best.
    """

    figures: list[Figure]
    counts: dict[str, tuple[int, int]] = {}
    rounds: dict[str, Any] = {}

    @property
    def losses(self) -> list[str]:
        """Return a sentence for each count that is not as it should be."""
        return [
            f"{name}: {got} instead of {wanted}"
            for name, (wanted, got) in self.counts.items()
            if wanted != got
        ]


class Result(msgspec.Struct, kw_only=True):
    """Everything that one run found. ``elsewhere`` is what others used of the processors, by measurement."""

    started: str
    quick: bool
    machine: dict[str, Any]
    versions: dict[str, str]
    took_s: float = 0.0
    measured: dict[str, Measured] = {}
    elsewhere: dict[str, float] = {}
    errors: list[str] = []

    @property
    def figures(self) -> list[Figure]:
        """Return all figures, in the order in which they were measured."""
        return [figure for measured in self.measured.values() for figure in measured.figures]

    def as_json(self) -> dict[str, Any]:
        """Return the result for a program. A quick run is too short to be judged."""
        return {
            "bench": 1,
            "started": self.started,
            "took_s": round(self.took_s, 1),
            "quick": self.quick,
            "complete": not self.errors,
            "errors": self.errors,
            "machine": self.machine,
            "versions": self.versions,
            "measured": {
                name: {
                    "elsewhere_percent": self.elsewhere.get(name),
                    "counts": {key: {"wanted": pair[0], "got": pair[1]} for key, pair in one.counts.items()},
                    "figures": [_figure(figure, judged=not self.quick) for figure in one.figures],
                    "rounds": one.rounds,
                }
                for name, one in self.measured.items()
            },
        }


def _figure(figure: Figure, *, judged: bool) -> dict[str, Any]:
    target = figure.target
    return {
        "name": figure.name,
        "title": figure.title,
        "value": figure.value,
        "unit": figure.unit,
        "better": figure.better,
        "floor": figure.floor,
        "times_floor": None if figure.ratio is None else round(figure.ratio, 3),
        "target": None if target is None else msgspec.to_builtins(target),
        "verdict": figure.verdict if judged else None,
    }


def earlier_values(document: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of an earlier result by name.

    Raises:
        ValueError: it is no result of `doctor bench --json`.
    """
    try:
        return {
            figure["name"]: float(figure["value"])
            for measured in document["measured"].values()
            for figure in measured["figures"]
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("is no result of `doctor bench --json`") from None


def compared(figures: Iterable[Figure], earlier: Mapping[str, float]) -> dict[str, float]:
    """Return how many times its earlier value each figure has now, for those that both runs measured."""
    return {
        figure.name: round(figure.value / earlier[figure.name], 3)
        for figure in figures
        if earlier.get(figure.name)
    }
