"""A BMC: OpenIPMI's ipmi_sim, which asks a small script what the chassis does.

The script reads from a file how it is to behave. What it switches is a file too, ``power``: the truth; ``commands`` has
every command that reached the chassis. A script ``switched``, if there is one, is called when the power really changes.
"""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from doctor.testing.fence import Mode
from tests.fences.rig import SimulatorRig
from tests.fences.simulator import Simulator

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
        power:lying) echo "$2" > lie ;;
        power:slow) (sleep 0.7; echo "$2" > power.new; mv power.new power) > /dev/null 2>&1 & ;;
        power:contrary) echo "$2" > power; exit 1 ;;
        power:*) echo "$2" > power; [ ! -x switched ] || ./switched "$2" ;;
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
        (folder / "mode").write_text("honest")
        (folder / "power").write_text("1\n")
        (folder / "commands").touch()
        (folder / "bmc.emu").write_text(EMULATION)
        self.set_password(PASSWORD, guid)
        chassis = folder / "chassis.sh"
        chassis.write_text(CHASSIS.format(folder=folder))
        chassis.chmod(0o755)

    def set_password(self, password: str, guid: UUID = GUID) -> None:
        """Let in who knows this password, from the next start on."""
        (self.folder / "lan.conf").write_text(
            LAN.format(port=self.port, folder=self.folder, guid=guid.hex, user=USER, password=password)
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self.folder / "state").mkdir(exist_ok=True)
        self._launch("ipmi_sim", "-c", "lan.conf", "-f", "bmc.emu", "-s", "state", cwd=self.folder)
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

    def behave(self, mode: Mode) -> None:
        """Behave like this from now on."""
        self.thaw()
        (self.folder / "mode").write_text(mode.name.lower())
        if mode is Mode.DEAF:
            self.freeze()
        elif mode is Mode.LOCKED:
            self.set_password("somebody-elses")
            self.restart()

    @property
    def is_on(self) -> bool:
        """The truth."""
        return (self.folder / "power").read_text().strip() == "1"

    def put(self, *, on: bool) -> None:
        """Press the button of the host."""
        (self.folder / "power").write_text(f"{int(on)}\n")


class BmcRig(SimulatorRig):
    """What asks a BMC, in whatever way."""

    device: Bmc
    secret = PASSWORD
    harmless = frozenset({"power 0"})


# Get Channel Authentication Capabilities, in an IPMI 1.5 packet without a session.
AUTH_CAPABILITIES = bytes.fromhex("0600ff07000000000000000000092018c88100388e04b5")


def free_udp_port() -> int:
    """Return a UDP port of loopback that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
