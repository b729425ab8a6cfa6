"""``doctor cloud``: the clouds beside which Doctor runs, how true their maps are, and what it has marked there."""

import click

from doctor.cli.cloud_catalogue import register, unregister
from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_items


@click.group()
def cloud() -> None:
    """Make Doctor known in an OpenStack cloud, see how true its map is, and what is marked there (Administrator)."""


cloud.add_command(register)
cloud.add_command(unregister)


@cloud.command("list")
@json_option
def list_clouds(as_json: bool) -> None:
    """List the clouds: how old the map is, whether Doctor hears what changes, what it missed.

    \b
    Examples:
      doctor cloud list
      doctor cloud list --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/controllers"))
    print_items(
        found,
        as_json,
        none="no cloud: the map is loaded by hand, with `doctor resource load`",
        columns=(
            ("cloud", "controller"),
            "phase",
            ("age s", "age"),
            "listening",
            ("resources", "loaded"),
            "drift",
            ("in all", "drift_total"),
            ("marks pending", "marks_pending"),
            "trouble",
        ),
        keep=("cloud", "phase", "trouble"),
    )


@cloud.command("marks")
@click.option("--state", "states", metavar="STATE", multiple=True, help="marking, marked, unmarking or left.")
@click.option(
    "--kind", "kinds", metavar="KIND", multiple=True, help="forced_down, disabled, server_error ..."
)
@click.option("--resource", "resources", metavar="ID", multiple=True, help="Of this resource.")
@json_option
def list_marks(
    states: tuple[str, ...], kinds: tuple[str, ...], resources: tuple[str, ...], as_json: bool
) -> None:
    """List what Doctor has marked in clouds, what is pending and why, and what it left alone.

    \b
    Examples:
      doctor cloud marks
      doctor cloud marks --state marking --state unmarking
      doctor cloud marks --resource compute-1 --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/marks", state=states, kind=kinds, resource_id=resources))
    print_items(
        found,
        as_json,
        none="no marks",
        columns=(
            ("resource", "resource_id"),
            ("mark", "kind"),
            "state",
            "before",
            "since",
            "attempts",
            ("trouble or reason", lambda one: one.get("trouble") or one["reason"]),
        ),
        keep=("resource", "mark", "state"),
    )
