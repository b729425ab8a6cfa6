"""``doctor vantage``: what Doctor's own monitors see, and whether they are believed."""

from typing import Any

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, moment, print_list, print_table, remark


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
    if as_json:
        print_list(found)
    elif not found:
        remark("no monitor of Doctor's own has said anything")
    else:
        print_table(
            ("vantage", "state", "since", "seen", "dead", "waiting", "canaries", "alarm_id"),
            [
                [
                    one.get("name"),
                    one.get("state"),
                    moment(one.get("since")),
                    one.get("seen_hosts"),
                    one.get("dead_hosts"),
                    len(one.get("waiting_hosts", ())),
                    [_canary(canary) for canary in one.get("canaries", ())],
                    one.get("alarm_id"),
                ]
                for one in found
            ],
            keep=("vantage", "state"),
            spare=("alarm_id", "since"),
        )


def _canary(canary: dict[str, Any]) -> str:
    return f"{canary.get('name')} {'seen' if canary.get('seen') else 'silent'}"
