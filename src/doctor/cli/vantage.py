"""``doctor vantage``: what Doctor's own monitors see, and whether they are believed."""

from typing import Any

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, moment, print_items


@click.group()
def vantage() -> None:
    """What Doctor's own monitors see, and whether they are believed."""


@vantage.command("list")
@json_option
def list_vantages(as_json: bool) -> None:
    """List Doctor's own monitors: how many hosts they see, which canaries, and whether one is cut off itself.

    Hosts that wait are silent and not believed to be dead: it may be the monitor that hears nobody. Whoever knows better
    clears its alarm with `doctor alarm clear`.

    \b
    Example:
      doctor vantage list
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/vantages"))
    print_items(
        found,
        as_json,
        none="no monitor of Doctor's own has said anything",
        columns=(
            ("vantage", "name"),
            "state",
            ("since", lambda one: moment(one.get("since"))),
            ("seen", "seen_hosts"),
            ("dead", "dead_hosts"),
            ("waiting", lambda one: len(one.get("waiting_hosts", ()))),
            ("canaries", lambda one: [_canary(canary) for canary in one.get("canaries", ())]),
            "alarm_id",
        ),
        keep=("vantage", "state"),
        spare=("alarm_id", "since"),
    )


def _canary(canary: dict[str, Any]) -> str:
    return f"{canary.get('name')} {'seen' if canary.get('seen') else 'silent'}"
