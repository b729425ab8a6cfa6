"""`doctor demo`: the main job on an empty machine, in one command."""

import sys
from typing import TYPE_CHECKING

import click

from doctor.cli.output import console, json_option, print_json, speaks_unicode

if TYPE_CHECKING:
    from doctor.cli.demo.story import Outcome


@click.command()
@json_option
@click.option("--processes", is_flag=True, help="Hosts as processes even where namespaces are allowed.")
def demo(*, as_json: bool, processes: bool) -> None:
    """See it all on this machine: a host fails, its owner is told, and nobody else.

    Starts a Doctor, two hosts and two tenants on loopback, makes a host fail for real, waits for the VNF manager of
    its owner to switch over, brings the host back, draws where the time went, and cleans up. Takes some seconds.

    Exit status 0: the owner was told within a second of detection, the other tenant not at all.

    \b
    Examples:
      doctor demo
      doctor demo --json
    """
    from doctor.cli.demo.hosts import make_hosts
    from doctor.cli.demo.processes import DemoError
    from doctor.cli.demo.story import HOSTS, play
    from doctor.cli.drawing import render
    from doctor.client.errors import ClientError

    def tell(line: str) -> None:
        click.echo(line, err=as_json)

    try:
        outcome = play(make_hosts(HOSTS, as_processes=processes), tell)
    except (DemoError, ClientError) as error:
        click.echo(f"doctor demo: {error}", err=True)
        sys.exit(1)
    if as_json:
        print_json(outcome.as_json())
    else:
        screen = console()
        click.echo()
        screen.print(render(outcome.timeline, screen.width, unicode=speaks_unicode(sys.stdout)))
        click.echo()
        click.echo(_verdict(outcome))
    sys.exit(0 if outcome.is_good else 1)


def _verdict(outcome: "Outcome") -> str:
    figures = outcome.as_json()
    if not outcome.is_good:
        return f"The promise was BROKEN: {figures}"
    return (
        f"The promise was kept: the owner was told {figures['detected_to_received_ms']:.1f} ms after detection and had"
        f" switched over after {figures['detected_to_handled_ms']:.1f} ms; nobody else was told."
    )
