"""``doctor alarm``: what is wrong now, and what was."""

import sys
import time
from typing import Any

import click

from doctor.cli.alarm_life import SEVERITIES, add_to, id_argument, path_of
from doctor.cli.connection import connected
from doctor.cli.options import limit_option, predicted_option
from doctor.cli.output import age, console, json_option, moment, print_items, print_one

__all__ = ["SEVERITIES", "alarm"]

STATES = ("active", "raised", "changed", "cleared", "all")
SORTS = ("raised_time", "-raised_time", "severity", "-severity")
WATCH_SECONDS = 2.0


@click.group()
def alarm() -> None:
    """What is wrong now, and what was."""


@alarm.command("list")
@click.option("--all", "all_states", is_flag=True, help="Those that are over as well.")
@click.option("--severity", type=click.Choice(SEVERITIES), help="Only those at least as bad.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state; default: active.")
@click.option("--resource", metavar="ID", help="Only those of this resource.")
@click.option("--fault-type", metavar="TYPE", help="Only those of this fault type.")
@click.option("--cause", "probable_cause", metavar="TEXT", help="Only those of this probable cause.")
@click.option(
    "--ack/--no-ack", "acknowledged", default=None, help="Only those that are, or are not, acknowledged."
)
@click.option("--shelved/--not-shelved", default=None, help="Only those that are, or are not, shelved.")
@click.option("--silenced/--not-silenced", default=None, help="Only those that are, or are not, silenced.")
@predicted_option
@click.option("--since", metavar="TIME", help="Only of faults that a monitor saw then or later.")
@click.option("--until", metavar="TIME", help="Only of faults that a monitor saw then or before.")
@click.option("--sort", type=click.Choice(SORTS), help="In this order; a minus is descending.")
@limit_option
@click.option("--watch", is_flag=True, help="Show the list anew every 2 s until Ctrl-C.")
@json_option
def list_alarms(
    all_states: bool,
    severity: str | None,
    state: str | None,
    resource: str | None,
    fault_type: str | None,
    probable_cause: str | None,
    acknowledged: bool | None,
    shelved: bool | None,
    silenced: bool | None,
    predicted: bool | None,
    since: str | None,
    until: str | None,
    sort: str | None,
    limit: int | None,
    watch: bool,
    as_json: bool,
) -> None:
    """List alarms: those that are open, or all.

    An alarm is one fault on one resource: a dead host with three machines makes four. You see those of your own
    resources, the Administrator all.

    \b
    Examples:
      doctor alarm list
      doctor alarm list --severity major --watch
      doctor alarm list --all --resource compute-1 --json
      doctor alarm list --no-ack --sort=-severity
      doctor alarm list --predicted
    """
    if all_states and state is not None:
        raise click.UsageError("--all and --state do not go together")
    if watch and (as_json or not sys.stdout.isatty()):
        raise click.UsageError(
            "--watch needs a terminal; to follow from a program see `doctor notification watch`"
        )
    query = {
        "state": "all" if all_states else state or "active",
        "min_severity": severity,
        "resource_id": resource,
        "fault_type": fault_type,
        "probable_cause": probable_cause,
        "ack_state": None if acknowledged is None else "acknowledged" if acknowledged else "unacknowledged",
        "shelved": shelved,
        "silenced": silenced,
        "predicted": predicted,
        "event_start_time": since,
        "event_end_time": until,
        "sort": sort,
    }
    with connected() as doctor:
        while True:
            found = list(doctor.items("/v1/alarms", at_most=limit, **query))
            if watch:
                console().clear()
            _print(found, as_json, all_states=all_states, predicted=predicted)
            if not watch:
                return
            try:
                time.sleep(WATCH_SECONDS)
            except KeyboardInterrupt:
                click.get_current_context().exit(130)


def _print(alarms: list[dict[str, Any]], as_json: bool, *, all_states: bool, predicted: bool | None) -> None:
    asked = "predictions" if predicted else "alarms"
    print_items(
        alarms,
        as_json,
        none=f"no {asked}" if all_states or predicted else "no alarms: nothing is wrong that Doctor knows of",
        columns=(
            ("severity", "perceived_severity"),
            ("since", lambda one: age(one.get("raised_time"))),
            ("resource", "resource_id"),
            ("fault", "fault_type"),
            *([("expected", _expected)] if predicted else []),
            *([("state", "alarm_state")] if all_states else []),
            "alarm_id",
        ),
        keep=("severity", "since", "alarm_id"),
        spare=("alarm_id", "since"),
    )


def _expected(one: dict[str, Any]) -> str:
    return moment(one.get("prediction", {}).get("predicted_time"))


@alarm.command()
@id_argument
@json_option
def show(alarm_id: str, as_json: bool) -> None:
    """Show one alarm with all that is known of it.

    \b
    Example:
      doctor alarm show 6f0d0a52-6d0e-5f3a-9a53-0a5f0c6c1d11
    """
    with connected() as doctor:
        found = doctor.get(path_of(alarm_id))
    print_one(found, as_json)


add_to(alarm)
