"""``doctor monitor``: who reports, how much, how late, and who is silent."""

from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.output import age, json_option, print_json, print_list, print_pairs, print_table, remark


@click.group()
def monitor() -> None:
    """Who reports: how much, how late, and who is silent."""


@monitor.command("list")
@json_option
def list_monitors(as_json: bool) -> None:
    """List who reports: the bearers of tokens by name, and Doctor's own monitors.

    One is `silent` that should speak: the settings say so (sources.NAME.silent_after), or a heartbeat of his own.

    \b
    Example:
      doctor monitor list
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/monitors"))
    if as_json:
        print_list(found)
    elif not found:
        remark("nobody has reported anything since Doctor began")
    else:
        print_table(
            (
                "name",
                "kind",
                "state",
                "heard",
                "events",
                "per_min",
                "lag_ms",
                "dup",
                "rejected",
                "lost",
                "standing",
            ),
            [
                [
                    one.get("name"),
                    one.get("kind"),
                    one.get("state"),
                    age(one.get("last_heard_time")),
                    *(
                        one.get(name)
                        for name in (
                            *("events", "events_per_minute", "lag_ms"),
                            *("duplicates", "rejected", "lost", "standing"),
                        )
                    ),
                ]
                for one in found
            ],
            keep=("name", "state"),
            spare=("standing", "lost", "dup", "per_min", "kind"),
        )


@monitor.command()
@click.argument("name")
@json_option
def status(name: str, as_json: bool) -> None:
    """Show all that is known of one who reports.

    \b
    Example:
      doctor monitor status prometheus-a
    """
    with connected() as doctor:
        found: dict[str, Any] = doctor.get(f"/v1/monitors/{quote(name, safe='')}")
    if as_json:
        print_json(found)
    else:
        print_pairs(found)
