"""`doctor verify`: is this Doctor as good as it has to be?"""

import sys
from typing import Any

import click

from doctor.cli.connection import connected
from doctor.cli.output import json_option, print_json, print_table, remark


@click.group()
def verify() -> None:
    """Test a running Doctor: are owners told in time, and nobody else?"""


@verify.command()
@click.option("--rounds", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How often.")
@click.option("--stream", is_flag=True, help="Take notifications from the stream: for a Doctor elsewhere.")
@json_option
def fault(*, rounds: int, stream: bool, as_json: bool) -> None:
    """Let a host of two test tenants fail, and see who is told when.

    Needs an admin token, and a Doctor with the embedded controller: a host and two machines are added to the resource
    map for the time of the test. Real hosts and owners are not touched.

    Exit status 0: in every round the owner was told within a second and read the true state, the alarm cleared, and
    the stranger heard nothing.

    \b
    Examples:
      doctor verify fault
      DOCTOR_URL=https://doctor.example doctor verify fault --stream --rounds 100
    """
    from doctor.cli.verify.fault import FaultTest, VerifyError

    def progress(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\rround {done} of {of}", nl=done == of, err=True)

    with connected() as client:
        try:
            checks = FaultTest(client, webhook=not stream).run(rounds, progress)
        except VerifyError as error:
            raise click.ClickException(str(error)) from None
    report = summary(checks)
    if as_json:
        print_json(report)
    else:
        names = {
            "told_in_time": "the owner was told within 1 s",
            "state_was_true": "the owner read the true state",
            "cleared": "the alarm cleared and the owner was told",
            "stranger_heard_nothing": "the stranger heard nothing",
        }
        print_table(
            ["check", "rounds", "result"],
            [
                (
                    text,
                    f"{report['passed'][name]} of {rounds}",
                    "ok" if report["passed"][name] == rounds else "failed",
                )
                for name, text in names.items()
            ],
        )
        told = report["told_after_ms"]
        if told["median"] is not None:
            click.echo(
                f"\ntold after (ms): median {told['median']:.1f}, p99 {told['p99']:.1f}, worst {told['max']:.1f}"
            )
        remark("PASS" if report["ok"] else "FAIL")
    sys.exit(0 if report["ok"] else 1)


def summary(checks: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the rounds."""
    names = ("told_in_time", "state_was_true", "cleared", "stranger_heard_nothing")
    passed = {name: sum(check[name] for check in checks) for name in names}
    times = sorted(check["told_after_ms"] for check in checks if check["told_after_ms"] is not None)
    return {
        "ok": all(count == len(checks) for count in passed.values()),
        "rounds": len(checks),
        "passed": passed,
        "told_after_ms": {
            "median": times[len(times) // 2] if times else None,
            "p99": times[min(len(times) - 1, int(len(times) * 0.99))] if times else None,
            "max": times[-1] if times else None,
        },
        "checks": checks,
    }
