"""``doctor fencing``: what can cut hosts off, and whether it would."""

import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import REFUSED, connected
from doctor.cli.output import age, json_option, print_json, print_list, print_table, remark

TEST_TIMEOUT = 60.0
BAD = {"unready", "degraded"}


@click.group()
def fencing() -> None:
    """What can cut hosts off, and whether it would."""


@fencing.command()
@click.argument("hosts", metavar="[HOST]...", nargs=-1)
@click.option(
    "--readiness",
    type=click.Choice(("ready", "degraded", "unready", "manual", "unchecked")),
    multiple=True,
    help="Only hosts that stand like this.",
)
@json_option
def status(hosts: tuple[str, ...], readiness: tuple[str, ...], as_json: bool) -> None:
    """Show which hosts could be cut off if they had to be, as of the last check (Administrator).

    \b
    Examples:
      doctor fencing status
      doctor fencing status --readiness unready --readiness degraded
      doctor fencing status compute-1 --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/fenced-hosts", host=hosts, readiness=readiness))
    if as_json:
        print_list(found)
    elif not found:
        remark(
            "no such hosts"
            if hosts or readiness
            else "no host has a fence: set fencing.hosts in the settings"
        )
    else:
        print_table(
            ("host", "readiness", "checked", "levels", "reason"),
            [
                [
                    one.get("host"),
                    one.get("readiness"),
                    age(one.get("checked_time")),
                    " > ".join(_level(level) for level in one.get("levels", [])),
                    one.get("reason"),
                ]
                for one in found
            ],
            keep=("host", "readiness"),
            spare=("levels",),
        )


@fencing.command()
@json_option
def devices(as_json: bool) -> None:
    """List the devices that can cut hosts off (Administrator).

    \b
    Example:
      doctor fencing devices
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/fence-devices"))
    if as_json:
        print_list(found)
    elif not found:
        remark("no devices: set fencing.devices in the settings")
    else:
        columns = ("device", "driver", "cuts", "vantage", "hosts", "works", "detail")
        print_table(
            columns,
            [[one.get(name) for name in columns] for one in found],
            keep=("device",),
            spare=("vantage",),
        )


@fencing.command()
@click.argument("host")
@json_option
def test(host: str, as_json: bool) -> None:
    """Ask the devices of a host now whether they would do: login, identity, state. Nothing is switched.

    Ends with 1 when the host could not be cut off in every way that is planned.

    \b
    Example:
      doctor fencing test compute-1
    """
    with connected(TEST_TIMEOUT) as doctor:
        found = doctor.post(f"/v1/fenced-hosts/{quote(host, safe='')}/test")
    if as_json:
        print_json(found)
    else:
        print_table(
            ("level", "device", "plug", "works", "reads", "is", "ms", "detail"),
            [
                [
                    f"{number} {level['rule'] if len(level['steps']) > 1 else ''}".strip(),
                    step.get("device"),
                    step.get("plug"),
                    step.get("works"),
                    step.get("supply"),
                    (step.get("names") or [None])[0],
                    step.get("took_ms"),
                    step.get("detail") or step.get("remark"),
                ]
                for number, level in enumerate(found.get("levels", []), 1)
                for step in level["steps"]
            ],
            keep=("device",),
        )
        remark(f"{found.get('host')}: {found.get('readiness')}")
    if found.get("readiness") in BAD:
        sys.exit(REFUSED)


def _level(level: Mapping[str, Any]) -> str:
    steps = [f"{one['device']}{':' + one['plug'] if one['plug'] else ''}" for one in level["steps"]]
    return (" & " if level["rule"] == "all_of" else " | ").join(steps)
