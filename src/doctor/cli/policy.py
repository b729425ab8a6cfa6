"""``doctor policy``: the failure policy."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doctor.cli.connection import Failed, connected
from doctor.cli.output import clean, json_option, moment, print_items, print_json, remark
from doctor.cli.policy_diff import diff
from doctor.cli.policy_dry_run import dry_run
from doctor.cli.policy_file import YAML, file_argument, text_of

if TYPE_CHECKING:
    from doctor.model.errors import Flaw

ALL_OTHERS = "(all others)"


@click.group()
def policy() -> None:
    """The failure policy: what counts as which fault.

    \b
    Change it step by step:
      doctor policy show > policy.yaml      write down what is in force
      doctor policy validate policy.yaml    find mistakes
      doctor policy diff policy.yaml        see what you changed
      doctor policy dry-run policy.yaml     see what it would have done
      doctor policy apply policy.yaml       put it into force
      doctor policy rollback                undo that
    """


policy.add_command(diff)
policy.add_command(dry_run)


@policy.command()
@click.option(
    "--version", type=click.IntRange(0), metavar="N", help="Not the one in force; 0 is the one that ships."
)
@json_option
def show(version: int | None, as_json: bool) -> None:
    """Print the policy that is in force, as YAML that `doctor policy apply` takes.

    \b
    Examples:
      doctor policy show > policy.yaml
      doctor policy show --version 3
    """
    path = "/v1/failure-policies" if version is None else f"/v1/failure-policies/versions/{version}"
    with connected() as doctor:
        found = doctor.get(path)
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
        warnings = parse_policy(text_of(file), default_catalogue()).warnings
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
@click.option(
    "--expect",
    type=click.IntRange(0),
    metavar="N",
    help="Only if version N is in force; else nothing is done.",
)
@json_option
def apply(file: Path, expect: int | None, as_json: bool) -> None:
    """Put a policy into force at once. One that is wrong is refused, and the one in force stays.

    \b
    Examples:
      doctor policy apply policy.yaml
      doctor policy apply policy.yaml --expect 3
      sed 's/critical/major/' policy.yaml | doctor policy apply -
    """
    with connected() as doctor:
        answer = doctor.send(
            "PUT", "/v1/failure-policies", text_of(file).encode(), content_type=YAML, expected_version=expect
        )
    _tell(answer, as_json)


@policy.command()
@click.argument("version", type=click.IntRange(0), required=False)
@json_option
def rollback(version: int | None, as_json: bool) -> None:
    """Put an older version into force again at once; without VERSION the one before.

    Its text becomes a new version, so a second rollback undoes the first.

    \b
    Examples:
      doctor policy rollback
      doctor policy rollback 3
      doctor policy rollback 0        # the policy that ships
    """
    with connected() as doctor:
        answer = doctor.post("/v1/failure-policies/rollback", {"version": version})
    _tell(answer, as_json)


def _tell(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    known = answer if isinstance(answer, dict) else {}
    remark(f"version {known['version']} is in force" if "version" in known else "in force")
    for warning in known.get("warnings") or ():
        remark(f"warning: {clean(warning)}")


@policy.command("list")
@json_option
def list_versions(as_json: bool) -> None:
    """List the versions that there were, the newest first: it is the one in force.

    \b
    Example:
      doctor policy list
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/failure-policies/versions"))
    print_items(
        found,
        as_json,
        columns=(
            "version",
            ("applied", lambda one: moment(one.get("applied"))),
            "user",
            "restores",
            "size",
            ("description", lambda one: " ".join(str(one.get("description") or "").split())),
        ),
        keep=("version", "applied"),
        spare=("size", "restores"),
    )


@policy.command()
@json_option
def unnamed(as_json: bool) -> None:
    """List the types of the events that no rule of the policy in force names, and how many came of each.

    They change nothing. Counted since Doctor was started or the policy was applied, whichever came later.

    \b
    Example:
      doctor policy unnamed
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/failure-policies/unnamed-types"))
    print_items(
        found,
        as_json,
        columns=(("type", lambda one: one.get("type") or ALL_OTHERS), "events"),
        keep=("type",),
    )
