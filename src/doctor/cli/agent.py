"""``doctor agent``: what runs on a host and says that the host is there, and what goes wrong on it."""

import sys
from pathlib import Path
from typing import Any

import click

from doctor.cli.connection import MISUSED, REFUSED, Failed
from doctor.cli.output import json_option, print_items

CONFIG = Path("/etc/doctor/agent.yaml")

config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=CONFIG,
    show_default=True,
    help="The settings of the agent (YAML).",
)


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def agent(ctx: click.Context, config: Path) -> None:
    """Run the agent of this host in the foreground, until it is told to stop.

    It sends signed heartbeats, and reports at once when a link is lost.

    \b
    Examples:
      doctor agent --config /etc/doctor/agent.yaml
      doctor agent check             what it would do and see here
      doctor agent key --new-master /etc/doctor/agents.key
      doctor agent key compute-1 --master /etc/doctor/agents.key --out compute-1.key
    """
    if ctx.invoked_subcommand is not None:
        return
    from doctor.agent.service import Unusable, run

    try:
        run(_settings(config))
    except Unusable as error:
        raise Failed(f"the agent cannot run here: {error}") from error


@agent.command("key")
@click.argument("host", required=False)
@click.option(
    "--new-master", type=click.Path(dir_okay=False, path_type=Path), help="Make a master key in this file."
)
@click.option(
    "--master",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Derive the key of the host from this master key.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file for the key of the host; default: HOST.key in this folder.",
)
def make_key(host: str | None, new_master: Path | None, master: Path | None, out: Path | None) -> None:
    """Make the key with which the agent of HOST signs its heartbeats.

    With a master key Doctor needs that file only (master_key_file), whatever hosts there are; without one the line for the
    host goes into its keys_file. Keys are written to new files that their owner alone may read, and never shown.

    \b
    Examples:
      doctor agent key --new-master /etc/doctor/agents.key
      doctor agent key compute-1 --master /etc/doctor/agents.key --out compute-1.key
    """
    from doctor.kit.beat import derived
    from doctor.kit.key_file import new_key, read_key, write_key

    if (host is None) == (new_master is None):
        raise click.UsageError("name a host, or a file for a new master key")
    try:
        if new_master is not None:
            write_key(new_master, new_key())
            click.echo(
                f"{new_master}: a new master key; name it in master_key_file of the heartbeat monitor",
                err=True,
            )
            return
        assert host is not None
        key = derived(read_key(master, "--master"), host) if master is not None else new_key()
        file = out or Path(f"{host}.key")
        write_key(file, key)
    except FileExistsError as error:
        raise Failed(
            f"{error.filename} is there already; a key that may be in use is not written over"
        ) from error
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise Failed(str(error)) from error
    click.echo(
        f"{file}: the key of {host}; bring it to the host, as heartbeat.key_file of its agent", err=True
    )


@agent.command("check")
@config_option
@json_option
def check_settings(config: Path, as_json: bool) -> None:
    """Say what the agent would do and see here: whether Doctor takes its events, knows its key, and how the links are.

    Nothing is reported. It ends with 1 when something is in trouble.

    \b
    Example:
      doctor agent check --config /etc/doctor/agent.yaml
    """
    from doctor.agent.checking import TROUBLE, check

    found = list(check(_settings(config)))
    print_items(
        [finding._asdict() for finding in found],
        as_json,
        columns=("part", "name", "state", "detail"),
        keep=("part", "name", "state"),
    )
    if any(finding.state == TROUBLE for finding in found):
        sys.exit(REFUSED)


def _settings(config: Path) -> Any:
    from doctor.agent.settings import load_settings

    try:
        return load_settings(config)
    except ValueError as error:
        click.echo(f"doctor: the settings of the agent are wrong\n  {error}", err=True)
        sys.exit(MISUSED)
