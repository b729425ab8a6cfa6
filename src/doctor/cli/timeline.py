"""``doctor timeline``: where the time went between a fault and its owner."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from doctor.cli.connection import Failed, connected
from doctor.cli.drawing import render, render_statistics
from doctor.cli.output import console, json_option, print_json, print_rich, remark, speaks_unicode
from doctor.kit.times import in_utc
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.profiler.export import (
    statistics_as_json,
    statistics_rows,
    timeline_as_json,
    timeline_rows,
)
from doctor.profiler.spread import statistics

__all__ = ["render", "timeline"]

KNOWN = frozenset(Checkpoint)


@click.command()
@click.argument("fault_id", metavar="[FAULT_ID]", required=False)
@click.option("--stats", is_flag=True, help="Percentiles over the last faults instead of one drawing.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, metavar="N", help="How many faults; default: 100."
)
@click.option(
    "--export", type=click.Choice(["json", "csv"]), help="Write the figures of the last faults (or of one)."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Export to this file."
)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Read timelines that were exported as JSON instead of asking Doctor; - is stdin.",
)
@json_option
def timeline(
    fault_id: str | None,
    stats: bool,
    limit: int,
    export: str | None,
    output: Path | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Draw where the time went between a fault and its owner.

    Draws the last fault, or the one with the FAULT_ID: each bar is the way from one checkpoint to the next, and below
    stands which component took how much. T1 (detected) to T7 (received by the owner) has to stay below a second.

    \b
    Examples:
      doctor timeline
      doctor timeline b0f1c2d3-1111-5222-8333-944455566677
      doctor timeline --stats --limit 1000
      doctor timeline --export csv --output faults.csv
      doctor timeline --export json --output faults.json
      doctor timeline --file faults.json --stats
    """
    if output is not None and export is None:
        raise click.UsageError("--output goes with --export json or --export csv")
    if export is not None and as_json:
        raise click.UsageError("--json is one fault as JSON, --export json is many: give one of them")
    many = fault_id is None and (stats or export is not None)
    found = _read(file, fault_id) if file is not None else _fetch(fault_id, limit if many else 1)
    if not found:
        raise Failed("there are no timelines: no fault has come yet")
    if many:
        found = found[:limit]
    if export is not None:
        _export(found, stats=stats, form=export, output=output)
    elif stats:
        summary = statistics(found)
        if as_json:
            print_json(statistics_as_json(summary))
        else:
            print_rich(render_statistics(summary, unicode=speaks_unicode(sys.stdout)))
    elif as_json:
        print_json(timeline_as_json(found[0]))
    else:
        print_rich(render(found[0], console().width, unicode=speaks_unicode(sys.stdout)))


def _fetch(fault_id: str | None, limit: int) -> list[Timeline]:
    with connected() as doctor:
        if fault_id is not None:
            return [_timeline(doctor.get(f"/v1/timelines/{quote(fault_id, safe='')}"))]
        return [_timeline(one) for one in doctor.items("/v1/timelines", at_most=limit)]


def _read(file: Path, fault_id: str | None) -> list[Timeline]:
    """Read what was exported: one timeline, a list of them, or the answer of the door."""
    try:
        content = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            content = content.get("items", [content])
        found = [_timeline(one) for one in content]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Failed(f"{file} holds no timelines: {error}") from error
    if fault_id is not None:
        found = [one for one in found if one.fault_id == fault_id]
        if not found:
            raise Failed(f"{file} has no fault {fault_id}")
    return found


def _timeline(value: dict[str, Any]) -> Timeline:
    """Turn JSON into a timeline; checkpoints of a newer Doctor are passed over."""
    known = {name: time for name, time in value.get("checkpoints", {}).items() if name in KNOWN and time}
    found = msgspec.convert({**value, "checkpoints": known}, Timeline)
    found.checkpoints = {checkpoint: in_utc(time) for checkpoint, time in found.checkpoints.items()}
    for entry in found.consumers:
        entry.told, entry.received, entry.handled = map(_aware, (entry.told, entry.received, entry.handled))
    return found


def _aware(time: datetime | None) -> datetime | None:
    return None if time is None else in_utc(time, UTC)


def _export(found: Sequence[Timeline], *, stats: bool, form: str, output: Path | None) -> None:
    if form == "csv":
        _write_csv(statistics_rows(statistics(found)) if stats else timeline_rows(found), output)
    else:
        value: Any = (
            statistics_as_json(statistics(found))
            if stats
            else {"items": [timeline_as_json(one) for one in found], "next": None}
        )
        if output is None:
            print_json(value)
        else:
            output.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    if output is not None:
        remark(f"{len(found)} timelines written to {output}")


def _write_csv(rows: Iterable[Sequence[str]], output: Path | None) -> None:
    if output is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    with output.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
