"""Arguments and options that more than one command takes."""

import click

STATES = ("open", "over", "all")

limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
predicted_option = click.option(
    "--predicted/--not-predicted",
    default=None,
    help="Only those that have not happened yet, or only those that have.",
)
project_option = click.option("--project", metavar="NAME", help="Whose: required of the Administrator.")
scope_argument = click.argument("scope", metavar="SCOPE")
state_option = click.option(
    "--state", type=click.Choice(STATES), default="all", show_default=True, help="Only those."
)
