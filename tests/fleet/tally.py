"""What came of many episodes, as a table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from tests.fleet.fleet import Result


def table(results: Sequence[Result]) -> str:
    """Count everything."""
    plans = [one.plan for one in results]
    rows = {
        "episodes": f"{len(results)}, {sum(bool(one.wrong) for one in results)} of them not as they should be",
        "faults": _counts(plan.fault.value for plan in plans),
        "first BMCs": _counts(plan.mode.name.lower() for plan in plans),
        "BMCs that told a lie": str(sum(one.figures.lied for one in results)),
        "Doctor": f"killed {sum(one.figures.kills for one in results)} times,"
        f" paused {sum(one.figures.pauses for one in results)} times",
        "ends": _counts(one.end for one in results),
        "machines that ran twice": str(_broken(results, "I-15")),
        "healthy hosts that were cut off": str(_broken(results, "I-12")),
        "told after detection": _seconds(one.figures.told for one in results),
        "isolated after the suspicion": _seconds(one.figures.isolated for one in results),
        "isolated after the last command": _seconds(one.figures.confirmed for one in results),
        "machines elsewhere after the fault": _seconds(one.figures.recovered for one in results),
    }
    return "\n".join(f"  {name:36}{text}" for name, text in rows.items())


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common())


def _broken(results: Iterable[Result], promise: str) -> int:
    return sum(one.promise == promise for one in results)


def _seconds(found: Iterable[float | None]) -> str:
    known = [one for one in found if one is not None]
    if not known:
        return "none"
    return f"{median(known):.3f} s (median), {max(known):.3f} s (worst) of {len(known)}"
