"""A BMC: OpenIPMI's ipmi_sim, which asks a small script what the chassis does.

The script reads from the file ``mode`` how it is to behave; what it was told is in ``commands``. What it switches is a file
too, ``power``: the truth. A program ``switched``, if there is one, is called before that is written: it is what really
cuts the power, or gives it back. ``lied``, if there is one, is called when the BMC lies.
"""

import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from doctor.cli.demo.simulator import Simulator

PROGRAM, PACKAGE = "ipmi_sim", "openipmi"
USER, PASSWORD = "doctor", "correct-horse"
GUID = UUID("a1234567-89ab-cdef-a123-456789abcdef")

LAN = """\
name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
  endlan
  chassis_control "{folder}/chassis.sh bmc"
  user 1 true "" "nobody" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" operator 10 none md2 md5 straight
"""

EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""

# The simulator calls it for each question, `bmc get power` or `bmc set power 0`, and waits for it.
CHASSIS = """\
#!/bin/sh
cd {folder} || exit 1
shift
operation=$1
shift
switch() {{
  [ ! -x switched ] || ./switched "$1" > /dev/null 2>&1
  echo "$1" > power.new
  mv power.new power
}}
case $operation in
  get)
    while [ -n "$1" ]; do
      case $1 in
        power) [ -f lie ] && echo "power:$(cat lie)" || echo "power:$(cat power)" ;;
        boot) echo boot:default ;;
        *) exit 1 ;;
      esac
      shift
    done ;;
  set)
    while [ -n "$1" ]; do
      echo "$1 $2" >> commands
      case $1:$(cat mode) in
        power:stuck) ;;
        power:lying) echo "$2" > lie; [ ! -x lied ] || ./lied > /dev/null 2>&1 ;;
        power:slow) (sleep 0.7; switch "$2") > /dev/null 2>&1 & ;;
        power:contrary) switch "$2"; exit 1 ;;
        power:*) switch "$2" ;;
      esac
      shift 2
    done ;;
  *) exit 1 ;;
esac
"""


class Bmc(Simulator):
    """One BMC."""

    def __init__(self, folder: Path, guid: UUID = GUID) -> None:
        super().__init__(folder)
        self.port = free_udp_port()
        self.guid = guid
        (folder / "mode").write_text("honest")
        (folder / "power").write_text("1\n")
        (folder / "commands").touch()
        (folder / "bmc.emu").write_text(EMULATION)
        self.set_password(PASSWORD)
        chassis = folder / "chassis.sh"
        chassis.write_text(CHASSIS.format(folder=folder))
        chassis.chmod(0o755)

    def set_password(self, password: str) -> None:
        """Let in who knows this password, from the next start on."""
        (self.folder / "lan.conf").write_text(
            LAN.format(port=self.port, folder=self.folder, guid=self.guid.hex, user=USER, password=password)
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self.folder / "state").mkdir(exist_ok=True)
        self._launch(PROGRAM, "-c", "lan.conf", "-f", "bmc.emu", "-s", "state", cwd=self.folder)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.05)

            def answers() -> bool:
                asking.sendto(AUTH_CAPABILITIES, ("127.0.0.1", self.port))
                with suppress(TimeoutError, ConnectionRefusedError):
                    return bool(asking.recv(100))
                return False

            self._wait(answers)

    def freeze(self) -> None:
        """Let it hang."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def is_on(self) -> bool:
        """The truth."""
        return (self.folder / "power").read_text().strip() == "1"

    def put(self, *, on: bool) -> None:
        """Press the button of the host."""
        (self.folder / "power").write_text(f"{int(on)}\n")


# Get Channel Authentication Capabilities, in an IPMI 1.5 packet without a session.
AUTH_CAPABILITIES = bytes.fromhex("0600ff07000000000000000000092018c88100388e04b5")


def is_installed() -> bool:
    """Tell whether there is a simulator on this machine."""
    return shutil.which(PROGRAM) is not None


def free_udp_port() -> int:
    """Return a UDP port of loopback that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
