"""``doctor report``: how available the VNFs were."""

from typing import Any

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_items


@click.command()
@click.option("--since", metavar="TIME", help="From this time on (RFC 3339); default: 30 days ago.")
@click.option("--until", metavar="TIME", help="Up to this time; default: now.")
@click.option("--group", metavar="NAME", multiple=True, help="Of this redundancy group.")
@click.option("--owner", metavar="PROJECT", help="Of this owner (Administrator).")
@click.option("--breached", is_flag=True, help="Only those whose level was not kept.")
@json_option
def report(breached: bool, as_json: bool, **query: Any) -> None:
    """Report how available VNFs were, and whether they got what their level promises.

    A VNF is a group of machines, or a machine without a group. Planned outages count as any other.

    \b
    Examples:
      doctor report
      doctor report --since 2026-03-01T00:00:00Z --breached
      doctor report --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/availability", breached="true" if breached else None, **query))
    print_items(
        found,
        as_json,
        none="no VNFs" + (" whose level was not kept" if breached else ""),
        columns=(
            "owner",
            "group",
            "machine",
            "machines",
            "sal",
            ("available %", lambda one: f"{100 * one['availability']:.5f}"),
            ("target %", lambda one: None if one.get("target") is None else f"{100 * one['target']:g}"),
            "failures",
            ("longest s", "longest_recovery"),
            "impact",
            ("breaches", lambda one: len(one.get("breaches", ()))),
        ),
        keep=("owner", "available %", "breaches"),
        spare=("impact", "machines", "longest s", "target %"),
    )
