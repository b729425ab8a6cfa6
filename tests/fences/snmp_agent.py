"""A power distribution unit and a switch, as far as SNMP goes: net-snmp's snmpd with a program of ours behind it.

The outlet and the port are one thing, ``power``; how they behave is said in ``mode``.
"""

import os
import signal
import sys
import time
from pathlib import Path

from doctor.cli.demo.simulator import Simulator
from doctor.testing.fence import Mode
from tests.fences import snmp_answers
from tests.fences.snmp_answers import PORT_NAMES, PORTS

USER, PASSWORD, PRIVACY = "doctor", "correct-horse", "battery-staple"

CONFIGURATION = """\
agentaddress udp:127.0.0.1:{port}
createUser {user} SHA "{password}" AES "{privacy}"
rwuser {user} authPriv
rwcommunity open-sesame 127.0.0.1
{passed}
"""


class SnmpAgent(Simulator):
    """One agent."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.port = port
        self._password = PASSWORD
        self._is_frozen = False
        self.reset()

    def reset(self) -> None:
        """Be as new."""
        for name, content in (("mode", "honest"), ("power", "1"), ("commands", "")):
            (self.folder / name).write_text(content)
        for name in ("lie", "late"):
            (self.folder / name).unlink(missing_ok=True)
        if self._process is not None and (self._password != PASSWORD or self._is_frozen):
            self._password = PASSWORD
            self.restart()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = f"{sys.executable} {snmp_answers.__file__} {self.folder}"
        trees = (
            ".1.3.6.1.4.1.318.1.1.12.3",
            *(f"{PORTS}.{column}" for column in (2, 7, 8)),
            *(f"{PORT_NAMES}.{column}" for column in (1, 18)),
        )
        (self.folder / "snmpd.conf").write_text(
            CONFIGURATION.format(
                port=self.port,
                user=USER,
                password=self._password,
                privacy=PRIVACY,
                passed="\n".join(f"pass_persist -p 1 {tree} {program}" for tree in trees),
            )
        )
        self._launch(
            *("/usr/sbin/snmpd", "-f", "-Le", "-m", "", "-C", "-c", "snmpd.conf"),
            cwd=self.folder,
            env={**os.environ, "SNMP_PERSISTENT_DIR": str(self.folder / f"state-{time.monotonic()}")},
        )
        self._is_frozen = False
        self._wait(lambda: f":{self.port:04X} " in Path("/proc/net/udp").read_text())

    def behave(self, mode: Mode) -> None:
        """Behave like this from now on."""
        assert self._process is not None
        (self.folder / "mode").write_text(mode.name.lower())
        if self._is_frozen:
            self.restart()  # one that goes on has lost the program behind it, for a while
        if mode is Mode.DEAF:
            os.kill(self._process.pid, signal.SIGSTOP)
            self._is_frozen = True
        elif mode is Mode.LOCKED:
            self._password = "somebody-elses"
            self.restart()

    @property
    def is_on(self) -> bool:
        """The truth."""
        return (self.folder / "power").read_text() == "1"

    def put(self, *, on: bool) -> None:
        """Make it so."""
        (self.folder / "power").write_text(str(int(on)))
