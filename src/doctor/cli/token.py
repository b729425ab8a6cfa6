"""``doctor token``: who may ask Doctor, and what."""

from datetime import UTC, datetime
from urllib.parse import quote

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, moment, print_items, print_json, remark

ROLES = ("admin", "operator", "monitor", "consumer", "auditor")


@click.group()
def token() -> None:
    """Who may ask Doctor, and what."""


@token.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the token may do.")
@click.option("--project", metavar="NAME", help="The owner whose resources a consumer sees.")
@click.option(
    "--name", metavar="TEXT", help="Who has the token, for your own lists; monitors are known by it."
)
@click.option(
    "--expires",
    metavar="TIME",
    help="When it ends: a time (RFC 3339), or how long it holds (P90D, PT12H); default: never.",
)
@json_option
def create(role: str, project: str | None, name: str | None, expires: str | None, as_json: bool) -> None:
    """Make a token and print it, alone, this once: Doctor keeps only its hash.

    \b
    A token of this role:
      admin      may do everything
      operator   runs the infrastructure
      monitor    sends events
      consumer   sees and is told of the resources of one project
      auditor    sees everything and changes nothing

    \b
    Examples:
      doctor token create --role monitor --name zabbix > zabbix.token
      doctor token create --role consumer --project red --expires P90D
      doctor token create --role auditor --json
    """
    if (role == "consumer") != (project is not None):
        raise click.UsageError(
            "a consumer needs a --project" if role == "consumer" else "--project is for consumers"
        )
    wanted = {"role": role, "project": project, "name": name, "expires": _end(expires)}
    with connected() as doctor:
        made = doctor.post("/v1/tokens", {key: value for key, value in wanted.items() if value is not None})
    if as_json:
        print_json({key: made.get(key) for key in ("token_id", "token", "role", "project", "expires")})
    else:
        click.echo(made["token"])


def _end(expires: str | None) -> str | None:
    """Return when a token ends, as a time."""
    from doctor.kit.times import in_utc, parse_duration, rfc3339

    if expires is None:
        return None
    try:
        return rfc3339(in_utc(datetime.fromisoformat(expires)))
    except ValueError:
        pass
    try:
        return rfc3339(datetime.now(UTC) + parse_duration(expires))
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{expires!r} is no time (2026-03-04T05:06:07Z) and no duration (P90D)", param_hint="--expires"
        ) from None


@token.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List tokens: who has them and what they may, never the tokens themselves.

    \b
    Example:
      doctor token list
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/tokens"))
    print_items(
        found,
        as_json,
        none="no tokens",
        columns=("role", "project", "name", ("expires", lambda one: moment(one.get("expires"))), "token_id"),
        keep=("role", "token_id"),
        spare=("expires",),
    )


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
def revoke(token_id: str, as_json: bool) -> None:
    """End a token at once. The ID is the one in `doctor token list`.

    \b
    Example:
      doctor token revoke 0190a1b2-...
    """
    with connected() as doctor:
        doctor.delete(f"/v1/tokens/{quote(token_id, safe='')}")
    if as_json:
        print_json({"token_id": token_id, "revoked": True})
    else:
        remark(f"revoked {token_id}")
