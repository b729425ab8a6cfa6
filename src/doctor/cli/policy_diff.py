"""``doctor policy diff``: what differs between two policies."""

import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_json, print_rich, remark
from doctor.cli.policy_file import text_of

if TYPE_CHECKING:
    from doctor.client import Client

STYLES = {"+": "green", "-": "red", "@": "cyan"}


class Side(NamedTuple):
    """One of the two policies."""

    name: str
    text: str


@click.command()
@click.argument("one")
@click.argument("other", required=False)
@json_option
def diff(one: str, other: str | None, as_json: bool) -> None:
    """Show what differs between two policies, each a version or a file (- is what comes in).

    Of a file alone it is shown what applying it would change, of a version alone what was changed since. A file whose
    name is a number is written ./3.

    Ends with 0 when they are the same and with 1 when they differ.

    \b
    Examples:
      doctor policy diff policy.yaml       # from the one in force to the file
      doctor policy diff 3                 # from version 3 to the one in force
      doctor policy diff 3 5               # from version 3 to version 5
      doctor policy diff 0 policy.yaml     # from the one that ships to the file
    """
    with connected() as doctor:
        if other is not None:
            sides = (_side(one, doctor), _side(other, doctor))
        elif _is_version(one):
            sides = (_side(one, doctor), _in_force(doctor))
        else:
            sides = (_in_force(doctor), _side(one, doctor))
    lines = difference(*sides)
    if as_json:
        names = [side.name for side in sides]
        print_json({"from": names[0], "to": names[1], "same": not lines, "diff": "\n".join(lines)})
    elif lines:
        _print(lines)
    else:
        remark(f"{sides[0].name} and {sides[1].name} are the same")
    click.get_current_context().exit(1 if lines else 0)


def difference(before: Side, after: Side) -> list[str]:
    """Return the lines of a unified diff; those that do something to a terminal are made harmless."""
    lines = unified_diff(
        before.text.splitlines(), after.text.splitlines(), before.name, after.name, lineterm=""
    )
    found = [_harmless(line) for line in lines]
    if not found and before.text != after.text:
        found = [f"--- {before.name}", f"+++ {after.name}", "(only the ends of lines differ)"]
    return found


def _print(lines: list[str]) -> None:
    if not sys.stdout.isatty():
        click.echo("\n".join(lines))
        return
    from rich.text import Text

    for number, line in enumerate(lines):
        style = "bold" if number < 2 else STYLES.get(line[:1], "")
        print_rich(Text(line, style))


def _harmless(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _side(name: str, doctor: "Client") -> Side:
    if _is_version(name):
        found = doctor.get(f"/v1/failure-policies/versions/{name}")
        return Side(f"version {found['version']}", found["text"])
    return Side(name, text_of(Path(name)))


def _in_force(doctor: "Client") -> Side:
    found = doctor.get("/v1/failure-policies")
    return Side(f"version {found['version']} (in force)", found["text"])
