"""``doctor monitor``: who reports, how much, how late, who is silent; and how somebody is made to report."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from doctor.cli.connection import MISUSED, Failed, Target, connected
from doctor.cli.output import age, json_option, print_items, print_json, print_one, remark

if TYPE_CHECKING:
    from doctor.client import Client


@click.group()
def monitor() -> None:
    """Who reports: how much, how late, and who is silent."""


@monitor.command("list")
@json_option
def list_monitors(as_json: bool) -> None:
    """List who reports: the bearers of tokens by name, and Doctor's own monitors.

    One is `silent` that should speak: the settings say so (sources.NAME.silent_after), or a heartbeat of his own.

    \b
    Example:
      doctor monitor list
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/monitors"))
    print_items(
        found,
        as_json,
        none="nobody has reported anything since Doctor began",
        columns=(
            "name",
            "kind",
            "state",
            ("heard", lambda one: age(one.get("last_heard_time"))),
            "events",
            ("per_min", "events_per_minute"),
            "lag_ms",
            ("dup", "duplicates"),
            "rejected",
            "lost",
            "standing",
        ),
        keep=("name", "state"),
        spare=("standing", "lost", "dup", "per_min", "kind"),
    )


@monitor.command()
@click.argument("name")
@json_option
def status(name: str, as_json: bool) -> None:
    """Show all that is known of one who reports.

    \b
    Example:
      doctor monitor status prometheus-a
    """
    with connected() as doctor:
        found: dict[str, Any] = doctor.get(f"/v1/monitors/{quote(name, safe='')}")
    print_one(found, as_json)


@monitor.command()
@click.argument("name")
@click.option(
    "--via", metavar="URL", help="An Alertmanager: send a trial alert to it, and wait until it gets here."
)
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for an event of the type monitor.test that you send through the monitor yourself.",
)
@click.option("--seconds", default=60.0, show_default=True, help="How long to wait.")
@json_option
def test(name: str, via: str | None, wait: bool, seconds: float, as_json: bool) -> None:
    """See whether events of a monitor arrive, without telling anybody.

    Doctor takes an event of the type monitor.test as if from there: judged and kept as any, and named by no rule. With
    --via or --wait the event comes the whole way, from the monitor itself.

    \b
    Examples:
      doctor monitor test zabbix
      doctor monitor test alertmanager-a --via http://127.0.0.1:9093
    """
    with connected() as doctor:
        path = f"/v1/monitors/{quote(name, safe='')}"
        if via is None and not wait:
            found: dict[str, Any] = doctor.post(f"{path}/test")
            if as_json:
                print_json(found)
            else:
                click.echo(
                    f"it arrived, and was judged and kept within {found['took_ms']} ms; nobody was told"
                )
            return
        before = _last_test(doctor, path)
        began = time.monotonic()
        if via is not None:
            _send_alert(via)
        elif not as_json:
            remark(f"waiting for an event of the type monitor.test from {name} ...")
        while (arrived := _last_test(doctor, path)) == before:
            if time.monotonic() - began > seconds:
                raise Failed(f"nothing arrived from {name} within {seconds:g} s")
            time.sleep(0.05)
        took = round(time.monotonic() - began, 2)
    if as_json:
        print_json({"received_time": arrived, "took_seconds": took})
    else:
        click.echo(f"it arrived after {took:g} s; nobody was told")


def _last_test(doctor: "Client", path: str) -> str | None:
    """Return when a trial event came last; nobody may have reported by this name yet."""
    from doctor.client import ApiError

    try:
        found: str | None = doctor.get(path).get("last_test_time")
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return found


def _send_alert(url: str) -> None:
    from doctor.client import ApiError, Client, Unreachable

    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "DoctorTest", "doctor_type": "monitor.test", "host": "doctor-test"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(seconds=10)).isoformat(),
    }
    try:
        with Client(url) as alertmanager:
            alertmanager.post("/api/v2/alerts", [alert])
    except (ApiError, Unreachable) as error:
        raise Failed(f"{url} does not take an alert: {error}") from error


@monitor.command()
@click.argument("source", type=click.Choice(["prometheus", "alertmanager", "zabbix", "collectd", "snmp"]))
@click.option("--url", metavar="URL", help="How the monitor reaches Doctor; default: as you do.")
@click.option(
    "--token-file",
    "token_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the monitor finds its token (doctor token create --role monitor --name ...).",
)
@click.option("--api", metavar="URL", help="zabbix: its frontend; everything is made there by its API.")
@click.option("--user", default="Admin", show_default=True, help="zabbix: who may do that.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="zabbix: his password; or",
)
@click.option(
    "--api-token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="zabbix: a token of its API.",
)
def setup(
    source: str,
    url: str | None,
    token_file: Path | None,
    api: str | None,
    user: str,
    password_file: Path | None,
    api_token_file: Path | None,
) -> None:
    """Print how a monitor is told to report to Doctor; with --api tell Zabbix.

    What is there already in Zabbix is brought up to date, so the command may be repeated.

    \b
    Examples:
      doctor monitor setup prometheus --url https://doctor.example:12345
      doctor monitor setup zabbix --url https://doctor.example:12345 --token-file zabbix.token \\
             --api https://zabbix.example --password-file admin.password
    """
    from doctor.cli.monitor_setup import zabbix
    from doctor.cli.monitor_setup.texts import text_for
    from doctor.client import Misconfigured, find_access

    target = click.get_current_context().find_object(Target) or Target()
    if url is None:
        try:
            url = find_access(target.url, target.token_file).url
        except Misconfigured as error:
            raise Failed(str(error), MISUSED) from error
    if source != "zabbix":
        if api is not None:
            raise click.UsageError("--api is for zabbix: the others have files")
        click.echo(text_for(source, url, str(token_file or f"/etc/{source}/doctor.token")), nl=False)
        return
    if api is None:
        click.echo(
            f"// The script of a media type of the kind webhook; or let --api make everything.\n{zabbix.script()}"
        )
        remark(
            "\n".join(
                ["its parameters:", *(f"  {name}  {value}" for name, value in zabbix.PARAMETERS.items())]
            )
        )
        remark(f"  url  {url}")
        return
    if token_file is None or (password_file is None) == (api_token_file is None):
        raise click.UsageError("--api takes --token-file, and --password-file or --api-token-file")
    try:
        line = zabbix.Zabbix(
            api,
            user=user,
            token=api_token_file.read_text().strip() if api_token_file else "",
            password=password_file.read_text().strip() if password_file else "",
        )
        made = zabbix.provision(line, url.rstrip("/"), token_file.read_text().strip())
    except zabbix.Refused as error:
        raise Failed(f"Zabbix refuses: {error}") from error
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}", MISUSED) from error
    click.echo("\n".join(made))
