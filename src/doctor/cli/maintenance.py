"""``doctor maintenance``: hosts are emptied for work on them, with the consent of those whose machines run there."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.maintenance_calendar import calendar
from doctor.cli.options import project_option, scope_argument, state_option
from doctor.cli.output import (
    clean,
    json_option,
    moment,
    print_columns,
    print_items,
    print_json,
    print_pairs,
    remark,
)
from doctor.cli.times import duration_of
from doctor.client import Client, Unreachable

DEEDS = ("migrate", "live_migrate", "stop", "terminate", "own_action", "leave")
BEFOREHAND = ("ask", "migrate", "live_migrate", "stop", "terminate", "leave")
OVER = ("done", "failed", "aborted")
MOMENTS = ("pre", "host", "post")
AGAIN = 1.0  # seconds until a stream that broke off is begun anew
GIVE_UP_AFTER = 300.0

session_argument = click.argument("session_id", metavar="SESSION")
hosts_argument = click.argument("hosts", metavar="HOST...", nargs=-1, required=True)
at_once_option = click.option(
    "--at-once", type=click.IntRange(min=1), help="So many hosts together, the others in turns."
)


@click.group()
def maintenance() -> None:
    """Empty hosts for work on them: owners are asked, machines leave, and no host stays half empty past its time."""


maintenance.add_command(calendar)


@maintenance.command()
@hosts_argument
@click.option("--timeout", metavar="DURATION", help="How long emptying a host may take. [default: 30m]")
@click.option("--reason", metavar="TEXT", default="", help="What for; owners read it.")
@click.option("--at", "starts_at", metavar="TIME", help="When it begins (RFC 3339); owners hear of it now.")
@at_once_option
@click.option("--reply-to", metavar="URL", help="Where the one response goes.")
@click.option("--override", metavar="WHY", help="Against a guard; a second person has to approve.")
@click.option(
    "--action",
    "actions",
    metavar="MOMENT:NAME",
    multiple=True,
    help="Done around the work, by its name in the settings: pre:NAME, host:NAME, post:NAME; more in their order.",
)
@click.option(
    "--auto-return/--no-auto-return",
    default=None,
    help="Give a host back when the actions on it are done.  [default: if there are any]",
)
@click.option(
    "--scale-in", is_flag=True, help="Where there is no room, ask owners to make some, and wait for it."
)
@click.option("--watch", "is_watched", is_flag=True, help="Follow it to its end.")
@json_option
def request(
    hosts: tuple[str, ...],
    timeout: str | None,
    reason: str,
    starts_at: str | None,
    at_once: int | None,
    reply_to: str | None,
    override: str | None,
    actions: tuple[str, ...],
    auto_return: bool | None,
    scale_in: bool,
    is_watched: bool,
    as_json: bool,
) -> None:
    """Have hosts emptied. Prints the id of the session.

    Their machines leave as their owners have said beforehand, or say now. A host that is not empty in time serves as
    before. Give hosts back with `doctor maintenance return` when the work is done.

    \b
    Examples:
      doctor maintenance request compute-1 --reason firmware --timeout 30m --watch
      doctor maintenance request compute-1 compute-2 compute-3 --at-once 1
      doctor maintenance request compute-4 --at 2027-01-05T02:00:00Z
      doctor maintenance request compute-5 compute-6 --at-once 1 --action host:upgrade-kernel
    """
    body: dict[str, Any] = {"physical_resource_state": _states(hosts, "maintenance"), "reason": reason}
    if timeout is not None:
        body["timeout"] = duration_of(timeout).total_seconds()
    given = {
        "starts_at": starts_at,
        "at_once": at_once,
        "reply_to": reply_to,
        "override": override,
        "actions": [_action(one) for one in actions] or None,
        "auto_return": auto_return,
        "scale_in": scale_in or None,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    with connected() as doctor:
        made = doctor.post("/v1/physical-resources/state", body)
        if as_json and not is_watched:
            print_json(made)
            return
        if not as_json:
            click.echo(made["session_id"])
        if made.get("state") == "proposed":
            remark("it waits for a second person: doctor maintenance approve")
        elif is_watched:
            _watch(doctor, made["session_id"], as_json=as_json)


@maintenance.command("plan")
@hosts_argument
@at_once_option
@json_option
def show_plan(hosts: tuple[str, ...], at_once: int | None, as_json: bool) -> None:
    """Show what emptying hosts would come to: order, machines, owners, where they would go. Nothing is done.

    Ends with 1 if a guard is against it.

    \b
    Example:
      doctor maintenance plan compute-1 compute-2 --at-once 1
    """
    body: dict[str, Any] = {"physical_resource_state": _states(hosts, "maintenance")}
    if at_once is not None:
        body["at_once"] = at_once
    with connected() as doctor:
        found = doctor.post("/v1/maintenance/plan", body)
    if as_json:
        print_json(found)
    else:
        print_columns(
            [{**host, **one} for host in found["hosts"] for one in host.get("machines") or [{}]],
            (
                "turn",
                ("host", "physical_resource_id"),
                ("machine", "virtual_resource_id"),
                ("owner", "project_id"),
                "action",
                ("to", "target"),
                "risk",
            ),
            keep=("host", "machine"),
        )
        remark(
            f"{len(found['hosts'])} hosts, {len(found['owners'])} owners, {found['moves']} moves"
            f" ({found['twice']} of them again), at least {found['seconds']:g} s of moving"
        )
        if found.get("first"):
            remark(f"first, so that machines move once: {', '.join(clean(one) for one in found['first'])}")
        if missing := found.get("missing"):
            remark(f"missing room: {_room(missing)}")
        for one in found["against"]:
            remark(f"against it: {clean(one)}")
    if found["against"]:
        raise SystemExit(1)


@maintenance.command("return")
@hosts_argument
@json_option
def give_back(hosts: tuple[str, ...], as_json: bool) -> None:
    """Give hosts back after the work: they serve again, and what was shut down for it is started there.

    \b
    Example:
      doctor maintenance return compute-1
    """
    body = {"physical_resource_state": _states(hosts, "normal")}
    with connected() as doctor:
        made = doctor.post("/v1/physical-resources/state", body)
    if as_json:
        print_json(made)
    else:
        remark(f"back: {', '.join(map(clean, made.get('hosts', ())))}")


@maintenance.command("list")
@state_option
@click.option("--host", metavar="NAME", multiple=True, help="Only those about a host.")
@json_option
def list_sessions(state: str, host: tuple[str, ...], as_json: bool) -> None:
    """List sessions, the newest first: those that concern you, or all for the Administrator.

    \b
    Examples:
      doctor maintenance list --state open
      doctor maintenance list --host compute-1 --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/maintenance", state=state, host=list(host)))
    print_items(
        found,
        as_json,
        none="no sessions of maintenance",
        columns=(
            "session_id",
            "state",
            ("starts", lambda one: moment(one.get("starts_at"))),
            "hosts",
            "machines",
            ("empty", _empty),
            "reason",
            "outcome",
        ),
        keep=("session_id", "state"),
    )


@maintenance.command()
@session_argument
@json_option
def status(session_id: str, as_json: bool) -> None:
    """Show how far a session is, and what is in the way.

    \b
    Example:
      doctor maintenance status 5e55...
    """
    with connected() as doctor:
        found = doctor.get(_path(session_id))
    if as_json:
        print_json(found)
    else:
        _show(found)


@maintenance.command()
@session_argument
@json_option
def watch(session_id: str, as_json: bool) -> None:
    """Follow a session until it has ended. Ends with 0 if every host was emptied, else with 1.

    \b
    Example:
      doctor maintenance watch 5e55...
    """
    with connected() as doctor:
        _watch(doctor, session_id, as_json=as_json)


@maintenance.command()
@session_argument
@click.argument("machines", metavar="[MACHINE=ACTION]...", nargs=-1)
@click.option("--refuse", metavar="WHY", help="Nothing is to be done to them.")
@click.option("--ready", is_flag=True, help="At once: standbys have taken over, and you need no more notice.")
@json_option
def reply(session_id: str, machines: tuple[str, ...], refuse: str | None, ready: bool, as_json: bool) -> None:
    """Answer what you were asked: which of your machines leaves how, or that they stay.

    Without MACHINE each that you were asked for leaves in the first way that is allowed. You may say something else
    until its host is done with.

    \b
    Actions: migrate, live_migrate, stop, terminate, own_action, leave
    Examples:
      doctor maintenance reply 5e55... vm-1-1=migrate vm-1-2=own_action
      doctor maintenance reply 5e55... --refuse "there is an event tonight"
    """
    actions = dict(_choice(one, refuse is not None) for one in machines)
    body: dict[str, Any] = {"reply": "ack" if refuse is None else "nack", "actions": actions, "ready": ready}
    if refuse is not None:
        body["reason"] = refuse
    with connected() as doctor:
        answered = doctor.post(f"{_path(session_id)}/replies", body)
    if as_json:
        print_json(answered)
        return
    for one in answered:
        remark(f"{clean(one.get('virtual_resource_id'))}: {_guest(one)}")
    if not answered:
        remark("nothing waits for an answer of yours")


@maintenance.command()
@session_argument
@click.option("--reason", metavar="TEXT", default="", help="Why.")
@json_option
def abort(session_id: str, reason: str, as_json: bool) -> None:
    """Call a session off: its hosts serve as before, and what was shut down is started again.

    \b
    Example:
      doctor maintenance abort 5e55... --reason "not tonight"
    """
    why = f"?reason={quote(reason, safe='')}" if reason else ""
    with connected() as doctor:
        ended = doctor.delete(f"{_path(session_id)}{why}")
    if as_json:
        print_json(ended)
    else:
        remark("called off")


def _verb(name: str, summary: str, done: str) -> None:
    @maintenance.command(name, help=summary)
    @session_argument
    @json_option
    def command(session_id: str, as_json: bool) -> None:
        with connected() as doctor:
            made = doctor.post(f"{_path(session_id)}/{name}", None)
        if as_json:
            print_json(made)
        else:
            remark(done)


_verb("approve", "Agree, as a second person, to a session that a guard is against.", "approved")
_verb("pause", "Begin nothing new; what is under way goes on, and so do the deadlines.", "paused")
_verb("resume", "Go on with a session that was paused.", "goes on")
_verb("retry", "Run once more the actions that have failed on hosts, and go on.", "is tried again")


@maintenance.command("actions")
@json_option
def list_actions(as_json: bool) -> None:
    """List what can be done around the work, by the names of the settings.

    \b
    Example:
      doctor maintenance actions --json
    """
    with connected() as doctor:
        found = doctor.get("/v1/maintenance/actions")["items"]
    print_items(
        found,
        as_json,
        none="the settings name none: maintenance.actions",
        columns=("name", "driver", ("timeout", lambda one: f"{one.get('timeout', 0):g} s")),
        keep=("name",),
    )


# --- what owners say beforehand ---


@maintenance.group()
def policy() -> None:
    """What may be done to machines whose host is to be emptied, said beforehand."""


@policy.command("set")
@scope_argument
@click.argument("action", type=click.Choice(BEFOREHAND))
@click.option("--if-silent", type=click.Choice(BEFOREHAND[1:]), help="ask: what counts if you do not answer.")
@click.option("--lead-time", metavar="DURATION", help="Nothing is done before that, since you were told.")
@click.option("--tolerate", "tolerated", type=float, metavar="SECONDS", help="The longest interruption.")
@click.option("--no-wait-for-switch-over", is_flag=True, help="Active machines leave without your word.")
@click.option("--no-start", is_flag=True, help="Leave what was stopped off after the work.")
@project_option
@json_option
def set_policy(
    scope: str,
    action: str,
    if_silent: str | None,
    lead_time: str | None,
    tolerated: float | None,
    no_wait_for_switch_over: bool,
    no_start: bool,
    project: str | None,
    as_json: bool,
) -> None:
    """Say what may be done to the machines of SCOPE: machine:ID, group:NAME or sal:LEVEL.

    \b
    Examples:
      doctor maintenance policy set group:core live_migrate --lead-time 5m
      doctor maintenance policy set machine:vm-1-1 ask --if-silent stop
    """
    body: dict[str, Any] = {"action": action}
    if if_silent is not None:
        body["if_silent"] = if_silent
    if lead_time is not None:
        body["lead_time"] = duration_of(lead_time).total_seconds()
    if tolerated is not None:
        body["tolerated_interruption"] = tolerated
    body |= {"await_switch_over": not no_wait_for_switch_over, "start_on_return": not no_start}
    with connected() as doctor:
        made = doctor.put(_policy_path(scope, project), body)
    if as_json:
        print_json(made)
    else:
        remark(f"{clean(made.get('scope'))}: {_said(made)}, for {made.get('machines')} machines now")


@policy.command("remove")
@scope_argument
@project_option
@json_option
def remove_policy(scope: str, project: str | None, as_json: bool) -> None:
    """Take back what was said of SCOPE.

    \b
    Example:
      doctor maintenance policy remove group:core
    """
    with connected() as doctor:
        doctor.delete(_policy_path(scope, project))
    if as_json:
        print_json({"scope": scope})
    else:
        remark(f"{clean(scope)}: nothing is said any more")


@policy.command("list")
@json_option
def list_policies(as_json: bool) -> None:
    """List what was said: by you, or by all for the Administrator.

    \b
    Example:
      doctor maintenance policy list --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/maintenance-policies"))
    print_items(
        found,
        as_json,
        none="nothing is said beforehand: owners are asked, and what they do not answer for stays",
        columns=(
            "scope",
            "project",
            ("what", _said),
            ("lead time", lambda one: f"{one.get('lead_time', 0):g} s"),
            "machines",
        ),
        keep=("scope",),
    )


def _said(one: dict[str, Any]) -> str:
    action = clean(one.get("action"))
    return f"{action}, {clean(one.get('if_silent'))} if silent" if action == "ask" else action


def _policy_path(scope: str, project: str | None) -> str:
    whose = "" if project is None else f"?project={quote(project, safe='')}"
    return f"/v1/maintenance-policies/{quote(scope, safe='')}{whose}"


# --- showing ---


def _path(session_id: str) -> str:
    return f"/v1/maintenance/{quote(session_id, safe='')}"


def _states(hosts: tuple[str, ...], state: str) -> list[dict[str, str]]:
    return [{"physical_resource_id": host, "physical_resource_state": state} for host in hosts]


def _action(text: str) -> dict[str, str]:
    moment, _, name = text.partition(":")
    if moment not in MOMENTS or not name:
        raise click.UsageError(f"{text}: write MOMENT:NAME; moments: {', '.join(MOMENTS)}")
    return {"moment": moment, "name": name}


def _choice(text: str, is_refusal: bool) -> tuple[str, str]:
    machine, equals, action = text.partition("=")
    if is_refusal and not equals:
        return machine, "leave"
    if not machine or action not in DEEDS:
        raise click.UsageError(f"{text}: write MACHINE=ACTION; actions: {', '.join(DEEDS)}")
    return machine, action


def _room(missing: dict[str, Any]) -> str:
    return f"{missing.get('vcpus', 0)} vcpus, {missing.get('memory_mb', 0)} MB of memory"


def _waiting(scale_in: dict[str, Any] | None) -> str | None:
    if scale_in is None or scale_in.get("met") is not None:
        return None
    return f"{_room(scale_in)}, until {moment(scale_in.get('until'))}"


def _empty(one: dict[str, Any]) -> str:
    return f"{one.get('progress', 0)} %"


def _show(found: dict[str, Any]) -> None:
    print_pairs(
        {
            "session": found.get("session_id"),
            "state": found.get("state"),
            "reason": found.get("reason"),
            "asked for by": found.get("user"),
            "starts": moment(found.get("starts_at")),
            "ended": moment(found.get("ended")),
            "outcome": found.get("outcome"),
            "waits for": _waiting(found.get("scale_in")),
        }
    )
    if found.get("hosts"):
        print_columns(
            found["hosts"],
            (
                ("host", "physical_resource_id"),
                "stage",
                ("empty", _empty),
                ("deadline", lambda one: moment(one.get("deadline"))),
                ("reason", lambda one: one.get("reason") or one.get("update_status")),
            ),
            keep=("host", "stage"),
        )
    if runs := list(_runs(found)):
        print_columns(
            [{**one, "on": host} for host, one in runs],
            (
                ("action", lambda one: f"{clean(one.get('moment'))}:{clean(one.get('action'))}"),
                "on",
                "state",
                ("since", lambda one: moment(one.get("ended") or one.get("began"))),
                "detail",
            ),
            keep=("action", "on", "state"),
        )
    if found.get("machines"):
        print_columns(
            found["machines"],
            (
                ("machine", "virtual_resource_id"),
                ("owner", "project_id"),
                "state",
                "action",
                ("by", "decided_by"),
                "reason",
            ),
            keep=("machine", "state"),
        )


def _watch(doctor: Client, session_id: str, *, as_json: bool) -> None:
    """Say what changes until a session has ended; what has ended is the result."""
    known: dict[str, str] = {}
    for found in _followed(doctor, session_id):
        for what, now in _standing(found).items():
            if known.get(what) != now:
                known[what] = now
                remark(f"{what}: {now}")
        if found.get("state") in OVER:
            break
    if as_json:
        print_json(doctor.get(_path(session_id)))
    elif found.get("outcome"):
        remark(clean(found["outcome"]))
    if found.get("state") != "done":
        raise SystemExit(1)


def _followed(doctor: Client, session_id: str) -> Iterator[dict[str, Any]]:
    """Return a session with what changes in it, over breaks of the connection that do not last long."""
    is_begun, lost = False, 0.0
    while True:
        try:
            for event in doctor.events(f"{_path(session_id)}/stream"):
                is_begun, lost = True, 0.0
                yield json.loads(event.data)
        except Unreachable:
            lost = lost or time.monotonic()
            if not is_begun or time.monotonic() - lost > GIVE_UP_AFTER:
                raise
        time.sleep(AGAIN)


def _standing(found: dict[str, Any]) -> dict[str, str]:
    """Return how it is with the session, its hosts and machines, in words."""
    words = {"session": clean(found.get("state"))}
    for one in found.get("hosts", ()):
        stage, progress = clean(one.get("stage")), one.get("progress", 0)
        words[clean(one.get("physical_resource_id"))] = (
            f"{stage}, {progress} %" if stage == "emptying" else stage
        )
    for host, one in _runs(found):
        said = f": {clean(one['detail'])}" if one.get("detail") else ""
        words[f"{host} {clean(one.get('action'))}".strip()] = f"{clean(one.get('state'))}{said}"
    for one in found.get("machines", ()):
        words[clean(one.get("virtual_resource_id"))] = _guest(one)
    return words


def _runs(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the runs of a session, and of its hosts, with where they were: nowhere are those of the whole."""
    for one in found.get("runs", ()):
        yield "", one
    for host in found.get("hosts", ()):
        for one in host.get("runs", ()):
            yield clean(host.get("physical_resource_id")), one


def _guest(one: dict[str, Any]) -> str:
    action, reason = one.get("action"), one.get("reason")
    said = clean(one.get("state")) + (f" ({clean(action)})" if action else "")
    return f"{said}: {clean(reason)}" if reason else said
