"""A hypervisor: a real libvirtd with libvirt's test driver, whose machines are only played."""

import os
import subprocess
import time
from pathlib import Path
from typing import Self

DOMAIN = "test"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


class Hypervisor:
    """One libvirtd on a socket of its own; ``test`` is the machine that it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "libvirtd.conf").write_text(f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\n')
        self.uri = f"test+unix:///default?socket={folder}/libvirt-sock"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it. A shell of virsh stays connected, for the played machines go with the last connection."""
        names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        own = dict.fromkeys((*names, "LIBVIRT_DRIVER_DIR"), str(self.folder))  # with no other driver to load
        with (self.folder / "log").open("ab") as log:
            daemon = subprocess.Popen(
                ["/usr/sbin/libvirtd", "-f", f"{self.folder}/libvirtd.conf"],
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes = [daemon]
        end = time.monotonic() + 15
        while not self.ask("domstate").startswith("running"):
            if time.monotonic() > end or daemon.poll() is not None:
                raise RuntimeError(f"libvirtd does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        self._processes.append(
            subprocess.Popen(
                ["virsh", "--connect", self.uri],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        time.sleep(0.2)

    def ask(self, command: str) -> str:
        """Ask past the fence."""
        asked = subprocess.run(
            ["virsh", "-q", "-c", self.uri, command, DOMAIN], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip()

    @property
    def daemon(self) -> int:
        """The process of libvirtd."""
        return self._processes[0].pid

    def stop(self) -> None:
        """End it."""
        for process in reversed(self._processes):
            process.kill()
            process.communicate()
        self._processes = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()
