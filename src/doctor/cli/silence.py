"""``doctor silence``: what is not told for a while, who said so and why."""

from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.output import clean, json_option, moment, print_items, print_json, print_one, remark
from doctor.cli.times import duration_of

STATES = ("current", "planned", "active", "ended", "all")
AUDIENCES = ("administrator", "everybody")
LONG = 60  # letters of a reason in a table

id_argument = click.argument("silence_id", metavar="ID")
for_option = click.option("--for", "duration", metavar="DURATION", help="For so long: 30m, 2h, 1d or PT30M.")
until_option = click.option("--until", metavar="TIME", help="Until a time: 2026-03-04T12:00:00Z.")


@click.group()
def silence() -> None:
    """What is not told for a while, such as of planned work."""


@silence.command()
@click.option(
    "--resource", "resource_id", metavar="ID", multiple=True, help="A resource, or a pattern: 'compute-1*'."
)
@click.option("--type", "resource_type", metavar="TYPE", multiple=True, help="Resources of this type.")
@click.option("--zone", "zone_id", metavar="ID", multiple=True, help="Resources in this zone.")
@click.option("--fault-type", metavar="TYPE", multiple=True, help="Faults of this type.")
@click.option("--project", metavar="NAME", multiple=True, help="Alarms of this owner (Administrator only).")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is read in the history of alarms.")
@click.option("--owner", metavar="NAME", help="Who answers for it; default: the name of your token.")
@click.option("--from", "start", metavar="TIME", help="When it begins; default: now.")
@for_option
@until_option
@click.option(
    "--audience",
    type=click.Choice(AUDIENCES),
    help="Who is not told, if you are the Administrator: you (the default), or the owners neither.",
)
@click.option("--everything", is_flag=True, help="Yes, all there is.")
@json_option
def add(
    reason: str,
    owner: str | None,
    start: str | None,
    duration: str | None,
    until: str | None,
    audience: str | None,
    everything: bool,
    as_json: bool,
    **lists: tuple[str, ...],
) -> None:
    """Do not tell, for a while, what happens to some resources. Prints the id of the silence.

    It is judged, kept, shown and acted upon all the same. What still holds when the silence is over is told then. An
    option that is given several times takes any of them, and all options that are given must hold.

    \b
    Examples:
      doctor silence add --resource compute-7 --for 2h --reason "new memory"
      doctor silence add --zone rack-3 --audience everybody \\
             --from 2026-03-04T22:00:00Z --until 2026-03-05T02:00:00Z \\
             --reason "new switches, owners are informed"
      doctor silence add --resource 'vm-1-*' --for 30m --reason "our own test"
    """
    if (duration is None) is (until is None):
        raise click.UsageError("say how long: --for 2h, or --until 2026-03-04T12:00:00Z")
    body: dict[str, Any] = {
        "matcher": {name: list(values) for name, values in lists.items() if values},
        "reason": reason,
        "everything": everything,
        **_given(owner=owner, start=start, end=until, audience=audience, duration=_seconds(duration)),
    }
    with connected() as doctor:
        made = doctor.post("/v1/silences", body)
    for warning in made.get("warnings", ()):
        remark(f"warning: {clean(warning.get('pointer'))}: {clean(warning.get('detail'))}")
    if as_json:
        print_json(made)
        return
    click.echo(made["silence_id"])
    remark(
        f"{clean(made.get('state'))} until {moment(made.get('end'))}; {clean(made.get('alarms'))} open alarms covered"
    )


@silence.command("list")
@click.option(
    "--state", type=click.Choice(STATES), help="Only those in this state; default: planned and active."
)
@json_option
def list_silences(state: str | None, as_json: bool) -> None:
    """List silences: yours, or all for the Administrator.

    \b
    Examples:
      doctor silence list
      doctor silence list --state ended --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/silences", state=state))
    print_items(
        found,
        as_json,
        none="no silences",
        columns=(
            "silence_id",
            "state",
            ("start", lambda one: moment(one.get("start"))),
            ("end", lambda one: moment(one.get("ended_time") or one.get("end"))),
            ("covers", _covers),
            "alarms",
            ("withheld", "withheld_notifications"),
            "owner",
            ("reason", lambda one: _short(clean(one.get("reason")))),
        ),
        keep=("silence_id", "state"),
        spare=("start", "reason", "alarms", "owner"),
    )


@silence.command()
@id_argument
@json_option
def show(silence_id: str, as_json: bool) -> None:
    """Show one silence with all that was done to it and what it has withheld.

    \b
    Example:
      doctor silence show 0190a1b2-...
    """
    with connected() as doctor:
        found = doctor.get(_path(silence_id))
    print_one(found, as_json)


@silence.command()
@id_argument
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--owner", metavar="NAME", help="Who answers for it.")
@click.option("--from", "start", metavar="TIME", help="When it begins, if it has not yet.")
@for_option
@until_option
@json_option
def change(
    silence_id: str,
    reason: str | None,
    owner: str | None,
    start: str | None,
    duration: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Change when a silence ends, or why it is; what it covers stays. --for counts from its start.

    \b
    Example:
      doctor silence change 0190a1b2-... --until 2026-03-04T14:00:00Z
    """
    body = _given(reason=reason, owner=owner, start=start, end=until, duration=_seconds(duration))
    if not body:
        raise click.UsageError("say what to change: --until, --for, --from, --reason or --owner")
    with connected() as doctor:
        answer = doctor.patch(_path(silence_id), body)
    if as_json:
        print_json(answer)
    else:
        remark(f"{clean(answer.get('state'))} until {moment(answer.get('end'))}")


@silence.command()
@id_argument
@json_option
def end(silence_id: str, as_json: bool) -> None:
    """End a silence before its time, or cancel a planned one; what it has withheld and still holds is told.

    \b
    Example:
      doctor silence end 0190a1b2-...
    """
    with connected() as doctor:
        answer = doctor.delete(_path(silence_id))
    if as_json:
        print_json(answer)
    else:
        remark(f"over since {moment(answer.get('ended_time') or answer.get('end'))}")


def _path(silence_id: str) -> str:
    return f"/v1/silences/{quote(silence_id, safe='')}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else duration_of(duration).total_seconds()


def _covers(found: dict[str, Any]) -> str:
    """Write a matcher in short: only what restricts."""
    parts = [
        f"{name.removesuffix('_id')}={clean(words)}"
        for name, words in found.get("matcher", {}).items()
        if words
    ]
    return "; ".join(parts) or "all"


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
