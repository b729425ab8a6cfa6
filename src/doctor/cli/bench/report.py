"""The figures as people read them."""

from collections.abc import Mapping

from doctor.cli.bench.result import Figure, Result, compared

COLUMNS = ("measured", "result", "floor", "times floor", "target", "verdict")


def columns(*, with_earlier: bool) -> tuple[str, ...]:
    """Return the heads of the table."""
    return (*COLUMNS, "times earlier") if with_earlier else COLUMNS


def rows(result: Result, earlier: Mapping[str, float] | None) -> list[list[str]]:
    """Return a line for each figure."""
    changes = compared(result.figures, earlier) if earlier is not None else None
    lines = []
    for figure in result.figures:
        line = [
            figure.title,
            written(figure.value, figure.unit),
            "" if figure.floor is None else written(figure.floor, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            aim(figure),
            "" if result.quick else (figure.verdict or ""),
        ]
        if changes is not None:
            change = changes.get(figure.name)
            line.append("" if change is None else f"{change:.2f}")
        lines.append(line)
    return lines


def written(value: float, unit: str) -> str:
    """Write a value with its unit, to three places at least."""
    if abs(value) >= 100:
        return f"{value:,.0f} {unit}"
    return f"{value:.3g} {unit}"


def aim(figure: Figure) -> str:
    """Write what a figure should reach."""
    target = figure.target
    if target is None:
        return ""
    sign = "<=" if figure.better == "lower" else ">="
    limit = f"{sign} {target.limit:,.10g} {figure.unit}"
    return limit if target.times_floor is None else f"{limit}, <= {target.times_floor:g} x floor"


def remarks(result: Result) -> list[str]:
    """Say what one should know before believing the table."""
    found = []
    machine = result.machine
    found.append(
        f"{machine['cores']} cores ({machine['processor']}), kernel {machine['kernel']}, Python {machine['python']},"
        f" {machine['filesystem']}; Doctor {result.versions['doctor']}"
    )
    if result.quick:
        found.append("This was a quick run, too short to be judged.")
    else:
        found.append("Of several rounds the best counts; all are in the JSON result.")
    noisy = {name: percent for name, percent in result.elsewhere.items() if percent >= 5}
    if noisy:
        told = ", ".join(f"{name} {percent:.0f} %" for name, percent in noisy.items())
        found.append(f"Others used the processors meanwhile ({told} of all cores): trust the ratios.")
    if machine["filesystem"] in ("tmpfs", "ramfs"):
        found.append("The data was in memory and not on a disk, where nothing is durable: use --folder.")
    found += [f"NOT COMPLETE: {error}" for error in result.errors]
    return found
