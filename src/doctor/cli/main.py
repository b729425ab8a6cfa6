"""The command ``doctor``: finds the subcommand that was asked for and imports nothing else."""

import importlib
from pathlib import Path

import click

from doctor import __version__
from doctor.cli.connection import Target

# Where each command is, and its line in the help, so that `doctor --help` need not import them.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "demo": (
            "doctor.cli.demo.command:demo",
            "See it all on this machine: a host fails, its owner is told.",
        ),
        "serve": ("doctor.cli.serve:serve", "Run Doctor."),
        "agent": (
            "doctor.cli.agent:agent",
            "Run the agent of a host: heartbeats, links, what goes wrong there.",
        ),
        "verify": ("doctor.cli.verify.command:verify", "Test a running Doctor: are owners told in time?"),
        "bench": ("doctor.cli.bench.command:bench", "Measure how fast this machine runs Doctor."),
    },
    "Look": {
        "alarm": ("doctor.cli.alarm:alarm", "What is wrong now, and what was."),
        "escalation": (
            "doctor.cli.escalation:escalation",
            "Zones whose parts fail too often: decide, or look back.",
        ),
        "fault": ("doctor.cli.fault:fault", "Faults as their owners see them."),
        "resource": ("doctor.cli.resource:resource", "The resource map: what runs where, and who owns it."),
        "cloud": ("doctor.cli.cloud:cloud", "The clouds that keep the map, and what is marked there."),
        "capacity": ("doctor.cli.capacity:capacity", "What the zones have, and what is left of it."),
        "report": ("doctor.cli.report:report", "How available VNFs were, and which promises were not kept."),
        "monitor": ("doctor.cli.monitor:monitor", "Who reports: how much, how late, and who is silent."),
        "vantage": (
            "doctor.cli.vantage:vantage",
            "What Doctor's own monitors see, and whether they are believed.",
        ),
        "timeline": ("doctor.cli.timeline:timeline", "Where the time went between a fault and its owner."),
    },
    "Tell and be told": {
        "event": ("doctor.cli.event:event", "Report what a monitor saw."),
        "subscription": ("doctor.cli.subscription:subscription", "Who is told of what, and where."),
        "instruction": (
            "doctor.cli.instruction:instruction",
            "What is to be done to machines, and what has become of it.",
        ),
        "recovery": (
            "doctor.cli.recovery:recovery",
            "What is to be done to machines that fail, said beforehand.",
        ),
        "group": (
            "doctor.cli.group:group",
            "Machines that stand in for each other, and how many may be away.",
        ),
        "notification": ("doctor.cli.notification:notification", "What was told; follow it live."),
    },
    "Administer": {
        "maintenance": (
            "doctor.cli.maintenance:maintenance",
            "Empty hosts for work on them, with their owners' consent.",
        ),
        "silence": ("doctor.cli.silence:silence", "What is not told for a while, such as of planned work."),
        "fencing": ("doctor.cli.fencing:fencing", "What can cut hosts off, and whether it would."),
        "policy": ("doctor.cli.policy:policy", "The failure policy: what counts as which fault."),
        "token": ("doctor.cli.token:token", "Who may ask Doctor, and what."),
        "cloud": ("doctor.cli.cloud:cloud", "Make Doctor known in an OpenStack cloud."),
        "completion": ("doctor.cli.completion:completion", "Let the shell complete `doctor` commands."),
    },
}
COMMANDS = {name: where for section in SECTIONS.values() for name, (where, _) in section.items()}


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, as they stand in the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; one that this installation lacks says so when it is called."""
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            return _missing(cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{where} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was meant; a name that is none gets the nearest ones as an answer."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under what they are for."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<12}", text) for name, (_, text) in section.items()])


def _missing(name: str) -> click.Command:
    @click.command(name, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> None:
        raise click.ClickException(f"`doctor {name}` is not part of this installation")

    return command


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="doctor %(version)s")
@click.option(
    "--url",
    metavar="URL",
    help="The Doctor to ask; default: DOCTOR_URL, else http://127.0.0.1:12345.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file with your token; default: DOCTOR_TOKEN, else the admin token of the Doctor on this machine.",
)
@click.pass_context
def main(ctx: click.Context, url: str | None, token_file: Path | None) -> None:
    """Doctor tells the owners of virtual resources within milliseconds that the host beneath has failed.

    \b
    Begin with:
      doctor demo             a host fails, its owner is told, all on this machine
      doctor serve            run Doctor; the commands below then ask it
      doctor alarm list       what is wrong now
      doctor COMMAND --help   each command explains itself, with examples

    Commands end with 0 when done, 1 when refused or failed, 2 when called wrongly, 3 when no Doctor answers. All
    that list or answer take --json.
    """
    ctx.obj = Target(url, token_file)
