"""``doctor event``: report what a monitor saw."""

import json
from datetime import UTC, datetime
from typing import IO, Any

import click

from doctor.cli.connection import REFUSED, Failed, connected
from doctor.cli.output import clean, json_option, print_json, remark


@click.group()
def event() -> None:
    """Report what a monitor saw."""


@event.command()
@click.argument("event_type", metavar="[TYPE]", required=False)
@click.option("--host", metavar="NAME", help="The host it happened to: its id, an alias or its short name.")
@click.option("--status", metavar="WORD", help="`down` is a fault; `up`, `ok` or `cleared` ends it.")
@click.option(
    "--severity", metavar="WORD", help="critical, major, minor, warning ... as the monitor says it."
)
@click.option("--source", metavar="NAME", help="The monitor; default: the name of the token.")
@click.option(
    "--detail",
    "details",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any other detail; NAME:=VALUE takes JSON (a number, true, a list).",
)
@click.option(
    "--time", metavar="TIME", help="When it happened (RFC 3339; without a zone in UTC); default: now."
)
@click.option(
    "--file",
    type=click.File("rb"),
    metavar="FILE",
    help="Send this JSON instead: one event or many, as POST /v1/events takes it; - is stdin.",
)
@json_option
def send(
    event_type: str | None,
    host: str | None,
    status: str | None,
    severity: str | None,
    source: str | None,
    details: tuple[str, ...],
    time: str | None,
    file: IO[bytes] | None,
    as_json: bool,
) -> None:
    """Send an event, or a file of events.

    It is accepted when Doctor has it on disk. What an event means is for the failure policy to say; a TYPE that no
    rule of it names is kept and changes nothing.

    \b
    Examples:
      doctor event send compute.host.down --host compute-1 --status down
      doctor event send compute.host.down --host compute-1 --status up
      doctor event send compute.cpu.failure --host compute-1 --severity minor \\
             --detail core=7 --detail temperature:=97.5
      doctor event send network.switch.down --detail resource_id=tor-1
      doctor event send --file events.json
    """
    given = {"hostname": host, "status": status, "severity": severity, "source": source}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if file is not None and (event_type or wanted or details or time):
        raise click.UsageError("--file takes the events as they are: give no TYPE and no details beside it")
    if file is None and event_type is None:
        raise click.UsageError("what happened? Give a TYPE such as compute.host.down, or --file")
    wanted.update(_detail(text) for text in details)
    with connected() as doctor:
        # Only now: what is before this line would count as time that the event took to Doctor.
        body = file.read() if file is not None else _event(event_type, time or _now(), wanted)
        answer = doctor.send("POST", "/v1/events", body, content_type="application/json")
    _show(answer, as_json)


def _event(event_type: str | None, time: str, details: dict[str, Any]) -> bytes:
    message = {"event": {"time": time, "type": event_type, "details": details}}
    return json.dumps(message, ensure_ascii=False).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _detail(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip(":"):
        raise click.BadParameter(
            f"{text!r} is no detail: write NAME=VALUE or NAME:=JSON", param_hint="--detail"
        )
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise click.BadParameter(f"{text!r}: what follows := is no JSON", param_hint="--detail") from None


def _show(answer: dict[str, Any], as_json: bool) -> None:
    """Print the answer of the door; anything rejected makes the command fail."""
    accepted, rejected = answer["accepted"], answer["rejected"]
    if as_json:
        print_json(answer)
    else:
        for one in accepted:
            note = "  (known already: a repeat)" if one.get("duplicate") else ""
            click.echo(f"accepted {clean(one['event_id'])}{note}")
    if rejected:
        places = [f"  {flaw['pointer']}: {flaw['detail']}" for one in rejected for flaw in one["errors"]]
        total = len(accepted) + len(rejected)
        raise Failed("\n".join([f"{len(rejected)} of {total} events were rejected", *places]), REFUSED)
    if not as_json and len(accepted) > 1:
        remark(f"{len(accepted)} events accepted")
