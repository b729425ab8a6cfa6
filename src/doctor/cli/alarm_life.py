"""``doctor alarm ack | shelve | clear | history ...``: what people do to alarms, and what happened to one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import MISUSED, Failed, connected
from doctor.cli.output import clean, json_option, moment, print_items, print_json, print_table, remark
from doctor.cli.times import duration_of

SEVERITIES = ("critical", "major", "minor", "warning", "indeterminate")
COUNTED = ("perceived_severity", "alarm_state", "ack_state")

id_argument = click.argument("alarm_id", metavar="ID")
user_option = click.option("--user", metavar="NAME", help="Who says so; default: the name of your token.")


def add_to(group: click.Group) -> None:
    """Add these commands to ``doctor alarm``."""
    for command in (ack, unack, clear, shelve, unshelve, comment, history, summary, rebuild, ageing):
        group.add_command(command)


def path_of(alarm_id: str, *rest: str) -> str:
    """Return where an alarm is, or something of it."""
    return "/".join(("/v1/alarms", quote(alarm_id, safe=""), *rest))


def _act(action: str, done: str, example: str, text: str) -> click.Command:
    """Make a command that does one thing to an alarm."""

    def command(alarm_id: str, user: str | None, as_json: bool) -> None:
        _send(alarm_id, {"action": action, **({"user": user} if user else {})}, done, as_json)

    command.__doc__ = f"{text}\n\n\b\nExample:\n  {example}"
    decorated: Callable[..., None] = id_argument(user_option(json_option(command)))
    return click.command()(decorated)


def _send(alarm_id: str, body: dict[str, Any], done: str, as_json: bool) -> None:
    with connected() as doctor:
        answer = doctor.patch(path_of(alarm_id), body)
    _say(answer, done, as_json)


def _say(answer: Any, done: str, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        remark(f"{done}: {clean(answer.get('alarm_name') or answer.get('alarm_id'))}")


ack = _act(
    "acknowledge",
    "acknowledged",
    "doctor alarm ack 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11 --user alice",
    "Say that somebody takes care of an alarm.",
)
ack.name = "ack"
unack = _act(
    "unacknowledge",
    "nobody's any more",
    "doctor alarm unack 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11",
    "Say that nobody takes care of an alarm any more.",
)
unack.name = "unack"
clear = _act(
    "clear",
    "cleared",
    "doctor alarm clear 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11",
    "End a fault by hand, by the alarm of the fault itself; all that follow from it end with it.\n\n"
    "Only the Administrator may. If the fault is still there, the next report raises it anew.",
)
clear.name = "clear"
unshelve = _act(
    "unshelve",
    "back",
    "doctor alarm unshelve 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11",
    "Take an alarm back before its time; its owner is told what has changed.",
)
unshelve.name = "unshelve"


@click.command()
@id_argument
@click.option("--for", "duration", metavar="DURATION", help="For so long: 30m, 2h, 1d, 45s or PT30M.")
@click.option("--until", metavar="TIME", help="Until a time: 2026-03-04T12:00:00Z.")
@user_option
@json_option
def shelve(alarm_id: str, duration: str | None, until: str | None, user: str | None, as_json: bool) -> None:
    """Put an alarm aside for a time: its owner is not told of changes, but is of the end.

    \b
    Examples:
      doctor alarm shelve 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11 --for 2h
      doctor alarm shelve 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11 \\
             --until 2026-03-04T12:00:00Z
    """
    if (duration is None) is (until is None):
        raise click.UsageError("say how long: --for 2h, or --until 2026-03-04T12:00:00Z")
    if duration is not None:
        until = (datetime.now(UTC) + duration_of(duration)).isoformat()
    body = {"action": "shelve", "until": until, **({"user": user} if user else {})}
    _send(alarm_id, body, f"shelved until {moment(until)}", as_json)


@click.command()
@id_argument
@click.argument("text")
@user_option
@json_option
def comment(alarm_id: str, text: str, user: str | None, as_json: bool) -> None:
    """Say something about an alarm; all who see it can read it.

    \b
    Example:
      doctor alarm comment 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11 \\
             "spare part ordered"
    """
    with connected() as doctor:
        answer = doctor.post(
            path_of(alarm_id, "comments"), {"text": text, **({"user": user} if user else {})}
        )
    _say(answer, "noted", as_json)


@click.command()
@id_argument
@json_option
def history(alarm_id: str, as_json: bool) -> None:
    """Tell everything that happened to an alarm: its life, what people did, who was told and who was not.

    \b
    Example:
      doctor alarm history 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11
    """
    with connected() as doctor:
        items = list(doctor.items(path_of(alarm_id, "history")))
    print_items(
        items,
        as_json,
        columns=(("time", lambda one: moment(one.get("time"))), "what", ("details", _details)),
        keep=("time", "what"),
    )


def _details(item: dict[str, Any]) -> str:
    """Write what happened as one line."""
    known = dict(item)
    before, after = known.pop("severity_before", None), known.pop("perceived_severity", None)
    parts = [f"{before} -> {after}" if before else str(after)] if after else []
    left_out = ("time", "what", "state_before", "resource_state", "told_time", "is_root_cause")
    parts += [f"{name}={clean(value)}" for name, value in known.items() if name not in left_out]
    return ", ".join(parts)


@click.command()
@json_option
def summary(as_json: bool) -> None:
    """Count the open alarms: by severity, by state, by whether somebody has acknowledged them.

    \b
    Example:
      doctor alarm summary --json
    """
    with connected() as doctor:
        found = doctor.get("/v1/alarms/summary")
    if as_json:
        print_json(found)
        return
    rows = [[name, number] for kind in COUNTED for name, number in found.get(kind, {}).items()]
    print_table(
        ["alarms", "number"],
        [
            *rows,
            ["shelved", found.get("shelved")],
            ["silenced", found.get("silenced")],
            ["total", found.get("total")],
        ],
    )


@click.command()
@json_option
def rebuild(as_json: bool) -> None:
    """Tell every subscription the whole list of what is open, after state had to be restored.

    \b
    Example:
      doctor alarm rebuild
    """
    with connected() as doctor:
        answer = doctor.post("/v1/alarms/rebuild")
    if as_json:
        print_json(answer)
    else:
        remark(f"{clean(answer.get('subscriptions'))} subscriptions are told")


@click.group()
def ageing() -> None:
    """How long cleared faults are kept, with all their alarms; open ones are always kept."""


@ageing.command("show")
@json_option
def show_ageing(as_json: bool) -> None:
    """Show how long cleared faults are kept, by their worst severity.

    \b
    Example:
      doctor alarm ageing show --json > ageing.json
    """
    with connected() as doctor:
        _show_ageing(doctor.get("/v1/settings/ageing"), as_json)


@ageing.command("set")
@click.option(
    "--keep",
    "keeps",
    metavar="SEVERITY=DAYS[,COUNT]",
    multiple=True,
    help="Keep those of a severity for so many days, and so many of them; - is no limit.",
)
@json_option
def set_ageing(keeps: tuple[str, ...], as_json: bool) -> None:
    """Say how long cleared faults are kept; severities that are not named follow the settings file.

    \b
    Examples:
      doctor alarm ageing set --keep critical=90,10000 --keep warning=7
      doctor alarm ageing set --keep critical=- # for ever
      doctor alarm ageing set                   # all as in the settings file
    """
    body = dict(_keep(one) for one in keeps)
    with connected() as doctor:
        _show_ageing(doctor.put("/v1/settings/ageing", body), as_json)


def _keep(text: str) -> tuple[str, dict[str, float | int | None]]:
    severity, _, limits = text.partition("=")
    days, _, count = limits.partition(",")
    try:
        if severity not in SEVERITIES:
            raise ValueError(severity)
        return severity, {
            "days": None if days == "-" else float(days),
            "count": None if count in ("", "-") else int(count),
        }
    except ValueError:
        raise Failed(f"{text!r} is not understood: write critical=90,10000 or warning=7", MISUSED) from None


def _show_ageing(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_table(
            ["severity", "days", "count"],
            [[name, one.get("days"), one.get("count")] for name, one in found.items()],
        )
