"""``doctor policy``: the failure policy."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from doctor.cli.connection import Failed, connected
from doctor.cli.output import clean, json_option, moment, print_json, remark

if TYPE_CHECKING:
    from doctor.model.errors import Flaw

file_argument = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)


@click.group()
def policy() -> None:
    """The failure policy: what counts as which fault."""


@policy.command()
@json_option
def show(as_json: bool) -> None:
    """Print the policy that is in force, as YAML that `doctor policy apply` takes.

    \b
    Example:
      doctor policy show > policy.yaml
    """
    with connected() as doctor:
        found = doctor.get("/v1/failure-policies")
    if as_json:
        print_json(found)
        return
    origin = [f"applied {moment(found['applied'])}"] if found.get("applied") else []
    remark(
        ", ".join(
            [f"version {found['version']}", *origin, *([clean(found["user"])] if found.get("user") else [])]
        )
    )
    click.echo(found["text"], nl=not found["text"].endswith("\n"))


@policy.command()
@file_argument
@json_option
def validate(file: Path, as_json: bool) -> None:
    """Check a policy on this machine, without asking a Doctor.

    Ends with 1 and names each place that is wrong.

    \b
    Example:
      doctor policy validate policy.yaml
    """
    from doctor.inspector.catalogue import default_catalogue
    from doctor.inspector.policy_text import parse_policy
    from doctor.model.errors import RejectedError

    flaws: tuple[Flaw, ...] = ()
    warnings: tuple[Flaw, ...] = ()
    refused = None
    try:
        warnings = parse_policy(_text(file), default_catalogue()).warnings
    except RejectedError as error:
        flaws, refused = error.flaws, error.detail
    if as_json:
        lists = {"errors": _written(flaws), "warnings": _written(warnings)}
        print_json({"valid": refused is None, "detail": refused, **lists})
    if refused is not None:
        raise Failed("\n".join([f"{file} is no valid policy: {refused}", *_places(flaws)]))
    if not as_json:
        remark("\n".join([f"{file} is valid" + (", but look at" if warnings else ""), *_places(warnings)]))


def _written(flaws: Iterable["Flaw"]) -> list[dict[str, str]]:
    return [{"pointer": flaw.pointer, "detail": flaw.detail} for flaw in flaws]


def _places(flaws: Iterable["Flaw"]) -> list[str]:
    return [f"  {flaw.pointer or '/'}: {flaw.detail}" for flaw in flaws]


@policy.command()
@file_argument
@json_option
def apply(file: Path, as_json: bool) -> None:
    """Put a policy into force at once. One that is wrong is refused, and the one in force stays.

    \b
    Examples:
      doctor policy apply policy.yaml
      sed 's/critical/major/' policy.yaml | doctor policy apply -
    """
    with connected() as doctor:
        answer = doctor.send(
            "PUT", "/v1/failure-policies", _text(file).encode(), content_type="application/yaml"
        )
    if as_json:
        print_json(answer)
    else:
        version = answer.get("version") if isinstance(answer, dict) else None
        remark(f"version {version} is in force" if version is not None else "in force")


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise Failed(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from error
