"""``doctor group``: the redundancy groups of owners, who is in them, and what they bear."""

from typing import Any
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.options import project_option
from doctor.cli.output import clean, json_option, print_columns, print_items, print_json, print_pairs, remark
from doctor.cli.times import duration_of

name_argument = click.argument("name", metavar="NAME")


@click.group()
def group() -> None:
    """Redundancy groups: which machines stand in for each other, and how many of them may be away at once."""


@group.command("list")
@click.option("--project", metavar="NAME", multiple=True, help="Only those of a project.")
@json_option
def list_groups(project: tuple[str, ...], as_json: bool) -> None:
    """List your groups, or all for the Administrator: those that you named, and those of the map.

    \b
    Examples:
      doctor group list
      doctor group list --project red --json
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/groups", project=list(project)))
    print_items(
        found,
        as_json,
        none="no groups",
        columns=(
            ("group", "name"),
            "project",
            ("machines", lambda one: len(one.get("members", ()))),
            ("max out", "max_out"),
            ("recovery", _seconds),
            ("per host", "max_per_host"),
            ("by", lambda one: one.get("user") or "the map"),
        ),
        keep=("group",),
    )


@group.command()
@name_argument
@project_option
@json_option
def show(name: str, project: str | None, as_json: bool) -> None:
    """Show a group: its machines, and what holds for it.

    \b
    Example:
      doctor group show core
    """
    with connected() as doctor:
        found = doctor.get(_path(name, project))
    if as_json:
        print_json(found)
        return
    print_pairs(
        {
            "group": found.get("name"),
            "project": found.get("project"),
            "label": found.get("label") or None,
            "max out": found.get("max_out"),
            "recovery": _seconds(found),
            "per host": found.get("max_per_host"),
            "said by": found.get("user"),
        }
    )
    if found.get("members"):
        print_columns(
            found["members"],
            (
                ("machine", "virtual_resource_id"),
                "role",
                ("in it by", lambda one: "its owner" if one.get("by_owner") else "the map"),
            ),
            keep=("machine",),
        )


@group.command("set")
@name_argument
@click.argument("members", metavar="[MACHINE[=ROLE]]...", nargs=-1)
@click.option("--max-out", type=click.IntRange(min=0), help="So many of it may be away at once.")
@click.option("--recovery-time", metavar="DURATION", help="Passes between two that leave for maintenance.")
@click.option("--max-per-host", type=click.IntRange(min=1), help="Doctor starts no more of it on one host.")
@click.option("--anti-affinity", is_flag=True, help="The same as --max-per-host 1.")
@click.option("--label", default="", metavar="TEXT", help="How people call it.")
@project_option
@json_option
def set_group(
    name: str,
    members: tuple[str, ...],
    max_out: int | None,
    recovery_time: str | None,
    max_per_host: int | None,
    anti_affinity: bool,
    label: str,
    project: str | None,
    as_json: bool,
) -> None:
    """Say who is in a group, beside those that the map has in it, and what it bears. Takes the place of what you said before.

    \b
    Examples:
      doctor group set core vm-1-1=ACT vm-1-2=STBY --max-out 1 --anti-affinity
      doctor group set web --max-out 2 --recovery-time 1m
    """
    body: dict[str, Any] = {"anti_affinity": anti_affinity, "label": label}
    pairs = [one.partition("=") for one in members]
    body["members"] = [machine for machine, _, _ in pairs]
    body["roles"] = {machine: role for machine, equals, role in pairs if equals}
    if recovery_time is not None:
        body["recovery_time"] = duration_of(recovery_time).total_seconds()
    given = {"max_out": max_out, "max_per_host": max_per_host}
    body |= {key: value for key, value in given.items() if value is not None}
    with connected() as doctor:
        made = doctor.put(_path(name, project), body)
    if as_json:
        print_json(made)
    else:
        remark(f"{clean(made.get('name'))}: {len(made.get('members', ()))} machines")


@group.command("remove")
@name_argument
@project_option
@json_option
def remove(name: str, project: str | None, as_json: bool) -> None:
    """Take back what you said of a group; what the map says of its machines counts then.

    \b
    Example:
      doctor group remove core
    """
    with connected() as doctor:
        doctor.delete(_path(name, project))
    if as_json:
        print_json({"name": name})
    else:
        remark(f"{clean(name)}: nothing is said any more")


def _seconds(one: dict[str, Any]) -> str | None:
    found = one.get("recovery_time")
    return None if found is None else f"{found:g} s"


def _path(name: str, project: str | None) -> str:
    whose = "" if project is None else f"?project={quote(project, safe='')}"
    return f"/v1/groups/{quote(name, safe='')}{whose}"
