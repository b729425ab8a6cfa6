"""``doctor resource``: the resource map."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from doctor.cli.connection import Failed, connected
from doctor.cli.options import limit_option
from doctor.cli.output import Column, console, json_option, print_items, print_json, print_one

if TYPE_CHECKING:
    from doctor.client import Client
    from doctor.client.http import Progress

STATES = ("normal", "maintenance", "down", "error")


@click.group()
def resource() -> None:
    """The resource map: what runs where, and who owns it."""


@resource.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@json_option
def load(file: Path, as_json: bool) -> None:
    """Replace the resource map by the one in FILE (JSON; - is stdin).

    The file has {"physical_resources": [...], "virtual_resources": [...], "relations": [...]}. Either all of it is
    taken or, if anything in it is wrong, none: then each flaw is named. Where clouds keep the map it is what is added to
    theirs: racks, switches, power feeds, and what depends on them.

    \b
    Examples:
      doctor resource load map.json
      generate-map | doctor resource load -
    """
    with connected() as doctor, _opened(file) as (stream, size), _progress(size) as progress:
        counts = doctor.upload("/v1/resource-map", stream, size, progress=progress)
    if as_json:
        print_json(counts)
    else:
        click.echo(
            f"version {counts['version']}: {counts['physical_resources']:,} physical and "
            f"{counts['virtual_resources']:,} virtual resources, {counts['relations']:,} relations"
        )


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], int]]:
    if str(file) == "-":
        content = sys.stdin.buffer.read()
        yield io.BytesIO(content), len(content)
    else:
        with file.open("rb") as stream:
            yield stream, file.stat().st_size


@contextmanager
def _progress(size: int) -> Iterator["Progress | None"]:
    """Show how much has been sent, then that Doctor is at work; on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("sending", total=size)

        def progress(sent: int, total: int) -> None:
            bars.update(task, completed=sent)
            if sent == total:
                bars.update(task, description="sent; Doctor takes it in", total=None)

        yield progress


@resource.command("list")
@click.argument("side", type=click.Choice(["physical", "virtual"]))
@click.option("--id", "resource_id", metavar="ID", multiple=True, help="This resource.")
@click.option("--state", type=click.Choice(STATES), help="In this state.")
@click.option("--zone", metavar="ID", help="In this zone (physical only).")
@click.option("--owner", metavar="PROJECT", help="Of this owner (virtual only).")
@click.option("--group", metavar="NAME", help="Of this redundancy group (virtual only).")
@click.option("--role", metavar="ROLE", help="In this role: ACT, STBY ... (virtual only).")
@click.option("--host", metavar="ID", help="On this host (virtual only, Administrator).")
@click.option("--sort", metavar="FIELD", help="In the order of a field; -FIELD is the other way round.")
@limit_option
@json_option
def list_resources(
    side: str,
    resource_id: tuple[str, ...],
    state: str | None,
    zone: str | None,
    sort: str | None,
    limit: int | None,
    as_json: bool,
    **of_virtual: str | None,
) -> None:
    """List physical or virtual resources and their states.

    \b
    Examples:
      doctor resource list physical --state down
      doctor resource list virtual --owner red --group vnf-1
      doctor resource list physical --sort -physical_resource_state
      doctor resource list virtual --limit 20 --json
    """
    if side == "physical" and (wrong := [name for name, given in of_virtual.items() if given is not None]):
        raise click.UsageError(f"--{wrong[0]} is for virtual resources")
    if side == "virtual" and zone is not None:
        raise click.UsageError("--zone is for physical resources")
    query: dict[str, Any] = {f"{side}_resource_id": resource_id, f"{side}_resource_state": state}
    query |= {"zone_id": zone} if side == "physical" else of_virtual
    query["sort"] = sort
    with connected() as doctor:
        found = list(doctor.items(f"/v1/{side}-resources", at_most=limit, **query))
    print_items(
        found,
        as_json,
        none=f"no {side} resources"
        + (" match" if any(query.values()) else ": load a map with `doctor resource load`"),
        columns=(
            *((part, f"{side}_resource_{part}") for part in ("id", "type", "state")),
            *OF_SIDE[side],
            ("faults", _faults),
        ),
        keep=("id",),
        spare=("type", "owner") if side == "virtual" else (),
    )


def _host(one: dict[str, Any]) -> Any:
    """Return the host of a virtual resource, by the name that the one who asks may know."""
    location = one.get("location") or {}
    return location.get("physical_resource_id") or location.get("host_ref")


def _faults(one: dict[str, Any]) -> list[str]:
    return sorted({fault["fault_type"] for fault in one.get("faults", ())})


# What a list of resources says of one side only.
OF_SIDE: dict[str, tuple[Column, ...]] = {
    "physical": (("maintenance", "maintenance_state"), ("zone", "zone_id")),
    "virtual": (("host", _host), "host_status", "owner"),
}


@resource.command()
@click.argument("resource_id", metavar="ID")
@json_option
def show(resource_id: str, as_json: bool) -> None:
    """Show one resource, physical or virtual, with its faults.

    \b
    Example:
      doctor resource show compute-1
    """
    with connected() as doctor:
        found = _find(doctor, "virtual", resource_id) or _find(doctor, "physical", resource_id)
    if found is None:
        raise Failed(f"no resource {resource_id!r}, or none of yours")
    print_one(found, as_json)


def _find(doctor: "Client", side: str, resource_id: str) -> Any:
    """Return a resource, or None where there is none or one may not look."""
    from doctor.client import ApiError

    query = {f"{side}_resource_id": resource_id}
    try:
        return next(doctor.items(f"/v1/{side}-resources", at_most=1, **query), None)
    except ApiError as error:
        if error.status in (403, 404):
            return None
        raise
