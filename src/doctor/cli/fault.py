"""``doctor fault``: faults as their owners see them."""

from typing import Any

import click

from doctor.cli.alarm import SEVERITIES
from doctor.cli.connection import connected
from doctor.cli.options import predicted_option
from doctor.cli.output import age, json_option, print_columns, print_list, remark


@click.group()
def fault() -> None:
    """Faults as their owners see them."""


@fault.command("list")
@click.option("--resource", "virtual_resource_id", metavar="ID", multiple=True, help="Of this resource.")
@click.option(
    "--type", "virtual_resource_type", metavar="TYPE", help="Of resources of a type: 'virtual machine' ..."
)
@click.option("--fault-type", metavar="TYPE", help="Of a type: 'host down' ...")
@click.option("--fault-id", metavar="ID", help="Everything that one fault took down.")
@click.option("--cause", "probable_cause", metavar="TEXT", help="Of this probable cause.")
@click.option("--min-severity", type=click.Choice(SEVERITIES), help="At least as bad.")
@predicted_option
@click.option("--since", "event_start_time", metavar="TIME", help="Not before this time (RFC 3339).")
@click.option("--until", "event_end_time", metavar="TIME", help="Not after this time (RFC 3339).")
@click.option("--state", type=click.Choice(["active", "cleared", "all"]), help="Default: active.")
@click.option("--host", "physical_resource_id", metavar="ID", help="On this host (Administrator).")
@click.option("--zone", "zone_id", metavar="ID", help="In this zone (Administrator).")
@click.option("--sort", metavar="FIELD", help="severity, event_time ...; -FIELD is the other way round.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many resources.")
@json_option
def list_faults(limit: int | None, as_json: bool, **query: Any) -> None:
    """List virtual resources that have faults, with their faults.

    Filters narrow it down: all that are given must hold.

    \b
    Examples:
      doctor fault list
      doctor fault list --resource vm-1-1 --state all --since 2026-03-04T00:00:00Z
      doctor fault list --sort -severity
      doctor fault list --host compute-1 --min-severity major --json
      doctor fault list --predicted
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/faults", at_most=limit, **query))
    if as_json:
        print_list(found)
    elif not found:
        remark("no faults")
    else:
        print_columns(
            [{**one, **resource} for resource in found for one in resource.get("faults", ())],
            (
                ("resource", "virtual_resource_id"),
                ("state", "virtual_resource_state"),
                "host_status",
                ("severity", "perceived_severity"),
                ("since", lambda one: age(one.get("raised_time"))),
                ("fault", "fault_type"),
                "isolation",
                "fault_id",
            ),
            keep=("severity", "since", "state", "fault_id"),
            spare=("isolation", "host_status", "since", "fault_id"),
        )
