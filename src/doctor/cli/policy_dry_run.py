"""``doctor policy dry-run``: what another policy would have made of what was recorded."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from doctor.cli.connection import connected
from doctor.cli.output import clean, json_option, moment, print_columns, print_json, print_table
from doctor.cli.policy_file import YAML, file_argument, text_of

SECONDS = 90.0  # to wait for the answer: Doctor takes 40 at most, and the machine may be busy
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
KINDS = {"only_candidate": "only new", "only_current": "only old", "changed": "changed"}


@click.command("dry-run")
@file_argument
@click.option(
    "--since", metavar="TIME", help="Events since then, or of so long (7d, 12h, PT30M); default: of a day."
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), metavar="N", help="At most so many events.")
@json_option
def dry_run(file: Path, since: str | None, limit: int | None, as_json: bool) -> None:
    """Try a policy on recorded events: what would it have done that the one in force does not, or otherwise?

    Nothing is changed and nobody is told. Both policies begin with nothing open and use the resource map of today. Time
    goes by as it did then, so what is judged over time is compared too.

    Ends with 0 when both do the same and with 1 when they differ.

    \b
    Examples:
      doctor policy dry-run policy.yaml
      doctor policy dry-run policy.yaml --since 7d --limit 1000000
      doctor policy dry-run policy.yaml --json | jq .never_fired
      doctor policy show | sed 's/critical/major/' | doctor policy dry-run -
    """
    when = _beginning(since)
    with connected(timeout=SECONDS) as doctor:
        done = doctor.send(
            "POST",
            "/v1/failure-policies/dry-run",
            text_of(file).encode(),
            content_type=YAML,
            since=when,
            limit=limit,
        )
    if as_json:
        print_json(done)
    else:
        _print(done)
    click.get_current_context().exit(1 if any(done["counts"].values()) else 0)


def _beginning(since: str | None) -> str | None:
    """Return the time from which on events are wanted."""
    from doctor.kit.times import in_utc, parse_duration, rfc3339

    if since is None:
        return None
    try:
        return rfc3339(in_utc(datetime.fromisoformat(since)))
    except (ValueError, OverflowError):
        pass
    try:
        short = re.fullmatch(r"(\d{1,6})([smhd])", since, re.ASCII)
        ago = timedelta(**{UNITS[short[2]]: int(short[1])}) if short else parse_duration(since)
        return rfc3339(datetime.now(UTC) - ago)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{since[:40]!r} is no time (2026-03-04T05:06:07Z) and no duration (7d, 12h, PT30M)",
            param_hint="--since",
        ) from None


def _print(done: Mapping[str, Any]) -> None:
    """Print the differences, then the rules that were asked, then what is to be said of it all."""
    differences = done["differences"]
    if differences:
        print_columns(
            differences,
            (
                ("time", lambda one: moment(one["time"])),
                ("difference", lambda one: KINDS.get(one["kind"], one["kind"])),
                ("resource", "resource_id"),
                ("fault", "fault_type"),
                ("in force", lambda one: _firing(one["current"])),
                ("new", lambda one: _firing(one["candidate"])),
            ),
            keep=("time", "resource"),
        )
        click.echo()
    rules = list(_rules(done["current"]["rules"], done["candidate"]["rules"]))
    if rules:
        print_table(("rule", "policy", "seen", "fired", "raised", "cleared"), rules, keep=("rule",))
        click.echo()
    zones = list(_zones(done["current"]["zones"], done["candidate"]["zones"]))
    if zones:
        print_table(("zones", "policy", "asked", "took effect", "over"), zones, keep=("zones",))
        click.echo()
    for line in summary(done):
        click.echo(line)


def _firing(firing: Mapping[str, Any] | None) -> str:
    if firing is None:
        return "-"
    if firing["happening"] == "cleared":
        return f"cleared, was by {firing['rule']}"
    affected = ", ".join(f"{number} {state}" for state, number in firing["affected"].items())
    more = [f"also {affected}"] if affected else []
    if firing["predicted_time"]:
        more.append(f"for {moment(firing['predicted_time'])}")
    what = f"{firing['happening']} {firing['perceived_severity']}, {firing['state']} by {firing['rule']}"
    return "; ".join([what, *more])


def _rules(
    current: Iterable[Mapping[str, Any]], candidate: Iterable[Mapping[str, Any]]
) -> Iterable[Sequence[Any]]:
    """Return the rules that saw or did anything."""
    for name, side, one in _sides(current, candidate, "rule"):
        if one["seen"] or one["raised"] or one["cleared"]:
            # As text: a zero is a count here, and nothing that is missing.
            yield [name, side, *(str(one[key]) for key in ("seen", "fired", "raised", "cleared"))]


def _zones(
    current: Iterable[Mapping[str, Any]], candidate: Iterable[Mapping[str, Any]]
) -> Iterable[Sequence[Any]]:
    """Return the types of zones of which any would have failed."""
    for name, side, one in _sides(current, candidate, "type"):
        if one["asked"] or one["took_effect"]:
            yield [name, side, *(str(one[key]) for key in ("asked", "took_effect", "over"))]


def _sides(
    current: Iterable[Mapping[str, Any]], candidate: Iterable[Mapping[str, Any]], key: str
) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Return what each policy has of each name; what did the same in both stands there once."""
    before = {one[key]: one for one in current}
    after = {one[key]: one for one in candidate}
    for name in {**after, **before}:
        old, new = before.get(name), after.get(name)
        if old == new and old is not None:
            yield name, "both", old
        else:
            yield from (
                (name, side, one) for side, one in (("in force", old), ("new", new)) if one is not None
            )


def summary(done: Mapping[str, Any]) -> Iterable[str]:
    """Say in a few lines what came of it."""
    counts, shown = done["counts"], len(done["differences"])
    total = sum(counts.values())
    until = f" until {moment(done['until'])}" if done["until"] else ""
    left_out = [
        f"{done[key]} {what}"
        for key, what in (("duplicates", "repeats"), ("unreadable_batches", "requests that cannot be read"))
        if done[key]
    ]
    more = f" ({', '.join(left_out)})" if left_out else ""
    yield f"{done['events']} events since {moment(done['since'])}{until}{more}"
    if done["truncated"]:
        yield "not all of it: there are more events; go on with --since, or raise --limit"
    if done["never_fired"]:
        yield f"never fired: {clean(done['never_fired'])}"
    if done["always_fired"]:
        yield f"fired at every event of their types: {clean(done['always_fired'])}"
    for warning in done["warnings"]:
        yield f"warning: {clean(warning)}"
    if total == 0:
        yield "both policies do the same"
    else:
        kinds = [f"{counts[kind]} {name}" for kind, name in KINDS.items() if counts.get(kind)]
        first = f", of which the first {shown} are shown" if shown < total else ""
        yield f"{total} differences: {', '.join(kinds)}{first}"
