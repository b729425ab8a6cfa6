"""A power distribution unit and a switch, as far as SNMP goes: net-snmp's snmpd with a program of ours behind it.

The outlet and the port are one thing, ``power``; how they behave is said in ``mode``. As a program it is what snmpd
asks: ``python snmp_agent.py FOLDER``, by its pass_persist protocol.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

USER, PASSWORD, PRIVACY = "doctor", "correct-horse", "battery-staple"
OUTLET, LABEL, PORT = "7", "compute-1", "ge-0/0/7"

OUTLET_STATUS, OUTLET_CONTROL = ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.7", ".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.7"
OUTLET_NAME = ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.2.7"
PORTS = ".1.3.6.1.2.1.2.2.1"
PORT_NAMES = ".1.3.6.1.2.1.31.1.1.1"
ADMIN, OPERATION = f"{PORTS}.7.42", f"{PORTS}.8.42"

CONFIGURATION = """\
agentaddress udp:127.0.0.1:{port}
createUser {user} SHA "{password}" AES "{privacy}"
rwuser {user} authPriv
rwcommunity open-sesame 127.0.0.1
{passed}
"""


class SnmpAgent:
    """One agent on loopback, as a process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._password = PASSWORD
        self._process: subprocess.Popen[bytes] | None = None
        self._is_frozen = False
        folder.mkdir(parents=True, exist_ok=True)
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
        program = f"{sys.executable} {Path(__file__)} {self.folder}"
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
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/snmpd", "-f", "-Le", "-m", "", "-C", "-c", "snmpd.conf"],
                cwd=self.folder,
                env={**os.environ, "SNMP_PERSISTENT_DIR": str(self.folder / f"state-{time.monotonic()}")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 10
        while time.monotonic() < end and self._process.poll() is None:
            if f":{self.port:04X} " in Path("/proc/net/udp").read_text():
                return
            time.sleep(0.02)
        raise RuntimeError(f"snmpd does not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    # --- what a test says and sees ---

    def restart(self) -> None:
        """Start it anew, with another engine."""
        self.stop()
        self._is_frozen = False
        self.start()

    def behave(self, mode: str) -> None:
        """Behave like this from now on."""
        assert self._process is not None
        (self.folder / "mode").write_text(mode)
        if self._is_frozen:
            self.restart()  # one that goes on has lost the program behind it, for a while
        if mode == "deaf":
            os.kill(self._process.pid, signal.SIGSTOP)
            self._is_frozen = True
        elif mode == "locked":
            self._password = "somebody-elses"
            self.restart()

    @property
    def is_on(self) -> bool:
        """The truth."""
        return (self.folder / "power").read_text() == "1"

    def put(self, *, on: bool) -> None:
        """Make it so."""
        (self.folder / "power").write_text(str(int(on)))

    @property
    def commands(self) -> list[str]:
        """What the agent was told, in order: object and value."""
        return (self.folder / "commands").read_text().splitlines()


def serve(folder: Path) -> None:
    """Answer snmpd, which asks by lines."""
    values: dict[str, tuple[str, str]] = {
        OUTLET_NAME: ("string", LABEL),
        f"{PORTS}.2.41": ("string", "ge-0/0/6"),
        f"{PORTS}.2.42": ("string", PORT),
        f"{PORT_NAMES}.1.41": ("string", "ge-0/0/6"),
        f"{PORT_NAMES}.1.42": ("string", PORT),
        f"{PORT_NAMES}.18.42": ("string", LABEL),
    }

    def value_of(name: str) -> tuple[str, str] | None:
        if name in (OUTLET_STATUS, OUTLET_CONTROL, ADMIN, OPERATION):
            lie, late = folder / "lie", folder / "late"
            if late.exists() and float(late.read_text().split()[0]) < time.time():
                (folder / "power").write_text(late.read_text().split()[1])
                late.unlink()
            is_on = (lie if lie.exists() else folder / "power").read_text() == "1"
            return "integer", "1" if is_on else "2"
        return values.get(name)

    names = sorted(
        (OUTLET_STATUS, OUTLET_CONTROL, ADMIN, OPERATION, *values),
        key=lambda name: [int(part) for part in name.split(".")[1:]],
    )

    def after(name: str) -> str | None:
        parts = [int(part) for part in name.split(".")[1:]]
        return next((one for one in names if [int(part) for part in one.split(".")[1:]] > parts), None)

    def change(name: str, value: str) -> str:
        with (folder / "commands").open("a") as commands:
            commands.write(f"{name} {value}\n")
        state = "1" if value == "1" else "0"
        mode = (folder / "mode").read_text()
        if mode == "slow":
            (folder / "late").write_text(
                f"{time.time() + 0.7} {state}"
            )  # snmpd may end this process meanwhile
        elif mode == "lying":
            (folder / "lie").write_text(state)
        elif mode != "stuck":
            (folder / "power").write_text(state)
        return "not-writable" if mode == "contrary" else "DONE"

    while line := sys.stdin.readline():
        match line.strip():
            case "PING":
                answer = "PONG"
            case "set":
                name, value = sys.stdin.readline().strip(), sys.stdin.readline().split()[-1]
                answer = change(name, value) if name in (OUTLET_CONTROL, ADMIN) else "not-writable"
            case "get" | "getnext" as asked:
                wanted: str | None = sys.stdin.readline().strip()
                if asked == "getnext":
                    wanted = after(wanted or "")
                found = value_of(wanted or "")
                answer = f"{wanted}\n{found[0]}\n{found[1]}" if found else "NONE"
            case _:
                answer = "NONE"
        print(answer, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
