"""``doctor maintenance calendar``: when hosts will be away."""

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, moment, print_items


@click.command()
@click.option("--since", metavar="TIME", help="From this time on (RFC 3339).  [default: now]")
@click.option("--until", metavar="TIME", help="Up to this time.")
@click.option("--ical", "is_ical", is_flag=True, help="Write iCalendar, for the calendars of people.")
@json_option
def calendar(since: str | None, until: str | None, is_ical: bool, as_json: bool) -> None:
    """Show when hosts will be away, and which sessions are at the same time in one zone.

    An end is the latest that Doctor needs; what is done by hand comes on top of it.

    \b
    Examples:
      doctor maintenance calendar
      doctor maintenance calendar --until 2027-02-01T00:00:00Z --json
      doctor maintenance calendar --ical > maintenance.ics
    """
    if is_ical and as_json:
        raise click.UsageError("--ical or --json: not both")
    with connected() as doctor:
        if is_ical:
            click.echo(doctor.text("/v1/maintenance/calendar.ics", since=since, until=until), nl=False)
            return
        found = list(doctor.items("/v1/maintenance/calendar", since=since, until=until))
    print_items(
        found,
        as_json,
        none="nothing is planned",
        columns=(
            ("starts", lambda one: moment(one.get("starts_at"))),
            ("ends at the latest", lambda one: moment(one.get("ends_at"))),
            "state",
            "hosts",
            "machines",
            "reason",
            ("session", "session_id"),
            ("meets", "overlaps"),
        ),
        keep=("starts", "state", "hosts", "session"),
        spare=("machines", "reason"),
    )
