"""`doctor bench`: how fast this machine runs Doctor."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from doctor.cli.output import json_option, print_json, print_table, remark

if TYPE_CHECKING:
    from doctor.cli.bench.result import Result

MEASUREMENTS = ("floors", "single", "bulk", "latency", "storm", "growth", "maintenance", "map", "start")


def _names(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    names = [name.strip() for one in given for name in one.replace(",", " ").split()]
    for name in names:
        if name not in MEASUREMENTS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(MEASUREMENTS)}")
    return tuple(name for name in MEASUREMENTS if name in names or not names)


def _earlier(
    _context: click.Context, _parameter: click.Parameter, file: Path | None
) -> dict[str, float] | None:
    from doctor.cli.bench.result import earlier_values

    if file is None:
        return None
    try:
        return earlier_values(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{file} {error}") from None


@click.command()
@json_option
@click.option(
    "--only",
    multiple=True,
    metavar="NAME,...",
    callback=_names,
    help=f"Measure only these: {', '.join(MEASUREMENTS)}.",
)
@click.option("--quick", is_flag=True, help="Do very little, to see that the bench works; nothing is judged.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write the JSON result to a file as well.",
)
@click.option(
    "--compare",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=_earlier,
    help="Show how many times its value in this earlier result each figure has now.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Keep the data of the runs below this folder meanwhile; it should be on a disk. [default: /var/tmp]",
)
def bench(
    *,
    as_json: bool,
    only: tuple[str, ...],
    quick: bool,
    output: Path | None,
    earlier: dict[str, float] | None,
    folder: Path | None,
) -> None:
    """Measure how fast this machine runs Doctor, beside the least that the same work costs on it.

    Starts Doctors as they ship, sends them events on loopback, and stops them. Each figure stands beside its floor,
    what a server that judges nothing makes of the same load in the same minutes: trust the ratio when the machine has
    other work. Takes about nine minutes and both cores.

    \b
    floors       the disk, SQLite and HTTP by themselves
    single       one event in each request, 64 connections, answered when durable
    bulk         1,000 events in each request
    latency      POST to webhook at 100, 1,000 and 5,000 events per second, 1 % of which are told to 10 owners
    storm        a switch with 4,000 machines fails: until all 100 owners are told
    growth       a host fails while 100,000 faults are open already and 1,000 others listen: nothing may take longer
    maintenance  1,000 hosts with 20,000 machines planned and emptied, and another one that fails meanwhile
    map          memory, load and look-ups of a resource map with a million machines
    start        how long the service takes to start

    Exit status 0: all was measured and nothing was lost; a target that is missed is reported and no failure.

    \b
    Examples:
      doctor bench
      doctor bench --only single,bulk --json
      doctor bench --output today.json --compare yesterday.json
    """
    from doctor.cli.bench import report
    from doctor.cli.bench.result import compared
    from doctor.cli.bench.run import run

    signal.signal(signal.SIGTERM, _leave)
    result = run(only, quick=quick, tell=remark, folder=folder)
    document = result.as_json()
    if earlier is not None:
        document["times_earlier"] = compared(result.figures, earlier)
    if output is not None:
        output.write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        print_json(document)
    else:
        _print(result, report.columns(with_earlier=earlier is not None), report.rows(result, earlier))
        for line in report.remarks(result):
            click.echo(line)
    sys.exit(1 if result.errors else 0)


def _print(result: "Result", columns: tuple[str, ...], rows: list[list[str]]) -> None:
    if result.figures:
        click.echo()
        print_table(columns, rows, keep=columns[1:])
        click.echo()


def _leave(_number: int, _frame: FrameType | None) -> Any:
    """Stop in good order: whatever was started is stopped on the way out."""
    raise SystemExit(128 + signal.SIGTERM)
