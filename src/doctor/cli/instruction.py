"""``doctor instruction``: what is to be done to machines, ports and volumes, and what has become of it."""

from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.options import state_option
from doctor.cli.output import clean, json_option, moment, print_items, print_json, print_pairs, remark
from doctor.cli.times import duration_of

ACTIONS = (
    "evacuate",
    "migrate",
    "live_migrate",
    "rebuild",
    "reboot",
    "stop",
    "start",
    "update",
    "terminate",
    "leave",
    "switched_over",
    "repair",
)

id_argument = click.argument("instruction_id", metavar="ID")


@click.group()
def instruction() -> None:
    """What is to be done to machines, such as in answer to a notification."""


@instruction.command()
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("machines", metavar="MACHINE...", nargs=-1, required=True)
@click.option("--answer", "notification_id", metavar="ID", help="The notification that this answers.")
@click.option("--within", metavar="DURATION", help="How long it may take to begin: 60s, 10m or PT30M.")
@click.option("--key", "idempotency_key", metavar="TEXT", help="The same twice is one instruction.")
@click.option("--image", metavar="ID", help="rebuild: from this image, not the one that it has.")
@click.option(
    "--target", metavar="HOST", help="evacuate, migrate, live_migrate: to this host (Administrator only)."
)
@click.option("--type", "reboot_type", type=click.Choice(("soft", "hard")), help="reboot: how.")
@click.option("--name", metavar="TEXT", help="update: another name.")
@click.option("--metadata", metavar="NAME=TEXT", multiple=True, help="update: a word to be written down.")
@click.option("--cause", metavar="TEXT", help="repair: what you see.")
@json_option
def send(
    action: str,
    machines: tuple[str, ...],
    notification_id: str | None,
    within: str | None,
    idempotency_key: str | None,
    image: str | None,
    target: str | None,
    reboot_type: str | None,
    name: str | None,
    metadata: tuple[str, ...],
    cause: str | None,
    as_json: bool,
) -> None:
    """Have something done to machines. Prints the id of the instruction.

    Ports take stop, start and update, volumes start and update; by their ids, as machines.

    What frees a machine of a dead host waits until that host is isolated. What cannot be done as things are is refused,
    and with it the command ends with 1, though the rest is under way. `leave`, `switched_over` and `repair` only say
    something.

    \b
    Examples:
      doctor instruction send evacuate vm-1-1 --answer 0d9a... --within 60s
      doctor instruction send live_migrate vm-1-1 vm-1-2
      doctor instruction send update vm-1-2 --metadata doctor:role=ACT
      doctor instruction send evacuate vm-1-1 --target compute-7
    """
    parameters = _given(image=image, target=target, type=reboot_type, name=name, cause=cause)
    if metadata:
        parameters["metadata"] = dict(map(_pair, metadata))
    body = {
        "action": action,
        "virtual_resource_id": list(machines),
        "parameters": parameters,
        **_given(
            notification_id=notification_id,
            deadline=None if within is None else duration_of(within).total_seconds(),
            idempotency_key=idempotency_key,
        ),
    }
    with connected() as doctor:
        made = doctor.post("/v1/instructions", body)
    if as_json:
        print_json(made)
    else:
        click.echo(made["instruction_id"])
        for one in made.get("resources", ()):
            remark(f"{clean(one.get('virtual_resource_id'))}: {_standing(one)}")
    if any(one.get("state") == "refused" for one in made.get("resources", ())):
        raise SystemExit(1)


@instruction.command("list")
@state_option
@click.option("--action", type=click.Choice(ACTIONS), multiple=True, help="Only these.")
@click.option("--machine", metavar="ID", multiple=True, help="Only those of a machine.")
@json_option
def list_instructions(state: str, action: tuple[str, ...], machine: tuple[str, ...], as_json: bool) -> None:
    """List instructions, the newest first: yours, or all for the Administrator.

    \b
    Examples:
      doctor instruction list --state open
      doctor instruction list --machine vm-1-1 --json
    """
    with connected() as doctor:
        found = list(
            doctor.items(
                "/v1/instructions", state=state, action=list(action), virtual_resource_id=list(machine)
            )
        )
    print_items(
        found,
        as_json,
        none="no instructions",
        columns=(
            "instruction_id",
            "action",
            ("created", lambda one: moment(one.get("created"))),
            ("acknowledged", _acknowledged),
            ("resources", _counted),
            "user",
        ),
        keep=("instruction_id", "action"),
    )


@instruction.command()
@id_argument
@json_option
def show(instruction_id: str, as_json: bool) -> None:
    """Show how far an instruction got with each machine, and why.

    \b
    Example:
      doctor instruction show 1a57...
    """
    with connected() as doctor:
        found = doctor.get(_path(instruction_id))
    if as_json:
        print_json(found)
        return
    print_pairs(
        {
            "action": found.get("action"),
            "acknowledged": _acknowledged(found),
            "created": moment(found.get("created")),
            "begins by": moment(found.get("deadline")),
            "ended": moment(found.get("ended")),
            "answers": found.get("notification_id"),
            "user": found.get("user"),
            "machines": {
                clean(one.get("virtual_resource_id")): _standing(one) for one in found.get("resources", ())
            },
        }
    )


@instruction.command()
@id_argument
@json_option
def cancel(instruction_id: str, as_json: bool) -> None:
    """Give up what has not begun yet; what has goes on to its end.

    \b
    Example:
      doctor instruction cancel 1a57...
    """
    with connected() as doctor:
        found = doctor.delete(_path(instruction_id))
    if as_json:
        print_json(found)
    else:
        remark(_counted(found))


def _path(instruction_id: str) -> str:
    return f"/v1/instructions/{quote(instruction_id, safe='')}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"--metadata {text}: write NAME=TEXT")
    return name, value


def _standing(one: dict[str, Any]) -> str:
    reason = one.get("reason")
    return f"{clean(one.get('state'))}{f' ({clean(reason)})' if reason else ''}"


def _acknowledged(found: dict[str, Any]) -> str:
    return {True: "ACK", False: "NACK"}.get(found.get("acknowledged"), "open")  # type: ignore[arg-type]


def _counted(found: dict[str, Any]) -> str:
    """Count the machines by their states."""
    states = [str(one.get("state")) for one in found.get("resources", ())]
    return ", ".join(f"{states.count(state)} {clean(state)}" for state in dict.fromkeys(states))
