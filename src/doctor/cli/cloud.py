"""``doctor cloud``: Doctor beside an OpenStack cloud."""

import click

from doctor.cli.cloud_catalogue import register, unregister


@click.group()
def cloud() -> None:
    """Make Doctor known in an OpenStack cloud."""


cloud.add_command(register)
cloud.add_command(unregister)
