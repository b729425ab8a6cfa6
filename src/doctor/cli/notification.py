"""``doctor notification``: what was told, and what is being told now."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from doctor.cli.connection import Failed, connected
from doctor.cli.options import limit_option
from doctor.cli.output import clean, json_option, moment, print_items, print_json, remark

if TYPE_CHECKING:
    from doctor.client import Client

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
STEADY_SECONDS = 5.0  # a connection that held so long was a good one

id_argument = click.argument("notification_id", metavar="ID")
subscription_option = click.option(
    "--subscription",
    "subscription_id",
    metavar="ID",
    help="Of this subscription; may be left out if you have one.",
)


@click.group()
def notification() -> None:
    """What was told; follow it live."""


@notification.command("list")
@subscription_option
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQUENCE", help="Only later ones.")
@limit_option
@json_option
def list_notifications(subscription_id: str | None, after: int, limit: int | None, as_json: bool) -> None:
    """List the notifications of a subscription, as its endpoints were sent them.

    \b
    Examples:
      doctor notification list
      doctor notification list --subscription 0190a1b2-... --after 41 --json
    """
    with connected() as doctor:
        subscription_id = subscription_id or _the_subscription(doctor)
        found = list(
            doctor.items("/v1/notifications", at_most=limit, subscription_id=subscription_id, after=after)
        )
    print_items(
        found,
        as_json,
        none="no notifications" + (f" after {after}" if after else ""),
        columns=(
            ("seq", "sequence"),
            ("sent", lambda one: moment(one.get("sent_time"))),
            ("type", "notification_type"),
            ("what", lambda one: "; ".join(_news(one))),
            "notification_id",
        ),
        keep=("seq", "sent", "type", "notification_id"),
        spare=("notification_id",),
    )


@notification.command()
@id_argument
@json_option
def acknowledge(notification_id: str, as_json: bool) -> None:
    """Acknowledge a notification of a subscription that asked for it, so that it is not sent again.

    \b
    Example:
      doctor notification acknowledge 0190a1b2-...
    """
    with connected() as doctor:
        doctor.post(f"/v1/notifications/{quote(notification_id, safe='')}/acknowledge")
    if as_json:
        print_json({"notification_id": notification_id, "acknowledged": True})
    else:
        remark(f"acknowledged {notification_id}")


@notification.command()
@id_argument
@json_option
def handled(notification_id: str, as_json: bool) -> None:
    """Say that what a notification told of has been handled: the switch-over is done.

    Doctor puts the time on the fault's timeline (T8).

    \b
    Example:
      doctor notification handled 0190a1b2-...
    """
    with connected() as doctor:
        doctor.post(f"/v1/notifications/{quote(notification_id, safe='')}/handled")
    if as_json:
        print_json({"notification_id": notification_id, "handled": True})
    else:
        remark(f"handled {notification_id}")


@notification.command()
@subscription_option
@click.option(
    "--after", type=click.IntRange(min=0), default=0, metavar="SEQUENCE", help="Begin after this one."
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@json_option
def watch(subscription_id: str | None, after: int, count: int | None, as_json: bool) -> None:
    """Follow the notifications of a subscription as they come, until Ctrl-C.

    It begins with the oldest that Doctor still has, or after a sequence. When the connection breaks it is taken up
    again, and nothing is lost or shown twice. With --json each notification is a line.

    \b
    Examples:
      doctor notification watch
      doctor notification watch --subscription 0190a1b2-... --after 41 --json
    """
    with connected() as doctor:
        subscription_id = subscription_id or _the_subscription(doctor)
        try:
            for number, message in enumerate(_followed(doctor, subscription_id, after), 1):
                if as_json:
                    print_json(message, indent=None)
                else:
                    _show(message)
                if number == count:
                    return
        except KeyboardInterrupt:
            click.get_current_context().exit(130)


def _followed(doctor: "Client", subscription_id: str, after: int) -> Iterator[dict[str, Any]]:
    """Return notifications for ever; only the first connection may fail."""
    from doctor.client import Unreachable

    pause, reached, lost = FIRST_PAUSE, False, False
    while True:
        began = time.monotonic()
        try:
            for message in doctor.notifications(subscription_id, after=after):
                lost = False
                if message["sequence"] > after:
                    after = message["sequence"]
                    yield message
            reached = True
        except Unreachable as error:
            if not reached:
                raise
            if not lost:
                remark(f"{error}; trying again until it does")
            lost = True
        if not lost and time.monotonic() - began >= STEADY_SECONDS:
            pause = FIRST_PAUSE
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _the_subscription(doctor: "Client") -> str:
    """Return the id of the only subscription there is."""
    found = [str(one["subscription_id"]) for one in doctor.items("/v1/subscriptions", at_most=20)]
    match found:
        case [one]:
            return one
        case []:
            raise Failed("there are no subscriptions: make one with `doctor subscription create`")
        case _:
            raise click.UsageError("\n  ".join(["which one? Give --subscription with one of", *found]))


def _show(message: dict[str, Any]) -> None:
    head = f"{moment(message.get('sent_time'))[11:]}  #{message.get('sequence')}  {clean(message.get('notification_type'))}"
    for news in _news(message) or ["-"]:
        click.echo(f"{head}  {news}")


def _news(message: dict[str, Any]) -> list[str]:
    """Write what a notification says, resource by resource."""
    lines = []
    for side in ("physical", "virtual"):
        for one in message.get(f"{side}_resource_info", ()):
            faults = [
                f"{clean(fault.get('fault_type'))} {clean(fault.get('alarm_state'))} "
                f"({clean(fault.get('perceived_severity'))})"
                for fault in one.get("faults", ())
            ]
            state = f"{clean(one.get(f'{side}_resource_id'))} is {clean(one.get(f'{side}_resource_state'))}"
            lines.append(f"{state}: {', '.join(faults)}" if faults else state)
    return lines
