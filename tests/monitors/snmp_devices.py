"""Devices that speak SNMP, played by the programs of net-snmp, each at an address of loopback of its own."""

import os
import subprocess
import sys
from pathlib import Path

from doctor.cli.demo.simulator import Program
from tests.monitors import snmp_rows

LINK_DOWN, LINK_UP = "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.6.3.1.1.5.4"
IF = "1.3.6.1.2.1.2.2.1"
USER, PASSWORD, PRIVACY = "doctor", "authpass12", "privpass12"

COMMUNITY = ("-v2c", "-c", "public")
SIGNED = ("-v3", "-u", USER, "-a", "SHA", "-A", PASSWORD, "-x", "AES", "-X", PRIVACY, "-l", "authPriv")


def secrets(folder: Path) -> dict[str, str]:
    """Write the passwords of the user to files, and return the settings that name them."""
    found = {}
    for name, text in (("auth_file", PASSWORD), ("privacy_file", PRIVACY)):
        path = folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        found[name] = str(path)
    return found


def tell(
    port: int,
    trap: str,
    *bindings: str,
    source: str,
    program: str = "snmptrap",
    version: tuple[str, ...] = COMMUNITY,
    seconds: float = 10,
) -> int:
    """Have a trap or an inform sent, and return how that went: 0 is well."""
    head = ["", trap] if version[0] != "-v1" else ["1.3.6.1.4.1.8072.3.2.10", "", "2", "0", ""]
    done = subprocess.run(
        [
            program,
            *version,
            "-m",
            "",
            f"--clientaddr={source}",
            "-r",
            "1",
            f"127.0.0.1:{port}",
            *head,
            *bindings,
        ],
        env={**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": "/nonexistent", "SNMPCONFPATH": "/nonexistent"},
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode


def port_is(number: int, state: int, name: str = "") -> list[str]:
    """Return the bindings of linkDown and linkUp, as most switches send them."""
    said = [
        f"{IF}.1.{number}",
        "i",
        str(number),
        f"{IF}.7.{number}",
        "i",
        "1",
        f"{IF}.8.{number}",
        "i",
        str(state),
    ]
    return [*said, f"1.3.6.1.2.1.31.1.1.1.1.{number}", "s", name] if name else said


CONFIGURATION = """\
agentaddress udp:{address}:{port}
createUser {user} SHA "{password}" AES "{privacy}"
rouser {user} authPriv
rocommunity public
{passed}
"""
TREES = (
    *(f"{IF}.{column}" for column in (2, 7, 8)),
    "1.3.6.1.2.1.31.1.1.1.1",
    "1.3.6.1.2.1.33.1",
    "1.3.6.1.2.1.47.1.1.1.1.7",
    "1.3.6.1.2.1.99.1.1.1",
    "1.3.6.1.4.1.9.9.13.1",
    "1.3.6.1.4.1.6574.3.1.1",
)


class SnmpDevice(Program):
    """net-snmp's snmpd with rows of ours behind it: a switch, a PDU, a disk array."""

    def __init__(self, folder: Path, port: int, address: str = "127.0.0.1", password: str = PASSWORD) -> None:
        super().__init__(folder)
        self.port = port
        self.address = address
        self.password = password
        self.rows: dict[str, tuple[str, str | int]] = {}
        self.write()

    def ports(self, *states: int, admin: int = 1) -> None:
        """Have so many ports, each in a state."""
        for number, state in enumerate(states, 1):
            self.rows[f"{IF}.7.{number}"] = ("integer", admin)
            self.rows[f"{IF}.8.{number}"] = ("integer", state)
            self.rows[f"1.3.6.1.2.1.31.1.1.1.1.{number}"] = ("string", f"Eth1/{number}")
        self.write()

    def write(self) -> None:
        """Have the rows as they are now."""
        lines = [f"{name} {kind} {value}\n" for name, (kind, value) in self.rows.items()]
        new = self.folder / "rows.new"
        new.write_text("".join(lines))
        new.rename(self.folder / "rows")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = f"{sys.executable} {snmp_rows.__file__} {self.folder / 'rows'}"
        (self.folder / "snmpd.conf").write_text(
            CONFIGURATION.format(
                address=self.address,
                port=self.port,
                user=USER,
                password=self.password,
                privacy=PRIVACY,
                passed="\n".join(f"pass_persist -p 1 .{tree} {program}" for tree in TREES),
            )
        )
        self._launch(
            *("/usr/sbin/snmpd", "-f", "-Le", "-m", "", "-C", "-c", "snmpd.conf"),
            cwd=self.folder,
            env={**os.environ, "SNMP_PERSISTENT_DIR": str(self.folder / "state")},
        )
        self._wait(lambda: f":{self.port:04X} " in Path("/proc/net/udp").read_text())
