"""``doctor escalation``: zones whose parts have failed too often, and what is decided of them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.options import limit_option
from doctor.cli.output import age, clean, json_option, moment, print_items, print_json, print_one, remark

STATES = ("pending", "approved", "rejected", "expired", "withdrawn", "automatic")
id_argument = click.argument("escalation_id", metavar="ID")


@click.group()
def escalation() -> None:
    """Zones whose parts have failed too often: what is to be decided, and what was.

    The failure policy says in `zones` how often is too often, and whether somebody is asked.
    """


@escalation.command("list")
@click.option(
    "--state", type=click.Choice(STATES), multiple=True, help="In this state; pending is to be decided."
)
@click.option("--zone", "resource_id", metavar="ID", multiple=True, help="Of this zone: a rack, a switch ...")
@click.option("--type", "resource_type", metavar="TYPE", multiple=True, help="Of zones of this type.")
@limit_option
@json_option
def list_escalations(limit: int | None, as_json: bool, **query: Any) -> None:
    """List escalations, the newest first.

    \b
    Examples:
      doctor escalation list --state pending
      doctor escalation list --zone rack-7 --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/escalations", at_most=limit, **query))
    print_items(
        found,
        as_json,
        none="no escalations",
        columns=(
            ("zone", "resource_id"),
            ("type", "resource_type"),
            "state",
            ("since", lambda one: age(one.get("raised_time"))),
            ("deadline", lambda one: moment(one.get("deadline"))),
            ("failures", lambda one: len(one.get("failures", ()))),
            "isolation",
            "user",
            "escalation_id",
        ),
        keep=("zone", "state", "since", "escalation_id"),
        spare=("isolation", "type", "user", "deadline"),
    )


@escalation.command()
@id_argument
@json_option
def show(escalation_id: str, as_json: bool) -> None:
    """Show one escalation, with the failures that led to it.

    \b
    Example:
      doctor escalation show 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11
    """
    with connected() as doctor:
        found = doctor.get(_path(escalation_id))
    print_one(found, as_json)


def _decision(move: str, done: str, example: str, text: str) -> click.Command:
    """Make a command that decides an escalation."""

    def command(escalation_id: str, user: str | None, comment: str | None, as_json: bool) -> None:
        body = {name: said for name, said in (("user", user), ("comment", comment)) if said}
        with connected() as doctor:
            answer = doctor.post(_path(escalation_id, move), body)
        if as_json:
            print_json(answer)
        else:
            remark(f"{done}: {clean(answer.get('resource_type'))} {clean(answer.get('resource_id'))}")

    command.__doc__ = f"{text}\n\n\b\nExample:\n  {example}"
    for option in (
        json_option,
        click.option("--comment", metavar="TEXT", help="Why."),
        click.option("--user", metavar="NAME", help="Who decides; default: the name of your token."),
        id_argument,
    ):
        command = option(command)
    decorated: Callable[..., None] = command
    return click.command(move)(decorated)


def _path(escalation_id: str, *rest: str) -> str:
    return "/".join(("/v1/escalations", quote(escalation_id, safe=""), *rest))


escalation.add_command(
    _decision(
        "approve",
        "has failed",
        "doctor escalation approve 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11 --user alice",
        "Say that the zone has failed: its fault is raised, and it counts in the next zone.",
    )
)
escalation.add_command(
    _decision(
        "reject",
        "has not failed",
        'doctor escalation reject 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11 --comment "bad disks"',
        "Say that the zone has not failed: the question is over, and these failures count no more.",
    )
)
