"""``doctor capacity``: what the zones have, and what is left of it."""

from collections.abc import Callable
from typing import Any

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_items


@click.command()
@click.option("--zone", "zone_id", metavar="ID", multiple=True, help="Of this zone.")
@json_option
def capacity(zone_id: tuple[str, ...], as_json: bool) -> None:
    """Show what the zones have, and what is left of it (Administrator).

    Hosts that are down or in maintenance have nothing to give. What hosts have, and machines take, is what the resource
    map says in vcpus and memory_mb.

    \b
    Examples:
      doctor capacity
      doctor capacity --zone az1 --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/capacity", zone_id=zone_id))
    print_items(
        found,
        as_json,
        none="no hosts" + (" in this zone" if zone_id else ": load a map with `doctor resource load`"),
        columns=(
            ("zone", "zone_id"),
            ("hosts", _number("hosts", "total")),
            ("available", _number("hosts", "available")),
            ("down", _number("hosts", "down")),
            ("maintenance", _number("hosts", "maintenance")),
            ("vcpus free", _number("vcpus", "available")),
            ("of", _number("vcpus", "total")),
            ("memory_mb free", _number("memory_mb", "available")),
            ("of", _number("memory_mb", "total")),
        ),
        keep=("zone", "available"),
    )


def _number(what: str, which: str) -> Callable[[dict[str, Any]], Any]:
    return lambda one: one[what].get(which)
