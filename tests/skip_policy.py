"""Keep the tests that did not run in sight: a pytest plugin.

A test says what it needs of the machine, ``@pytest.mark.needs("root", "netns")``. An ability has a probe in ``PROBES``,
which answers ``None`` when the machine is able, or else a sentence with the reason and what to do about it.

- On a developer's machine a test whose ability is missing is skipped, and the end of the run names each reason with
  the tests behind it.
- In continuous integration (``CI`` is set) a skip is a failure, whoever asked for it: a machine that we chose ourselves
  and that cannot run a test is a mistake to mend. The one exception is an answer that begins with ``IMPOSSIBLE``: the
  probe knows that this machine can never do it, whatever one installs.
- An expected failure is listed as well. One that passes after all is a failure, by ``xfail_strict`` in the settings.
"""

import os
import shutil
import socket
import subprocess
from collections import defaultdict
from collections.abc import Callable, Generator

import pytest

Probe = Callable[[], str | None]

IMPOSSIBLE = "impossible here: "


def root() -> str | None:
    """Tell whether the tests run as root."""
    return None if os.geteuid() == 0 else "not root; run the tests as root (sudo make test)"


def netns() -> str | None:
    """Tell whether hosts can be made of network namespaces, by making one and removing it."""
    name = f"doctor-probe-{os.getpid()}"
    veth = f"ip -n {name} link add probe0 type veth peer name probe1"
    script = f"ip netns add {name} || exit; {veth}; made=$?; ip netns delete {name}; exit $made"
    tried = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    match tried.returncode:
        case 0:
            return None
        case 127:
            return "the command ip is missing; install the package iproute2 (as root, make setup does)"
        case _:
            return root() or f"{IMPOSSIBLE}root may not make network namespaces ({tried.stderr.strip()})"


def raw_icmp() -> str | None:
    """Tell whether a raw ICMP socket can be opened."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        return root() or f"{IMPOSSIBLE}root may not open raw sockets (CAP_NET_RAW has been taken away)"
    return None


def program(name: str, package: str) -> Probe:
    """Return what tells whether a program is installed."""

    def probe() -> str | None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        if shutil.which(name, path=path) is None:
            return f"the program {name} is missing; install the package {package} (as root, make setup does)"
        return None

    return probe


PROBES: dict[str, Probe] = {
    "alertmanager": program("prometheus-alertmanager", "prometheus-alertmanager"),
    "amtool": program("amtool", "prometheus-alertmanager"),
    "collectd": program("collectd", "collectd-core"),
    "root": root,
    "netns": netns,
    "icinga2": program("icinga2", "icinga2-bin"),
    "masakari_monitors": program("masakari-processmonitor", "python3-masakari-monitors"),
    "php": program("php", "php-cli"),
    "postgres": program("pg_ctlcluster", "postgresql"),
    "prometheus": program("prometheus", "prometheus"),
    "raw_icmp": raw_icmp,
    "fence_agents": program("fence_dummy", "fence-agents"),
    "ipmi_sim": program("ipmi_sim", "openipmi"),
    "ipmitool": program("ipmitool", "ipmitool"),
    "libvirtd": program("libvirtd", "libvirt-daemon"),
    "rsyslogd": program("rsyslogd", "rsyslog"),
    "snmpd": program("snmpd", "snmpd"),
    "snmptrap": program("snmptrap", "snmp"),
    "virsh": program("virsh", "libvirt-clients"),
    "vitrage": program("vitrage", "python3-vitrageclient"),
    "zabbix_server": program("zabbix_server", "zabbix-server-pgsql"),
}

_answers = pytest.StashKey[dict[str, str | None]]()


def in_ci() -> bool:
    """Tell whether nobody is looking, so that a skip has to speak up."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", f"needs(*abilities): what the machine must be able to do: {', '.join(PROBES)}"
    )
    config.stash[_answers] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that the machine is not able to run."""
    missing = [answer for name in _abilities(item) if (answer := _ask(item.config, name))]
    if missing:
        # A test that may never run here is excused; then what else is missing does not count.
        pytest.skip(next((answer for answer in missing if answer.startswith(IMPOSSIBLE)), missing[0]))


def _abilities(item: pytest.Item) -> list[str]:
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    if unknown := sorted(set(names) - PROBES.keys()):
        pytest.fail(
            f"needs: unknown ability {', '.join(unknown)}; known are {', '.join(PROBES)}", pytrace=False
        )
    return names


def _ask(config: pytest.Config, ability: str) -> str | None:
    answers = config.stash[_answers]
    if ability not in answers:
        answers[ability] = PROBES[ability]()
    return answers[ability]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a test's skip into a failure, in continuous integration."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file into a failure, in continuous integration."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and in_ci() and not expected_failure and not _reason(report).startswith(IMPOSSIBLE):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure where CI is set: {_reason(report)}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was not run, by reason."""
    behind = defaultdict(list)
    for report in terminalreporter.getreports("skipped"):
        behind[_reason(report)].append(report.nodeid)
    for report in terminalreporter.getreports("xfailed"):
        behind[f"expected to fail: {report.wasxfail or 'no reason given'}"].append(report.nodeid)
    if not behind:
        return
    terminalreporter.section("NOT RUN HERE", sep="!", yellow=True, bold=True)
    for reason, tests in sorted(behind.items()):
        terminalreporter.line(f"{reason}", yellow=True)
        for test in tests:
            terminalreporter.line(f"    {test}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    match report.longrepr:
        case (_, _, str(reason)):
            return reason.removeprefix("Skipped: ")
        case other:
            return str(other)
