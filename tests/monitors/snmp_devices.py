"""Devices that speak SNMP, played by the programs of net-snmp, each at an address of loopback of its own."""

import os
import subprocess
from pathlib import Path

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
