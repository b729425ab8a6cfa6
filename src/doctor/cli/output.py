"""What commands print: JSON for programs, tables for people, remarks on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Function = TypeVar("Function", bound=Callable[..., Any])

Item = dict[str, Any]
# A column of a table of items: its name, and the key of what stands in it or how that is written. A name alone is the
# key as well. Two columns may have one name.
Column = str | tuple[str, str | Callable[[Item], Any]]

STYLES = {
    "critical": "bold red",
    "major": "red",
    "minor": "yellow",
    "warning": "yellow",
    "cleared": "green",
    "down": "bold red",
    "error": "red",
    "maintenance": "cyan",
    "normal": "green",
    "failed": "red",
    "ok": "green",
}


def json_option(function: Function) -> Function:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")(
        function
    )


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=not speaks_unicode(sys.stdout)))


def print_list(items: Sequence[Any]) -> None:
    """Print all items of a list in the shape in which Doctor answers lists."""
    print_json({"items": items, "next": None})


def print_items(
    items: Sequence[Item],
    as_json: bool,
    *,
    columns: Sequence[Column],
    none: str | None = None,
    keep: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print what was found: as JSON if that is wanted, else as a table; where there is nothing, ``none`` is remarked."""
    if as_json:
        print_list(items)
    elif none is not None and not items:
        remark(none)
    else:
        print_columns(items, columns, keep=keep, spare=spare)


def print_one(item: Item, as_json: bool) -> None:
    """Print all of one thing: as JSON if that is wanted, else as pairs."""
    if as_json:
        print_json(item)
    else:
        print_pairs(item)


def remark(text: str) -> None:
    """Say something that is not the result."""
    click.echo(text, err=True)


def speaks_unicode(stream: IO[Any]) -> bool:
    """Tell whether a stream can show more than ASCII."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def console(*, stderr: bool = False) -> "Console":
    """Return a console on stdout (or stderr): colours on a terminal only, and never under NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=False)


def print_rich(renderable: "RenderableType") -> None:
    """Print something of rich; what does not fit the width of a terminal runs on, nothing is cut."""
    console().print(renderable, soft_wrap=True)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    keep: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table; columns in ``keep`` are never broken, since one copies what is in them.

    A terminal gets colours, long cells folded, and where it is too narrow columns in ``spare`` left out, the first
    first. Anything else gets everything, in plain lines that `awk` and `grep` can take.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        click.echo("\n".join(plain_table(columns, cells)))
        return
    terminal = console()
    left_out = too_wide(columns, cells, spare, terminal.width)
    kept = [index for index, name in enumerate(columns) if name not in left_out]
    shown = [[row[index] for index in kept] for row in cells]
    terminal.print(rich_table([columns[index] for index in kept], shown, keep))
    if left_out:
        remark(f"({', '.join(left_out)} left out: the terminal is narrow; --json has all)")


def print_columns(
    items: Iterable[Item],
    columns: Sequence[Column],
    *,
    keep: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table of items, one to a line; where an item has no such key there is a dash."""
    parts = [(column, column) if isinstance(column, str) else column for column in columns]
    print_table(
        [name for name, _ in parts],
        [[item.get(cell) if isinstance(cell, str) else cell(item) for _, cell in parts] for item in items],
        keep=keep,
        spare=spare,
    )


def too_wide(
    columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], width: int
) -> list[str]:
    """Return the spare columns to leave out so that the rest fits."""
    widths = {
        name: max(len(one) for one in (name, *(row[index] for row in rows))) + 2
        for index, name in enumerate(columns)
    }
    left_out: list[str] = []
    for name in spare:
        if sum(widths.values()) - 2 <= width:
            break
        if name in widths:
            del widths[name]
            left_out.append(name)
    return left_out


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table as lines, columns two spaces apart."""
    lines = [[name.upper() for name in columns], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], keep: Sequence[str] = ()
) -> "RenderableType":
    """Lay out a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name.upper(), no_wrap=name in keep, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    return table


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print one thing, a name and a value to a line; what is nested is indented below its name."""
    click.echo("\n".join(_pairs(pairs, 0)))


def _pairs(pairs: Mapping[str, Any], depth: int) -> list[str]:
    width = max((len(name) for name in pairs), default=0)
    lines: list[str] = []
    for name, value in pairs.items():
        label = "  " * depth + clean(name)
        if isinstance(value, Mapping) and value:
            lines += [label, *_pairs(value, depth + 1)]
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for number, one in enumerate(value, 1):
                lines += [f"{label} {number}", *_pairs(one, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{clean(name):<{width}}  {clean(value)}".rstrip())
    return lines


def clean(value: Any) -> str:
    """Write a value as one line that does nothing to a terminal but stand there."""
    if value is None or (not value and isinstance(value, (str, list, dict))):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(clean(one) for one in value)
        case dict():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def age(time: Any, now: datetime | None = None) -> str:
    """Write how long ago a time of the API was, as short as it goes: 12s, 3m, 2h, 5d."""
    try:
        then = datetime.fromisoformat(str(time))
    except ValueError:
        return "-"
    seconds = (
        (now or datetime.now(UTC)) - (then if then.tzinfo else then.replace(tzinfo=UTC))
    ).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(seconds // 1, 0):.0f}s"


def moment(time: Any) -> str:
    """Write a time of the API to the millisecond, in UTC, for people."""
    text = str(time or "-").replace("T", " ")
    return text[:23] + "Z" if text.endswith("Z") and len(text) > 23 else text
