"""`doctor demo`: the main job on an empty machine, in one command."""

import sys
from typing import TYPE_CHECKING

import click

from doctor.cli.output import console, json_option, print_json, speaks_unicode

if TYPE_CHECKING:
    from doctor.cli.demo.site import Outcome, Tell

FAULT, FENCING, MAINTENANCE = "fault", "fencing", "maintenance"


@click.command()
@json_option
@click.option(
    "--scenario",
    type=click.Choice((FAULT, FENCING, MAINTENANCE)),
    default=FAULT,
    show_default=True,
    help="A host that fails and returns; one that freezes and has to be cut off; two that are emptied for work.",
)
@click.option("--hands-on", is_flag=True, help="With fencing: set all up, and leave the rest to you.")
@click.option("--processes", is_flag=True, help="Hosts as processes even where namespaces are allowed.")
def demo(*, as_json: bool, scenario: str, hands_on: bool, processes: bool) -> None:
    """See it all on this machine: a host fails, its owner is told, and nobody else.

    Starts a Doctor, hosts and two tenants on loopback, makes a host fail for real, waits for the VNF manager of its
    owner, brings the host back, draws where the time went, and cleans up. Takes some seconds.

    With --scenario fencing the host freezes: it is cut off by its BMC (a simulator), proven dead, its machine starts
    elsewhere as its owner asks, and the host is given back. Takes half a minute.

    With --scenario maintenance two hosts are emptied in turns for work on them: one owner is asked and answers, the other
    has said beforehand what may be done. Takes ten seconds.

    Exit status 0: all went as promised. Owners are told within a second, and others not at all; no machine runs twice;
    nothing is done to a machine that its owner has not agreed to.

    \b
    Examples:
      doctor demo
      doctor demo --json
      doctor demo --scenario fencing
      doctor demo --scenario fencing --hands-on
      doctor demo --scenario maintenance
    """
    from doctor.cli.demo.processes import DemoError
    from doctor.client.errors import ClientError

    if hands_on and (scenario != FENCING or as_json):
        raise click.UsageError("--hands-on goes with --scenario fencing, and without --json")

    def tell(line: str) -> None:
        click.echo(line, err=as_json)

    try:
        if hands_on:
            _hands_on(tell)
            return
        outcome = _play(scenario, tell, processes=processes)
    except (DemoError, ClientError) as error:
        click.echo(f"doctor demo: {error}", err=True)
        sys.exit(1)
    if as_json:
        print_json(outcome.as_json())
    else:
        screen = console()
        click.echo()
        screen.print(outcome.drawing(screen.width, unicode=speaks_unicode(sys.stdout)))
        click.echo()
        click.echo(outcome.verdict)
    sys.exit(0 if outcome.is_good else 1)


def _play(scenario: str, tell: "Tell", *, processes: bool) -> "Outcome":
    if scenario == FENCING:
        from doctor.cli.demo import fencing_story

        return fencing_story.play(tell)
    if scenario == MAINTENANCE:
        from doctor.cli.demo import maintenance_story

        return maintenance_story.play(tell)
    from doctor.cli.demo import fault_story
    from doctor.cli.demo.hosts import make_hosts

    return fault_story.play(make_hosts(fault_story.HOSTS, as_processes=processes), tell)


def _hands_on(tell: "Tell") -> None:
    from doctor.cli.demo import fencing_story

    def wait() -> None:
        click.echo("Press Enter to take it all down. ", nl=False)
        sys.stdin.readline()

    fencing_story.hands_on(tell, wait)
