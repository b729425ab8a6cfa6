"""Hosts for the demo and the tests: network namespaces, each on wires of its own.

A host answers pings like any other, since the kernel of the machine is its kernel. Its wire can be cut and mended,
programs can run on it. Addresses are of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544). Names
carry the number of the process that made them, so that runs side by side do not meet and what a killed run has left
behind can be told from what is in use.

All of this needs root and the command ``ip``, and blocks for some milliseconds.
"""

import contextlib
import ipaddress
import itertools
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NETWORK = ipaddress.IPv4Network("198.18.0.0/15")
PAIRS = NETWORK.num_addresses // 2  # each wire takes two addresses: the machine has the even one
PAIRS_PER_PROCESS = 64
SERIALS = itertools.count()  # of the wires of this process
LEFTOVER = re.compile(r"doctor-(\d+)-")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Wire:
    """A cable between the machine and a host: what we plug in here, and the addresses of both ends."""

    def __init__(self, namespace: str, name: str, plug: str, local: str, remote: str) -> None:
        self.interface = name  # on the machine
        self.local = local
        self.remote = remote
        self._namespace = namespace
        self._plug = plug  # in the host

    def cut(self) -> None:
        """Pull the cable at the host."""
        ip("-n", self._namespace, "link", "set", self._plug, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        ip("-n", self._namespace, "link", "set", self._plug, "up")


class HostNamespace:
    """One host, with one wire or several."""

    def __init__(self, name: str, namespace: str, wires: Sequence[Wire]) -> None:
        self.name = name
        self.namespace = namespace
        self.wires = tuple(wires)
        self.programs: list[subprocess.Popen[bytes]] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the addresses of the host, one for each wire."""
        return tuple(wire.remote for wire in self.wires)

    def cut(self) -> None:
        """Cut all wires: seen from outside the host is dead."""
        for wire in self.wires:
            wire.cut()

    def mend(self) -> None:
        """Mend all wires."""
        for wire in self.wires:
            wire.mend()

    def command(self, *words: str) -> list[str]:
        """Return the command that runs another one on the host."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def run(self, *words: str) -> str:
        """Run a command on the host to its end and return what it wrote.

        Raises:
            RuntimeError: it failed; the message has what it wrote about that.
        """
        return run(self.command(*words))

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program on the host. It is killed with the host; its end is the caller's to wait for."""
        program = subprocess.Popen(self.command(*words), **options)  # noqa: S603 - our own words, no shell
        self.programs.append(program)
        return program


class Namespaces:
    """The hosts of this process. Leaving the context removes them, with what runs on them."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostNamespace] = {}

    def __enter__(self) -> Self:
        remove_leftovers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.hosts):
            self.remove(name)

    def add(self, name: str, *, wires: int = 1) -> HostNamespace:
        """Make a host that is up and reachable at once.

        Raises:
            RuntimeError: the machine does not let us; nothing stays behind.
        """
        namespace = f"doctor-{os.getpid()}-{name}"
        ip("netns", "add", namespace)
        try:
            ip("-n", namespace, "link", "set", "lo", "up")
            made = [self._connect(namespace, f"eth{number}") for number in range(wires)]
        except BaseException:
            delete(namespace)
            raise
        host = self.hosts[name] = HostNamespace(name, namespace, made)
        return host

    def _connect(self, namespace: str, plug: str) -> Wire:
        interface = f"d{in_base_36(os.getpid())}-{in_base_36(next(SERIALS))}"
        local, remote = free_pair()
        ip("link", "add", interface, "type", "veth", "peer", "name", plug, "netns", namespace)
        ip("-n", namespace, "address", "add", f"{remote}/31", "dev", plug)
        ip("-n", namespace, "link", "set", plug, "up")
        ip("address", "add", f"{local}/31", "dev", interface)
        ip("link", "set", interface, "up")
        return Wire(namespace, interface, plug, local, remote)

    def remove(self, name: str) -> None:
        """Kill what runs on the host, then remove the host and its wires."""
        host = self.hosts.pop(name)
        for program in host.programs:
            program.kill()  # one that was just started may not be in the namespace yet
        delete(host.namespace)


def remove_leftovers() -> list[str]:
    """Remove the hosts of processes that live no more; return their namespaces."""
    found = ip("netns", "list").split("\n")
    left = [
        line.split()[0] for line in found if (match := LEFTOVER.match(line)) and not is_alive(int(match[1]))
    ]
    for namespace in left:
        with contextlib.suppress(RuntimeError):  # another process has just done the same
            delete(namespace)
    return left


def delete(namespace: str) -> None:
    """Kill what runs in a namespace and remove it with its wires."""
    for process in ip("netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    # The kernel would remove the wires as well, but at a time of its own, and they hold addresses.
    for wire in json.loads(ip("-json", "-n", namespace, "link", "show", "type", "veth") or "[]"):
        ip("-n", namespace, "link", "delete", wire["ifname"])
    ip("netns", "delete", namespace)


def is_alive(process: int) -> bool:
    """Tell whether there is such a process, and not only its record that nobody has asked for."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def free_pair() -> tuple[str, str]:
    """Return two neighbouring addresses that nobody on this machine uses.

    Where to begin looking depends on the process, so that two who look at the same time do not find the same.
    """
    used = set(addresses_in_use())
    begin = os.getpid() * PAIRS_PER_PROCESS
    for number in range(begin, begin + PAIRS):
        local = NETWORK[number % PAIRS * 2]
        if str(local) not in used:
            return str(local), str(local + 1)
    raise RuntimeError(f"all addresses of {NETWORK} are in use")


def addresses_in_use() -> Iterator[str]:
    """Return the IPv4 addresses of this machine."""
    for interface in json.loads(ip("-json", "-4", "address", "show") or "[]"):
        yield from (address["local"] for address in interface.get("addr_info", ()) if "local" in address)


def in_base_36(number: int) -> str:
    """Write a number shortly: the name of an interface has fifteen characters at most."""
    digits = ""
    while number >= 36:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return DIGITS[number] + digits


def ip(*words: str) -> str:
    """Run ``ip`` and return what it wrote.

    Raises:
        RuntimeError: it failed, or it is not there.
    """
    return run(["ip", *words])


def run(words: Sequence[str]) -> str:
    """Run a command to its end and return what it wrote.

    Raises:
        RuntimeError: it failed; the message has what it wrote about that.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True)  # noqa: S603 - our own words, no shell
    except FileNotFoundError as error:
        raise RuntimeError(f"{words[0]} is missing; for ip install the package iproute2") from error
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
