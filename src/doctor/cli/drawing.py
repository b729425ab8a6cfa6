"""Draws the timeline of a fault as the profiler blueprint does: a staircase of bars, and the cost by component.

A fault is mostly waiting: hundreds of milliseconds until a monitor notices, a few until the owner knows, minutes until
the repair. So it is drawn twice where needed: the fault as a whole, then Doctor's part of it, enlarged.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from doctor.cli.chart import ASCII, UNICODE, Bar, Line, draw, horizon
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.profiler.spread import Spread, Statistics
from doctor.profiler.timeline import (
    MARKS,
    WAY,
    ZERO,
    Component,
    Segment,
    costs,
    detected_to_received,
    first_told,
    remarks,
    segments,
    telling,
    within_budget,
)

if TYPE_CHECKING:
    from rich.text import Text

NARROWEST, WIDEST = 60, 140
CONSUMERS_SHOWN = 8
ENLARGED_BELOW = 0.5  # of the whole drawing: if Doctor's part is smaller, it gets one of its own

WORDS = {
    Checkpoint.OCCURRED: "occurred",
    Checkpoint.DETECTED: "detected",
    Checkpoint.ACCEPTED: "accepted",
    Checkpoint.JUDGED: "judged",
    Checkpoint.AFFECTED_FOUND: "affected found",
    Checkpoint.SAVED: "saved",
    Checkpoint.TOLD: "told",
    Checkpoint.RECEIVED: "received",
    Checkpoint.HANDLED: "handled",
    Checkpoint.INSTRUCTED: "instructed",
    Checkpoint.EXECUTED: "executed",
    Checkpoint.RESOLVED: "resolved",
    Checkpoint.ISOLATED: "isolated",
    Checkpoint.HOST_MARKED: "host marked",
    Checkpoint.RESOURCES_MARKED: "machines marked",
}
COLOURS: dict[str, str] = {
    Component.MONITOR: "yellow",
    Component.SOUTHBOUND: "cyan",
    Component.INSPECTOR: "magenta",
    Component.STORE: "blue",
    Component.NOTIFIER: "bright_cyan",
    Component.NORTHBOUND: "green",
    Component.CONSUMER: "bright_green",
    Component.CONTROLLER: "bright_magenta",
    Component.REPAIR: "bright_black",
    "Doctor": "bold",
    "scale": "bright_black",
}


def render(timeline: Timeline, console_width: int = 80, *, unicode: bool = True) -> "Text":
    """Return the drawing of one fault; ``.plain`` of it is the same without colours.

    ``console_width`` is kept to between 60 and 140 columns; ``unicode`` False draws in ASCII.
    """
    from rich.text import Text

    width = min(max(console_width, NARROWEST), WIDEST)
    drawing = Text()
    _headline(drawing, timeline, unicode=unicode)
    if not segments(timeline):
        drawing.append("fewer than two checkpoints are stamped: there is nothing to draw", "bright_black")
        return drawing
    charts = _charts(timeline)
    labels = max(len(bar.label) for _, bars in charts for bar in bars)
    for title, bars in charts:
        drawing.append(f"\n{title}\n", "bold")
        append_lines(
            drawing, draw(bars, width, UNICODE if unicode else ASCII, labels=labels, keep=_way_end(timeline))
        )
    _cost_table(drawing, timeline)
    _consumer_table(drawing, timeline)
    for remark in remarks(timeline):
        drawing.append(f"\nNote: {remark}.\n", "yellow")
    drawing.rstrip()
    return drawing


def duration(took: timedelta) -> str:
    """Write a duration in three digits or so, milliseconds below a second."""
    seconds = abs(took.total_seconds())
    sign = "-" if took < ZERO else ""
    if not took:
        return "0 ms"
    if seconds < 0.9995:
        ms = seconds * 1000
        places = 3 if ms < 0.1 else 2 if ms < 9.995 else 1 if ms < 99.95 else 0
        return f"{sign}{ms:.{places}f} ms"
    if seconds < 120:
        return f"{sign}{seconds:.{2 if seconds < 9.995 else 1}f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600, whole // 60
    if hours >= 48:
        return f"{sign}{days} d {hours % 24} h"
    if hours >= 2:
        return f"{sign}{hours} h {minutes % 60} min"
    return f"{sign}{minutes} min {whole % 60} s"


def _headline(drawing: "Text", timeline: Timeline, *, unicode: bool) -> None:
    first = min(timeline.checkpoints.values(), default=None)
    when = f"{first:%Y-%m-%d %H:%M:%S} UTC" if first is not None else "never"
    drawing.append(f"{timeline.fault_type} on {timeline.resource_id}", "bold")
    drawing.append(f"  {when}\nfault {timeline.fault_id}\n", "bright_black")
    kept = within_budget(timeline)
    if kept is None:
        drawing.append("no owner has received it yet\n", "yellow")
        return
    good, bad = ("✔ ", "✘ ") if unicode else ("OK: ", "LATE: ")
    drawing.append(good if kept else bad, "bold green" if kept else "bold red")
    drawing.append(
        f"{_receivers(timeline)} it {duration(detected_to_received(timeline) or ZERO)} after detection"
    )
    drawing.append(
        ", within the second\n" if kept else ", later than a second\n", "green" if kept else "bold red"
    )


def _receivers(timeline: Timeline) -> str:
    consumers = first_told(timeline)
    having = sum(entry.received is not None for entry in consumers)
    if len(consumers) < 2:
        return "the owner had"
    return (
        f"all {having} consumers had"
        if having == len(consumers)
        else f"{having} of {len(consumers)} consumers had"
    )


def _charts(timeline: Timeline) -> list[tuple[str, list[Bar]]]:
    """Return one chart or two: a title, and the bars."""
    parts = segments(timeline)
    own = telling(parts)
    marks = _mark_bars(timeline)
    everything = [*_bars(parts), *marks]
    if own == parts and not marks:
        return [("From detection to the owner", [*everything, *_bracket(own)])]
    begin = min(bar.first for bar in everything)
    reach = max(horizon([bar.last - begin for bar in everything]), _way_end(timeline) - begin)
    if len(own) < 2 or _end(own[-1]) - own[0].began.timestamp() >= ENLARGED_BELOW * reach:
        return [("The fault", [*everything, *_bracket(own)])]
    enlarged = f"Doctor's part of it, {own[0].start} to {own[-1].end}, enlarged"
    return [
        ("The whole fault", [*_bars(_joined(parts, own)), *marks]),
        (enlarged, [*_bars(own), *_bracket(own)]),
    ]


def _way_end(timeline: Timeline) -> float:
    """Return how far each scale has to reach: what is on the way to the owner is never cut off."""
    return max(
        (time.timestamp() for station, time in timeline.checkpoints.items() if station in WAY), default=0.0
    )


def _joined(parts: Sequence[Segment], own: Sequence[Segment]) -> list[Segment]:
    """Put Doctor's own segments together to one."""
    took = sum((part.took for part in own), ZERO)
    doctor = Segment(start=own[0].start, end=own[-1].end, began=own[0].began, took=took, component="Doctor")
    position = parts.index(own[0])
    return [*parts[:position], doctor, *parts[position + len(own) :]]


def _bars(parts: Sequence[Segment]) -> list[Bar]:
    first = parts[0]
    begin = first.began.timestamp()
    bars = [Bar(_label(first.start), begin, begin, f"{first.began:%H:%M:%S.%f} UTC", "bright_black", "point")]
    for part in parts:
        text = f"{duration(part.took)}  {_short(part.component)}"
        style = COLOURS.get(part.component.partition(" + ")[0], "")
        bars.append(Bar(_label(part.end), part.began.timestamp(), _end(part), text, style))
    return bars


def _short(component: str) -> str:
    """Name several components by the first and the last."""
    first, *more = component.split(" + ")
    return f"{first} to {more[-1]}" if len(more) > 1 else component


def _bracket(own: Sequence[Segment]) -> list[Bar]:
    if len(own) < 2:
        return []
    took = sum((part.took for part in own), ZERO)
    label = f"{own[0].start} to {own[-1].end}"
    return [
        Bar(label, own[0].began.timestamp(), _end(own[-1]), f"{duration(took)}  in all", "bold", "bracket")
    ]


def _mark_bars(timeline: Timeline) -> list[Bar]:
    stamps = timeline.checkpoints
    marks = [mark for mark in MARKS if mark in stamps]
    begin = Checkpoint.DETECTED if Checkpoint.DETECTED in stamps else min(stamps, key=lambda one: stamps[one])
    bars = []
    for mark in marks:
        time = stamps[mark]
        text = f"{duration(time - stamps[begin])} after {begin}"
        bars.append(Bar(_label(mark), time.timestamp(), time.timestamp(), text, "bold", "mark"))
    return bars


def _label(checkpoint: Checkpoint) -> str:
    return f"{checkpoint:<2} {WORDS[checkpoint]}"


def _end(part: Segment) -> float:
    return (part.began + part.took).timestamp()


def append_lines(drawing: "Text", lines: Iterable[Line]) -> None:
    """Append the lines of a chart, in their colours."""
    for line in lines:
        colour = COLOURS.get(line.style, line.style)
        drawing.append(line.label, colour if line.style == "scale" else "")
        drawing.append(line.cells, colour)
        drawing.append(line.text.rstrip(), "bright_black" if line.style in ("scale", "bright_black") else "")
        drawing.append("\n")


def _cost_table(drawing: "Text", timeline: Timeline) -> None:
    """Write what each component took, by share: of the whole, and of the second."""
    parts = segments(timeline)
    whole = costs(parts)
    own = {cost.component: cost.share for cost in costs(telling(parts))}
    if not whole:
        return
    width = max(len("Component"), *(len(_short(cost.component)) for cost in whole))
    apart = len(own) < len(whole)  # else both shares are the same
    drawing.append(
        f"\n{'Component':<{width}}  {'Time':>9}  {'Share':>6}{'  of T1-T7' if apart else ''}\n", "bold"
    )
    for cost in whole:
        share = f"{own[cost.component]:10.1%}" if cost.component in own else f"{'-':>10}"
        drawing.append(f"{_short(cost.component):<{width}}", COLOURS.get(cost.component, ""))
        drawing.append(f"  {duration(cost.took):>9}  {cost.share:>6.1%}{share if apart else ''}\n")


def _consumer_table(drawing: "Text", timeline: Timeline) -> None:
    """Write when each Consumer was told, the slowest first; one alone is the drawing itself."""
    consumers = first_told(timeline)[::-1]
    begin = timeline.checkpoints.get(Checkpoint.DETECTED)
    if len(consumers) < 2 or begin is None:
        return
    width = max(len("Consumer"), *(len(entry.subscription_id) for entry in consumers[:CONSUMERS_SHOWN]))
    drawing.append(f"\n{'Consumer':<{width}}  {'told':>9}  {'received':>9}  {'handled':>9}\n", "bold")
    for entry in consumers[:CONSUMERS_SHOWN]:
        times = (entry.told, entry.received, entry.handled)
        cells = [f"{'-' if time is None else duration(time - begin):>9}" for time in times]
        drawing.append(f"{entry.subscription_id:<{width}}  {'  '.join(cells)}\n")
    if len(consumers) > CONSUMERS_SHOWN:
        drawing.append(f"and {len(consumers) - CONSUMERS_SHOWN} more, all of them sooner\n", "bright_black")


def render_statistics(statistics: Statistics, *, unicode: bool = True) -> "Text":
    """Return the percentiles over many faults as a table."""
    from rich.text import Text

    drawing = Text()
    timed = statistics.kept + statistics.missed
    drawing.append(f"{statistics.faults} fault{'' if statistics.faults == 1 else 's'}", "bold")
    if timed:
        drawing.append(f": {statistics.kept} of {timed} known to the owners within the second")
        drawing.append(f", {statistics.missed} later\n" if statistics.missed else "\n", "bold red")
    else:
        drawing.append(": none has been received by its owner\n")
    arrow = "→" if unicode else "-"
    for title, spreads in (("", statistics.segments), ("in all", statistics.overall)):
        if spreads:
            _spread_table(drawing, title, spreads, arrow)
    drawing.rstrip()
    return drawing


def _spread_table(drawing: "Text", title: str, spreads: Sequence[Spread], arrow: str) -> None:
    table = [[_spread_name(spread.name, arrow), spread.component, str(spread.count)] for spread in spreads]
    times = [[duration(time) for time in (one.p50, one.p90, one.p99, one.max)] for one in spreads]
    first, whose = (max(len(row[column]) for row in table) for column in (0, 1))
    room = max(8, *(len(time) for row in times for time in row)) + 2
    heads = "".join(f"{name:>{room}}" for name in ("p50", "p90", "p99", "max"))
    drawing.append(f"\n{title:<{first + 2 + whose}}{'n':>6}{heads}\n", "bold")
    for (name, component, count), row in zip(table, times, strict=True):
        drawing.append(f"{name:<{first}}  ")
        drawing.append(f"{component:<{whose}}", COLOURS.get(component, ""))
        drawing.append(f"{count:>6}{''.join(f'{time:>{room}}' for time in row)}\n")


def _spread_name(name: str, arrow: str) -> str:
    ends, _, which = name.partition(" ")
    start, end = (Checkpoint(part) for part in ends.split("-"))
    whose = " by all" if which == "last" else ""
    return f"{start}{arrow}{end} {WORDS[end]}{whose}"
