"""``doctor recovery``: what is to be done to machines that fail, said beforehand, and what has become of it."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import yaml

from doctor.cli.connection import connected
from doctor.cli.options import project_option, scope_argument, state_option
from doctor.cli.output import clean, json_option, moment, print_items, print_json, print_pairs, remark
from doctor.cli.times import duration_of

ACTIONS = ("reboot", "rebuild", "evacuate", "migrate", "live_migrate", "leave")


@click.group()
def recovery() -> None:
    """What is to be done to machines that fail, said beforehand. Without a word of their owner nothing is."""


@recovery.command("set")
@scope_argument
@click.option(
    "--step", "steps", metavar="ACTION[=DURATION]", multiple=True, help="What is tried, and how long."
)
@click.option(
    "--by", "handled_by", type=click.Choice(("owner", "doctor")), help="Who begins: you, or Doctor."
)
@click.option("--after", metavar="DURATION", help="How long Doctor waits for an instruction of yours.")
@click.option("--priority", type=int, help="The higher goes first.")
@click.option("--after-group", "after_groups", metavar="NAME", multiple=True, help="Is recovered before.")
@click.option("--start-on-return", is_flag=True, help="Start what stayed on its host when that is back.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="All of it, as YAML or JSON.",
)
@project_option
@json_option
def set_policy(
    scope: str,
    steps: tuple[str, ...],
    handled_by: str | None,
    after: str | None,
    priority: int | None,
    after_groups: tuple[str, ...],
    start_on_return: bool,
    path: Path | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Say what is to be done to the machines of SCOPE: machine:ID, group:NAME or sal:LEVEL.

    Steps come one after the other, each once; the next when the machine is not well in time (5 minutes unless you say
    otherwise). With `--by owner` the first begins when you say switched_over; with `--by doctor` by itself.

    \b
    Actions: reboot, rebuild, evacuate, migrate, live_migrate, leave
    Examples:
      doctor recovery set machine:vm-1-1 --by doctor --after 30s --step reboot=2m --step evacuate
      doctor recovery set group:core --file core.yaml --project red
      doctor recovery set sal:1 --by doctor --step evacuate --start-on-return
    """
    body: dict[str, Any] = {} if path is None else _read(path)
    if steps:
        body["steps"] = [_step(one) for one in steps]
    if handled_by:
        body["handled_by"] = handled_by
    if after is not None:
        body["after"] = duration_of(after).total_seconds()
    if priority is not None:
        body["priority"] = priority
    if after_groups:
        body["after_groups"] = list(after_groups)
    if start_on_return:
        body["start_on_return"] = True
    with connected() as doctor:
        made = doctor.put(_path(scope, project), body)
    if as_json:
        print_json(made)
    else:
        remark(f"{clean(made.get('scope'))}: {_steps(made)}, for {made.get('machines')} machines now")


@recovery.command()
@scope_argument
@project_option
@json_option
def remove(scope: str, project: str | None, as_json: bool) -> None:
    """Take back what was said of SCOPE. A step that was begun goes on to its end.

    \b
    Example:
      doctor recovery remove group:core
    """
    with connected() as doctor:
        doctor.delete(_path(scope, project))
    if as_json:
        print_json({"scope": scope})
    else:
        remark(f"{clean(scope)}: nothing is said any more")


@recovery.command("policies")
@json_option
def list_policies(as_json: bool) -> None:
    """List what was said: by you, or by all for the Administrator.

    \b
    Example:
      doctor recovery policies --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/recovery-policies"))
    print_items(
        found,
        as_json,
        none="nothing is said beforehand: nothing is done without an instruction",
        columns=(
            "scope",
            "project",
            ("steps", _steps),
            ("by", "handled_by"),
            ("after", lambda one: f"{one.get('after', 0):g} s"),
            "machines",
        ),
        keep=("scope",),
    )


@recovery.command()
@click.argument("machine", metavar="MACHINE")
@json_option
def show(machine: str, as_json: bool) -> None:
    """Show what would be done to a machine, from which scope that comes, and what was done last.

    \b
    Example:
      doctor recovery show vm-1-1
    """
    with connected() as doctor:
        holding = doctor.get(f"/v1/virtual-resources/{quote(machine, safe='')}/recovery-policy")
        recoveries = list(doctor.items("/v1/recoveries", virtual_resource_id=[machine]))
    if as_json:
        print_json({**holding, "recovery": recoveries[0] if recoveries else None})
        return
    policy = holding.get("policy")
    pairs: dict[str, Any] = {"machine": holding.get("virtual_resource_id")}
    if policy is None:
        pairs["policy"] = "none: nothing is done without an instruction"
    else:
        pairs |= {
            "policy": policy.get("scope"),
            "steps": _steps(policy),
            "begins": _begins(policy),
            "priority": policy.get("priority"),
            "after groups": ", ".join(policy.get("after_groups", ())),
            "starts on return": "yes" if policy.get("start_on_return") else "no",
        }
    if holding.get("unread_wish"):
        pairs["unread wish"] = holding["unread_wish"]
    for one in recoveries:
        pairs["last recovery"] = _standing(one)
        pairs["done"] = {
            clean(each.get("instruction_id")): clean(each.get("action")) for each in one.get("steps", ())
        }
    print_pairs(pairs)


@recovery.command("list")
@state_option
@json_option
def list_recoveries(state: str, as_json: bool) -> None:
    """List the machines that are or were recovered by what was said beforehand, the last to fail first.

    \b
    Examples:
      doctor recovery list --state open
      doctor recovery list --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/recoveries", state=state))
    print_items(
        found,
        as_json,
        none="no recoveries",
        columns=(
            "virtual_resource_id",
            "state",
            ("since", lambda one: moment(one.get("since"))),
            ("steps", lambda one: [each.get("action") for each in one.get("steps", ())]),
            "reason",
        ),
        keep=("virtual_resource_id", "state"),
    )


def _path(scope: str, project: str | None) -> str:
    whose = "" if project is None else f"?project={quote(project, safe='')}"
    return f"/v1/recovery-policies/{quote(scope, safe='')}{whose}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path}: not valid YAML: {error}") from None
    if not isinstance(found, dict):
        raise click.ClickException(
            f"{path}: should be a policy, such as {{handled_by: doctor, steps: [...]}}"
        )
    return found


def _step(text: str) -> dict[str, Any]:
    action, equals, timeout = text.partition("=")
    if action not in ACTIONS or (equals and not timeout):
        raise click.UsageError(
            f"--step {text}: write ACTION or ACTION=DURATION; actions: {', '.join(ACTIONS)}"
        )
    return {"action": action} | ({"timeout": duration_of(timeout).total_seconds()} if timeout else {})


def _steps(policy: dict[str, Any]) -> str:
    steps = [f"{clean(one.get('action'))} ({one.get('timeout', 0):g} s)" for one in policy.get("steps", ())]
    return ", then ".join(steps) or "nothing is done"


def _begins(policy: dict[str, Any]) -> str:
    if policy.get("handled_by") == "owner":
        return "when its owner says switched_over"
    after = policy.get("after", 0)
    return f"after {after:g} s without an instruction" if after else "at once"


def _standing(one: dict[str, Any]) -> str:
    reason = one.get("reason")
    return (
        f"{clean(one.get('state'))} since {moment(one.get('since'))}{f' ({clean(reason)})' if reason else ''}"
    )
