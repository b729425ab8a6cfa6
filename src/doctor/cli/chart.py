"""Draws stretches of time as bars on a scale: numbers in, lines of text out.

It knows nothing of faults. A bar is placed to an eighth of a character, and what lasts too long to be seen beside the
rest runs over the edge of the scale.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import ceil

SMALLEST = 16  # cells of a scale
SHORTEST = 1e-6  # seconds of a scale
FARTHEST = 5.0  # what ends later than so many times the end of the rest runs over the edge
BROKEN_CELLS = 3
TICK_CELLS = 6
SCALE_OVERHANG = 10  # cells: half of the last number, and the unit
UNITS = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"), (1.0, 1.0, "s"), (0.0, 0.001, "ms"))
STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Glyphs:
    """The characters to draw with.

    ``parts`` are the left eighths of a cell and ``right`` its right half and edge; or ``parts`` is a whole cell, and
    ``right`` what is less than one.
    """

    parts: str
    right: str
    backwards: str
    point: str
    mark: str
    broken: str
    ruler: str
    bracket: str


UNICODE = Glyphs("▏▎▍▌▋▊▉█", "▐▕", "░", "╷", "◆", "╱╱", "├─┼→", "├─┤")  # noqa: RUF001 - no slash is meant
ASCII = Glyphs("=", "|", "<", "|", "*", "//", "+-+>", "[-]")


@dataclass(frozen=True)
class Bar:
    """One line of a chart: from ``start`` to ``end`` in seconds, what stands before it and after it.

    ``kind`` is ``bar``, ``bracket`` (an outline), ``mark`` or ``point`` (at ``end``).
    """

    label: str
    start: float
    end: float
    text: str
    style: str = ""
    kind: str = "bar"

    @property
    def first(self) -> float:
        """Return where it begins on the scale, which is its end when it runs backwards."""
        return min(self.start, self.end)

    @property
    def last(self) -> float:
        """Return where it stops on the scale."""
        return max(self.start, self.end)


@dataclass(frozen=True)
class Line:
    """A drawn line in the three parts that may be coloured apart."""

    label: str
    cells: str
    text: str
    style: str = ""


def horizon(ends: Sequence[float]) -> float:
    """Return where the scale should end, so that one very late end does not squeeze all the others."""
    reached = 0.0
    for end in sorted(end for end in ends if end > 0):
        if reached and end > FARTHEST * reached:
            break
        reached = end
    return reached


def draw(
    bars: Sequence[Bar], width: int, glyphs: Glyphs, *, labels: int = 0, keep: float = 0.0
) -> list[Line]:
    """Draw bars below a scale, within a width; labels get ``labels`` columns, the scale reaches ``keep`` at least."""
    origin = min(bar.first for bar in bars)
    reach = max(horizon([bar.last - origin for bar in bars]), keep - origin, SHORTEST)
    labels = max(labels, *(len(bar.label) for bar in bars)) + 2
    widths = range(width - labels, SMALLEST, -1)
    cells = next((cells for cells in widths if _fits(bars, origin, reach, cells, width - labels)), SMALLEST)
    broken = any(bar.last - origin > reach for bar in bars)
    lines = [*_scale(reach, cells, labels, glyphs, broken=broken)]
    for bar in bars:
        first, last = ((time - origin) / reach * cells for time in (bar.first, bar.last))
        drawn = _cells(bar, first, last, cells, glyphs)
        lines.append(Line(f"{bar.label:<{labels}}", drawn, f" {bar.text}", bar.style))
    return lines


def _fits(bars: Sequence[Bar], origin: float, reach: float, cells: int, room: int) -> bool:
    for bar in bars:
        first, last = ((time - origin) / reach for time in (bar.first, bar.last))
        needed = max(ceil(last * cells), round(first * cells) + 1) if last <= 1 else cells + BROKEN_CELLS
        if needed + 1 + len(bar.text) > room:
            return False
    return cells + SCALE_OVERHANG <= room


def _cells(bar: Bar, first: float, last: float, cells: int, glyphs: Glyphs) -> str:
    """Draw one bar, its ends given in cells."""
    if last > cells:
        filled = _block(first, cells, glyphs)[:cells] if bar.kind == "bar" and first < cells else ""
        return f"{filled:<{cells}}{glyphs.broken} "
    begin = min(int(first), cells - 1)
    match bar.kind:
        case "point":
            return " " * begin + glyphs.point
        case "mark":
            return " " * begin + glyphs.mark
        case "bracket":
            return _bracket(begin, min(int(last), cells - 1), glyphs)
        case _ if bar.end < bar.start:
            return " " * begin + glyphs.backwards * max(1, int(last) - begin)
        case _:
            return _block(first, last, glyphs)


def _bracket(first: int, last: int, glyphs: Glyphs) -> str:
    left, line, right = glyphs.bracket[0], glyphs.bracket[1], glyphs.bracket[2]
    return " " * first + (left + line * (last - first - 1) + right if last > first else left)


def _block(start: float, end: float, glyphs: Glyphs) -> str:
    """Fill from start to end, to the eighth of a cell and never less than one."""
    if len(glyphs.parts) == 1:
        length = round(end) - round(start)
        return " " * round(start) + (glyphs.parts * length or glyphs.right)
    first = round(start * 8)
    last = max(round(end * 8), first + 1)
    cell, offset = divmod(first, 8)
    if last <= 8 * (cell + 1):  # all of it in one cell
        eighths = last - first
        inner = glyphs.parts[eighths - 1] if offset < 4 else glyphs.right[0 if eighths > 2 else 1]
        return " " * cell + inner
    full = glyphs.parts[7]
    head = full if offset < 4 else glyphs.right[0 if offset < 7 else 1]
    body = full * (last // 8 - cell - 1)
    tail = glyphs.parts[last % 8 - 1] if last % 8 else ""
    return " " * cell + head + body + tail


def _scale(reach: float, cells: int, labels: int, glyphs: Glyphs, *, broken: bool) -> Iterator[Line]:
    """Draw the numbers and the ruler."""
    size, unit = next((size, unit) for least, size, unit in UNITS if reach >= least)
    step = tick_step(reach / size, cells)
    numbers, ruler = [" "] * (cells + 8), [glyphs.ruler[1]] * cells
    decimals = max(0, len(f"{step:.6f}".rstrip("0").partition(".")[2]))
    for count in takewhile(lambda count: count * step * size <= reach * 1.0001, range(cells)):
        position = min(int(count * step * size / reach * cells), cells - 1)
        number = f"{count * step:.{decimals}f}" if count else "0"
        begin = max(0, position - len(number) // 2)
        numbers[begin : begin + len(number)] = number
        ruler[position] = glyphs.ruler[2] if count else glyphs.ruler[0]
    written = "".join(numbers).rstrip()
    yield Line(" " * labels, f"{written:<{cells}}", f" {unit}", "scale")
    yield Line(" " * labels, "".join(ruler) + (glyphs.broken if broken else glyphs.ruler[3]), "", "scale")


def tick_step(reach: float, cells: int) -> float:
    """Return a round step (1, 2 or 5 times a power of ten) that leaves room for the numbers."""
    power = 1e-6
    while True:
        for step in STEPS:
            if cells * step * power >= TICK_CELLS * reach:
                return step * power
        power *= 10
