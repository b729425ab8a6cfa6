"""`doctor verify`: is this Doctor as good as it has to be?"""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_json, print_table, remark

EMBEDDED_ROUNDS = 20
EMBEDDED_CHECKS = {
    "told_in_time": "the owner was told within 1 s",
    "state_was_true": "the owner read the true state",
    "cleared": "the alarm cleared and the owner was told",
    "stranger_heard_nothing": "the stranger heard nothing",
}
EMBEDDED_FIGURES = {"told_after_ms": "told, as measured here"}


F = TypeVar("F", bound=Callable[..., None])


@click.group()
def verify() -> None:
    """Test a running Doctor: are owners told in time, and nobody else?"""


def cloud_options(command: F) -> F:
    """Add what every test in a cloud can be told."""
    for option in reversed(
        (
            click.option(
                "--stream", is_flag=True, help="Take notifications from the stream: for a Doctor elsewhere."
            ),
            click.option(
                "--clouds-file",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="clouds.yaml, if it is not where every OpenStack tool looks.",
            ),
            click.option(
                "--owner",
                metavar="NAME",
                help="The owner's account in clouds.yaml; default: one made for the test.",
            ),
            click.option(
                "--stranger", metavar="NAME", help="The stranger's; default: one made for the test."
            ),
            click.option("--image", metavar="NAME", help="Of the servers; default: the first."),
            click.option("--flavor", metavar="NAME", help="Of the servers; default: the smallest."),
            click.option(
                "--network", metavar="NAME", help="Of the servers; default: one of the project's own."
            ),
            click.option("--zone", metavar="NAME", help="The availability zone of the servers."),
            click.option(
                "--shared", is_flag=True, default=None, help="Even if others have servers on that host."
            ),
            json_option,
        )
    ):
        command = option(command)
    return command


@verify.command()
@click.option(
    "--rounds",
    "--repeat",
    "rounds",
    type=click.IntRange(1, 10_000),
    help="How often; default: 20, and 1 in a cloud.",
)
@click.option("--cloud", metavar="NAME", help="In this cloud of clouds.yaml, as an administrator of it.")
@click.option(
    "--fail", metavar="COMMAND", help="Makes a host fail; {host} is its name, {address} its address."
)
@click.option("--recover", metavar="COMMAND", help="Brings it back.")
@click.option("--for", "seconds", type=float, metavar="SECONDS", help="How long it is away; default: 180.")
@click.option("--monitors", is_flag=True, help="Leave it to Doctor's Monitors to detect the failure.")
@click.option(
    "--evacuate", is_flag=True, help="Have the host isolated, the server evacuated, the host given back."
)
@cloud_options
def fault(
    *,
    rounds: int | None,
    stream: bool,
    cloud: str | None,
    clouds_file: Path | None,
    monitors: bool,
    evacuate: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Let the host of a test tenant fail, and see who is told when, and what is shown.

    Without --cloud Doctor needs the embedded controller: a host and two machines are added to the resource map for the
    time of the test. Real hosts and owners are not touched.

    With --cloud a real server is booted, and the host under it made to fail by a command of yours, for three minutes;
    what all users read in the cloud is checked too. Options may stand below `doctor_verify` of the cloud in
    clouds.yaml. The failure is reported to Doctor by the test, or detected by its Monitors (--monitors).

    With --evacuate the host is isolated by its fence devices, in a zone that is armed; the owner has the server evacuated,
    and the host is given back (by --recover only if it was not isolated). The limits of fencing hold.

    Needs an admin token. Exit status 0: all checks were passed in every round. Whatever was made is taken away and the
    host brought back, also after Ctrl-C.

    \b
    Examples:
      doctor verify fault
      DOCTOR_URL=https://doctor.example doctor verify fault --stream --rounds 100
      doctor verify fault --cloud mycloud --zone test --fail 'ssh {address} systemctl stop network' \\
        --recover 'ipmitool -H {host}-bmc power reset' --repeat 3
      doctor verify fault --cloud mycloud --evacuate --fail "ssh {address} 'echo c >/proc/sysrq-trigger'" --monitors
    """
    from doctor.cli.verify.mailbox import VerifyError

    signal.signal(signal.SIGTERM, _interrupt)
    if cloud is None and (monitors or evacuate or any(value is not None for value in said.values())):
        raise click.UsageError("what the test does in a cloud needs --cloud NAME")
    with connected() as client:
        try:
            if cloud is None:
                from doctor.cli.verify.fault import FaultTest

                names, figures = EMBEDDED_CHECKS, EMBEDDED_FIGURES
                checks = FaultTest(client, webhook=not stream).run(rounds or EMBEDDED_ROUNDS, _progress)
            else:
                from doctor.cli.verify import cloud_evacuation, cloud_fault
                from doctor.cli.verify.cloud_account import Account
                from doctor.cli.verify.cloud_settings import settings_of

                played = cloud_evacuation if evacuate else cloud_fault
                names, figures = played.CHECKS, played.FIGURES
                account = Account.of(cloud, clouds_file)
                kind = cloud_evacuation.CloudEvacuationTest if evacuate else cloud_fault.CloudFaultTest
                test = kind(
                    client,
                    account,
                    settings_of(account.config, said),
                    clouds_file=clouds_file,
                    webhook=not stream,
                    monitors=monitors,
                    say=remark,
                )
                checks = test.run(rounds or 1, _progress)
        except VerifyError as error:
            raise click.ClickException(str(error)) from None
    _conclude(checks, names, figures, as_json=as_json)


@verify.command()
@click.option("--rounds", "--repeat", "rounds", type=click.IntRange(1, 10_000), default=1, help="How often.")
@click.option(
    "--cloud", metavar="NAME", required=True, help="In this cloud of clouds.yaml, as an administrator of it."
)
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="How long emptying the host may take; default: 600."
)
@cloud_options
def maintenance(
    *,
    rounds: int,
    stream: bool,
    cloud: str,
    clouds_file: Path | None,
    as_json: bool,
    shared: bool | None,
    **said: Any,
) -> None:
    """Have the host of a test tenant's server emptied and given back, and see who is asked when, and what is shown.

    A real server is booted, and the host under it asked for, through this Doctor. The server's owner is asked, reads the
    true host_status, and agrees; his server moves; the host is in maintenance, disabled in Nova with the session as the
    reason; it is given back, and enabled. A host on which others have servers is spared: --shared says, each time, that
    their owners may be asked too, for real; without their answer the host cannot be emptied.

    Needs an admin token. Exit status 0: all checks were passed in every round. Whatever was made is taken away and the
    host given back, also after Ctrl-C.

    \b
    Examples:
      doctor verify maintenance --cloud mycloud --zone test
      doctor verify maintenance --cloud mycloud --zone test --repeat 20 --json
    """
    from doctor.cli.verify.cloud_account import Account
    from doctor.cli.verify.cloud_maintenance import CHECKS, FIGURES, CloudMaintenanceTest
    from doctor.cli.verify.cloud_settings import settings_of
    from doctor.cli.verify.mailbox import VerifyError

    signal.signal(signal.SIGTERM, _interrupt)
    with connected() as client:
        try:
            account = Account.of(cloud, clouds_file)
            consent = {"shared": bool(shared)}  # said for this time, and not in clouds.yaml for all
            test = CloudMaintenanceTest(
                client,
                account,
                settings_of(account.config, said | consent, fails=False),
                clouds_file=clouds_file,
                webhook=not stream,
                say=remark,
            )
            checks = test.run(rounds, _progress)
        except VerifyError as error:
            raise click.ClickException(str(error)) from None
    _conclude(checks, CHECKS, FIGURES, as_json=as_json, since="the request")


def _conclude(
    checks: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    figures: Mapping[str, str],
    *,
    as_json: bool,
    since: str = "the detection",
) -> None:
    """Print what the rounds come to, and end: with 0 if all was passed."""
    report = summary(checks, names, figures)
    if as_json:
        print_json(report)
    else:
        _show(report, names, figures, since)
    sys.exit(0 if report["ok"] else 1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Let whoever ends the test have it cleaned up, as Ctrl-C does."""
    raise KeyboardInterrupt


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rround {done} of {of}", nl=done == of, err=True)
    else:
        remark(f"round {done} of {of}")


def _show(
    report: Mapping[str, Any], names: Mapping[str, str], figures: Mapping[str, str], since: str
) -> None:
    rounds = report["rounds"]
    counts = report["passed"]
    print_table(
        ["check", "rounds", "result"],
        [
            (text, f"{counts[name]} of {rounds}", "ok" if counts[name] == rounds else "failed")
            for name, text in names.items()
        ],
    )
    click.echo()
    print_table(
        [f"ms after {since}", "median", "p99", "worst"],
        [
            (text, *(f"{spread[part]:.1f}" for part in ("median", "p99", "max")))
            for name, text in figures.items()
            if (spread := report["latencies_ms"][name])["median"] is not None
        ],
    )
    remark("PASS" if report["ok"] else "FAIL")


def summary(
    checks: Sequence[Mapping[str, Any]],
    names: Mapping[str, str] = EMBEDDED_CHECKS,
    figures: Mapping[str, str] = EMBEDDED_FIGURES,
) -> dict[str, Any]:
    """Sum up the rounds."""
    passed = {name: sum(check[name] for check in checks) for name in names}
    latencies = {
        name: _spread([check.get(name, check.get("timeline_ms", {}).get(name)) for check in checks])
        for name in figures
    }
    return {
        "ok": all(count == len(checks) for count in passed.values()),
        "rounds": len(checks),
        "passed": passed,
        "told_after_ms": latencies["told_after_ms"],
        "latencies_ms": latencies,
        "checks": checks,
    }


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    times = sorted(value for value in values if value is not None)
    if not times:
        return {"median": None, "p99": None, "max": None}
    return {
        "median": times[ceil(len(times) / 2) - 1],
        "p99": times[ceil(len(times) * 0.99) - 1],
        "max": times[-1],
    }
