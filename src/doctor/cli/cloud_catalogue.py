"""``doctor cloud register`` and ``unregister``: Doctor in the service catalogue of an OpenStack cloud."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from doctor.cli.connection import MISUSED, UNREACHABLE, Failed
from doctor.cli.output import json_option, print_items, remark

if TYPE_CHECKING:
    from doctor.drivers.identities.catalogue import Catalogue, Entry, Step

INTERFACES = ("public", "internal", "admin")
SERVICE_TYPE = "fault-management"
TIMEOUT = 30.0

Function = TypeVar("Function", bound=Callable[..., Any])


def _where(function: Function) -> Function:
    """Add the options that say which entry of which catalogue."""
    for option in reversed(
        (
            click.option(
                "--cloud",
                "name",
                metavar="NAME",
                required=True,
                help="The cloud in clouds.yaml, as somebody who may change its catalogue.",
            ),
            click.option(
                "--clouds-file",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="clouds.yaml, if it is not where every OpenStack tool looks.",
            ),
            click.option("--region", metavar="ID", help="The region; default: that of the cloud."),
            click.option(
                "--type",
                "service_type",
                default=SERVICE_TYPE,
                show_default=True,
                metavar="TYPE",
                help="As what Doctor is found.",
            ),
            click.option(
                "--name",
                "service_name",
                default="doctor",
                show_default=True,
                help="What the service is called.",
            ),
        )
    ):
        function = option(function)
    return json_option(function)


@click.command()
@click.option("--url", required=True, metavar="URL", help="Where users of the cloud reach Doctor.")
@click.option("--internal-url", metavar="URL", help="Where services of the cloud do; default: the same.")
@click.option("--admin-url", metavar="URL", help="Where administrators do; default: the same.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@_where
def register(
    url: str,
    internal_url: str | None,
    admin_url: str | None,
    name: str,
    clouds_file: Path | None,
    region: str | None,
    service_type: str,
    service_name: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put Doctor into the service catalogue of a cloud.

    What is there already stays, so that it may be called again and again; a service of another name is never touched.

    \b
    Examples:
      doctor cloud register --cloud admin --url https://doctor.example:12345
      doctor cloud register --cloud admin --url https://doctor.example:12345 --dry-run
    """
    urls = dict(zip(INTERFACES, (url, internal_url or url, admin_url or url), strict=True))
    for each in urls.values():
        _check_url(each)
    with _catalogue(name, clouds_file, region, service_type, service_name, urls) as (catalogue, entry):
        steps = catalogue.steps_to(entry)
        if not dry_run:
            catalogue.perform(entry, steps)
    _show(entry, steps, done=not dry_run, as_json=as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@_where
def unregister(
    name: str,
    clouds_file: Path | None,
    region: str | None,
    service_type: str,
    service_name: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take Doctor out of the service catalogue of a region.

    \b
    Example:
      doctor cloud unregister --cloud admin
    """
    with _catalogue(name, clouds_file, region, service_type, service_name, {}) as (catalogue, entry):
        steps = catalogue.steps_without(entry)
        if not dry_run:
            catalogue.perform(entry, steps)
    _show(entry, steps, done=not dry_run, as_json=as_json)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not url.isprintable() or " " in url:
        raise click.UsageError(f"{url!r} is no address: write https://doctor.example:12345")


@contextmanager
def _catalogue(
    name: str,
    clouds_file: Path | None,
    region: str | None,
    service_type: str,
    service_name: str,
    urls: dict[str, str],
) -> Iterator[tuple["Catalogue", "Entry"]]:
    """Give the catalogue and the entry that is meant; what goes wrong ends the command in one sentence."""
    from doctor.drivers.identities.catalogue import Catalogue, Entry
    from doctor.drivers.identities.cloud import open_cloud
    from doctor.model.errors import PermanentError, RejectedError, TransientError

    try:
        opened = open_cloud(name, clouds_file, timeout=TIMEOUT)
    except PermanentError as error:
        raise Failed(str(error), MISUSED) from None
    where = region or opened.region
    if where is None:
        raise Failed(f"the cloud {name} has no region in clouds.yaml: name one with --region", MISUSED)
    try:
        yield (
            Catalogue(opened.session),
            Entry(service_type=service_type, name=service_name, region=where, urls=urls),
        )
    except TransientError as error:
        raise Failed(str(error), UNREACHABLE) from None
    except (RejectedError, PermanentError) as error:
        raise Failed(str(error)) from None


def _show(entry: "Entry", steps: Sequence["Step"], *, done: bool, as_json: bool) -> None:
    rows = [
        {
            "action": str(step.action),
            "kind": "service" if step.interface is None else "endpoint",
            "service_type": entry.service_type,
            "name": entry.name,
            "region": None if step.interface is None else entry.region,
            "interface": step.interface,
            "url": step.url,
            "done": done,
        }
        for step in steps
    ]
    print_items(
        rows,
        as_json,
        none=f"there is no {entry.service_type} called {entry.name} in {entry.region}",
        columns=("action", "kind", "name", "region", "interface", "url"),
        keep=("url",),
    )
    if rows and not done and not as_json:
        remark("nothing was done: this was a dry run")
