"""The hosts of the demonstration, which really fail.

As root they are network namespaces, and failing means that the link is cut. Without root they are processes that
listen on loopback, and failing means that they are killed.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Protocol, Self

from doctor.cli.demo.netns import HostNamespace, Namespaces

_PROCESS = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    listener.accept()[0].close()
"""


class Hosts(Protocol):
    """Hosts that can be made to fail and to return."""

    kind: str
    failure: str
    recovery: str

    def address(self, name: str) -> str:
        """Return where a host is asked whether it lives."""
        ...

    def ping_settings(self) -> dict[str, Any]:
        """Return the settings of the ping monitor that suit these hosts."""
        ...

    def fail(self, name: str) -> None:
        """Make a host fail, for real."""
        ...

    def recover(self, name: str) -> None:
        """Bring a host back."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


class NamespaceHosts:
    """Network namespaces, each with a link of its own."""

    kind = "network namespaces"
    failure = "its link is cut"
    recovery = "its link is back"

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._namespaces = Namespaces()
        self._hosts: dict[str, HostNamespace] = {}

    def __enter__(self) -> Self:
        self._namespaces.__enter__()
        try:
            self._hosts = {name: self._namespaces.add(name) for name in self._names}
        except BaseException:
            self._namespaces.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self._namespaces.__exit__(None, None, None)

    def address(self, name: str) -> str:
        """Return the address at the end of its link."""
        return self._hosts[name].addresses[0]

    def ping_settings(self) -> dict[str, Any]:
        """Return the settings of the ping monitor."""
        return {"driver": "ping", "interval": 0.1, "misses": 3}

    def fail(self, name: str) -> None:
        """Cut the link."""
        self._hosts[name].cut()

    def recover(self, name: str) -> None:
        """Mend the link."""
        self._hosts[name].mend()


class ProcessHosts:
    """Processes that listen on addresses of loopback."""

    kind = "processes"
    failure = "its process is killed"
    recovery = "its process is back"

    def __init__(self, names: Sequence[str]) -> None:
        self._addresses = {name: f"127.0.1.{number}" for number, name in enumerate(names, 1)}
        self._port = free_port("127.0.1.1")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for name in self._addresses:
            self.recover(name)
        return self

    def __exit__(self, *details: object) -> None:
        for name in list(self._processes):
            self.fail(name)

    def address(self, name: str) -> str:
        """Return the address at the end of its link."""
        return self._addresses[name]

    def ping_settings(self) -> dict[str, Any]:
        """Return the settings of the ping monitor."""
        return {
            "driver": "ping",
            "interval": 0.1,
            "misses": 3,
            "method": "tcp",
            "tcp_port": self._port,
            "tcp_refused": "down",
        }

    def fail(self, name: str) -> None:
        """Kill the process."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def recover(self, name: str) -> None:
        """Start the process."""
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-S", "-c", _PROCESS, self._addresses[name], str(self._port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        self._processes[name] = process


def make_hosts(names: Sequence[str], *, as_processes: bool = False) -> Hosts:
    """Return namespaces where they can be had, else processes."""
    if as_processes or os.geteuid() != 0:
        return ProcessHosts(names)
    try:
        with Namespaces() as trial:
            trial.add("trial")
    except (RuntimeError, OSError):
        return ProcessHosts(names)
    return NamespaceHosts(names)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
