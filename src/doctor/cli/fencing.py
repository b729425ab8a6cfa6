"""``doctor fencing``: what can cut hosts off, whether it would, and what Doctor does with it."""

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import REFUSED, connected
from doctor.cli.output import age, json_option, print_columns, print_items, print_json, print_table, remark

TEST_TIMEOUT = 60.0
AUDIT_TIMEOUT = 600.0
BAD = {"unready", "degraded"}


@click.group()
def fencing() -> None:
    """Cut hosts off that are dead: what could, whether Doctor may, and how far it got."""


USER = click.option("--user", help="Who wants it, if not whose token it is.")
REASON = click.option("--reason", default="", help="Why: it is kept in the log.")


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
    """Show which hosts could be cut off if they had to be, and which are (Administrator).

    \b
    Examples:
      doctor fencing status
      doctor fencing status --readiness unready --readiness degraded
      doctor fencing status compute-1 --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/fenced-hosts", host=hosts, readiness=readiness))
        isolations = {one["host"]: one for one in doctor.items("/v1/isolations", host=hosts)}
        standing = doctor.get("/v1/fencing")
    print_items(
        [{**one, "isolation": isolations.get(one["host"])} for one in found],
        as_json,
        none="no such hosts"
        if hosts or readiness
        else "no host has a fence: set fencing.hosts in the settings",
        columns=(
            "host",
            "readiness",
            ("isolation", lambda one: (one["isolation"] or {}).get("state")),
            ("checked", lambda one: age(one.get("checked_time"))),
            ("levels", lambda one: " > ".join(_level(level) for level in one.get("levels", []))),
            "reason",
        ),
        keep=("host", "readiness", "isolation"),
        spare=("levels",),
    )
    if as_json:
        return
    for zone in standing["zones"]:
        remark(f"zone {zone['zone_id']}: {zone['mode']}, {_count(zone['hosts'], 'host')}")
    _remark_on_hold(standing)


@fencing.command()
@click.argument("host")
@json_option
def explain(host: str, as_json: bool) -> None:
    """Explain why a host is cut off or is not: the evidence, and what every brake says now (Administrator).

    \b
    Example:
      doctor fencing explain compute-1
    """
    with connected() as doctor:
        found = doctor.get(f"/v1/isolations/{_quoted(host)}")
    if as_json:
        print_json(found)
        return
    isolation = found["isolation"]
    if isolation is None:
        remark(f"{found['host']}: nothing was ever done to it")
    else:
        remark(f"{found['host']}: {isolation['state']}: {isolation['reason']}")
    print_columns(
        found["evidence"],
        (
            "reporter",
            "says",
            ("counts for", "vantage"),
            ("since", lambda one: age(one["since"])),
            "objection",
        ),
        keep=("reporter", "says"),
    )
    print_columns(found["checks"], ("brake", ("lets go", "passes"), "detail"), keep=("brake",))
    would = "would be cut off" if found["would_be_cut_off"] else "would not be cut off"
    remark(f"by what is known now it {would}")


@fencing.command()
@click.argument("zone")
@USER
@REASON
@json_option
def arm(zone: str, user: str | None, reason: str, as_json: bool) -> None:
    """Let Doctor cut off hosts of a zone by itself (Administrator). Read "Before you arm Doctor" first.

    \b
    Example:
      doctor fencing arm az-1 --reason "tested with compute-1"
    """
    _set_zone(zone, "armed", user, reason, as_json)


@fencing.command()
@click.argument("zone")
@USER
@REASON
@json_option
def disarm(zone: str, user: str | None, reason: str, as_json: bool) -> None:
    """Let Doctor only say what it would do in a zone (Administrator).

    \b
    Example:
      doctor fencing disarm az-1
    """
    _set_zone(zone, "advise", user, reason, as_json)


def _set_zone(zone: str, mode: str, user: str | None, reason: str, as_json: bool) -> None:
    wish = _wish(user, reason, mode=mode)
    with connected() as doctor:
        found = doctor.put(f"/v1/fencing/{_quoted(zone)}", wish)
    if as_json:
        print_json(found)
        return
    remark(f"zone {found['zone_id']}: {found['mode']}, {_count(found['hosts'], 'host')}")
    if mode == "armed" and found["unready"]:
        remark(f"without a person these could not be cut off: {', '.join(found['unready'])}")


@fencing.command()
@USER
@REASON
@json_option
def hold(user: str | None, reason: str, as_json: bool) -> None:
    """Pull the hold switch: no fence device is given a command until it is released (Administrator).

    \b
    Example:
      doctor fencing hold --reason "the management network is being rebuilt"
    """
    _set_hold(True, user, reason, as_json)


@fencing.command()
@USER
@REASON
@json_option
def release(user: str | None, reason: str, as_json: bool) -> None:
    """Release the hold switch (Administrator).

    \b
    Example:
      doctor fencing release
    """
    _set_hold(False, user, reason, as_json)


def _set_hold(is_on: bool, user: str | None, reason: str, as_json: bool) -> None:
    with connected() as doctor:
        found = doctor.put("/v1/fencing", _wish(user, reason, hold=is_on))
    if as_json:
        print_json(found)
    else:
        _remark_on_hold(found)


def _remark_on_hold(standing: Mapping[str, Any]) -> None:
    pulled = standing["hold"]
    if pulled is None:
        remark("the hold switch is released")
    else:
        remark(f"the hold switch is on, by {pulled['user']}, {age(pulled['time'])} ago: {pulled['reason']}")


@fencing.command()
@click.argument("host")
@click.option("--by", required=True, help="Your name.")
@click.option("--reason", required=True, help="How you know.")
@click.option("--type-host", "typed", help="The name of the host once more; asked for, if it is not given.")
@json_option
def confirm(host: str, by: str, reason: str, typed: str | None, as_json: bool) -> None:
    """Say that a host is off, as a person who has seen to it (Administrator).

    A second person says so too, with a token of his own. After that its machines may start elsewhere: if the host is
    not off, they run twice.

    \b
    Example:
      doctor fencing confirm compute-1 --by alice --reason "both plugs are in my hand"
    """
    typed = typed or click.prompt("Type the name of the host that is off", err=True)
    with connected() as doctor:
        found = doctor.post(
            f"/v1/isolations/{_quoted(host)}/confirm", {"host": typed, "by": by, "reason": reason}
        )
    _print_isolation(found, as_json)
    if not as_json and found["state"] != "fenced":
        remark("a second person has to say so too")


@fencing.command()
@click.argument("host")
@USER
@REASON
@click.option(
    "--zone", metavar="ID", help="Cut off in its place, with all hosts in it, if nothing else helps."
)
@json_option
def retry(host: str, user: str | None, reason: str, zone: str | None, as_json: bool) -> None:
    """Have a host tried again that waits for a person (Administrator).

    \b
    Examples:
      doctor fencing retry compute-1 --reason "the BMC answers again"
      doctor fencing retry compute-1 --zone rack-1 --reason "its BMC is dead, the rack has to go"
    """
    with connected() as doctor:
        wish = _wish(user, reason, **({"zone": zone} if zone else {}))
        found = doctor.post(f"/v1/isolations/{_quoted(host)}/retry", wish)
    _print_isolation(found, as_json)


@fencing.command(name="return")
@click.argument("host")
@USER
@REASON
@click.option("--anyway", is_flag=True, help="Although others move machines from it, as its cloud says.")
@json_option
def return_(host: str, user: str | None, reason: str, anyway: bool, as_json: bool) -> None:
    """Have a host given back what was cut, once it is repaired (Administrator).

    It is refused while machines of it are on their way elsewhere. What others move, by the records of the cloud, may never
    end: somebody who has seen to that says --anyway.

    \b
    Example:
      doctor fencing return compute-1 --reason "the mainboard was replaced"
    """
    wish = _wish(user, reason) | ({"anyway": True} if anyway else {})
    with connected() as doctor:
        found = doctor.post(f"/v1/isolations/{_quoted(host)}/return", wish)
    _print_isolation(found, as_json)


def _print_isolation(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        remark(f"{found['host']}: {found['state']}: {found['reason']}")


@fencing.command(name="log")
@click.argument("host", required=False)
@click.option("--limit", default=30, show_default=True, help="How many, the newest first.")
@click.option("--verify", is_flag=True, help="See whether the log is as it was written.")
@click.option("--noted", metavar="DIGEST", help="With --verify: where the log ended once, kept elsewhere.")
@json_option
def log_(host: str | None, limit: int, verify: bool, noted: str | None, as_json: bool) -> None:
    """Show what was decided, and on which evidence (Administrator).

    With --verify all of it is read, and it ends with 1 when a decision was changed or taken out.

    \b
    Examples:
      doctor fencing log
      doctor fencing log compute-1 --json
      doctor fencing log --verify
    """
    if verify:
        if host is not None:
            raise click.UsageError("the log is verified as a whole: leave HOST out")
        _verify(noted, as_json)
        return
    if noted is not None:
        raise click.UsageError("--noted goes with --verify")
    with connected() as doctor:
        found = list(islice(doctor.items("/v1/fence-decisions", host=host), limit))
    print_items(
        found,
        as_json,
        none="nothing was ever decided",
        columns=("time", "host", "decision", "state", ("by", "user"), "reason"),
        keep=("time", "host", "decision"),
    )


def _verify(noted: str | None, as_json: bool) -> None:
    with connected(AUDIT_TIMEOUT) as doctor:
        found = doctor.get("/v1/fence-decisions/audit", noted=noted)
    count, broken = _count(found["records"], "decision"), found["broken"]
    if as_json:
        print_json(found)
    elif broken is not None:
        where = " ".join(broken[name] for name in ("time", "decision", "host") if broken[name])
        remark(f"the log is broken{' at ' if where else ''}{where}: {broken['what']}")
        remark(f"{count} read")
    elif not found["records"]:
        remark("the log is whole: nothing was ever decided")
    else:
        remark(f"the log is whole: {count} from {found['first_time']} to {found['last_time']}")
        remark(f"keep its end elsewhere, for --noted: {found['digest']}")
    if broken is not None:
        sys.exit(REFUSED)


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
    print_items(
        found,
        as_json,
        none="no devices: set fencing.devices in the settings",
        columns=("device", "driver", "cuts", "vantage", "hosts", "works", "detail"),
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
        found = doctor.post(f"/v1/fenced-hosts/{_quoted(host)}/test")
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


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _wish(user: str | None, reason: str, **more: object) -> dict[str, object]:
    return {**more, "reason": reason, **({"user": user} if user else {})}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
