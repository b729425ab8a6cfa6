"""``doctor capacity``: what the zones have, and what is left of it."""

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_list, print_table, remark


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
    if as_json:
        print_list(found)
    elif not found:
        remark("no hosts" + (" in this zone" if zone_id else ": load a map with `doctor resource load`"))
    else:
        print_table(
            ("zone", "hosts", "available", "down", "maintenance", "vcpus free", "of", "memory_mb free", "of"),
            [
                [
                    one.get("zone_id"),
                    *(one["hosts"].get(name) for name in ("total", "available", "down", "maintenance")),
                    *(
                        one[kind].get(name)
                        for kind in ("vcpus", "memory_mb")
                        for name in ("available", "total")
                    ),
                ]
                for one in found
            ],
            keep=("zone", "available"),
        )
