"""A BMC that speaks Redfish: the emulator of sushy-tools, whose fake driver asks our files what the host does.

Its temperatures never change; what they are is in ``readings``.
The emulator's own fake driver takes 1 to 11 seconds for everything, by chance; what this one takes is said in ``mode``.
A program ``switched``, if there is one, is called when the power really changes, and ``lied`` when it only says so.
As a program: ``python -m tests.fences.redfish_emulator FOLDER PORT``.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from doctor.cli.demo.simulator import Simulator
from doctor.testing.fence import Mode
from doctor.testing.running import free_port

USER, PASSWORD = "doctor", "correct-horse"
UUID = "a1234567-89ab-cdef-a123-456789abcdef"
ROOT = Path(__file__).parents[2]


class RedfishEmulator(Simulator):
    """One service, with TLS and a password."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.reset()
        self.certificate = folder / "certificate.pem"
        command = "openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        command += f"-keyout {folder}/key.pem -out {self.certificate}"
        subprocess.run(
            [*command.split(), "-subj", "/CN=bmc", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True,
            capture_output=True,
        )

    def set_password(self, password: str) -> None:
        """Let in who knows this password."""
        import bcrypt

        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        (self.folder / "users").write_text(f"{USER}:{hashed}\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._launch(
            *(sys.executable, "-m", "tests.fences.redfish_emulator", str(self.folder), str(self.port)),
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )

        def answers() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        self._wait(answers)

    def reset(self) -> None:
        """Be as new."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)
        (self.folder / "mode").write_text("honest")
        (self.folder / "power").write_text("On")
        (self.folder / "commands").write_text("")
        (self.folder / "lie").unlink(missing_ok=True)
        (self.folder / "readings").write_text("{}")
        self.set_password(PASSWORD)

    def behave(self, mode: Mode) -> None:
        """Behave like this from now on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
        (self.folder / "mode").write_text(mode.name.lower())
        if mode is Mode.DEAF:
            os.kill(self._process.pid, signal.SIGSTOP)
        elif mode is Mode.LOCKED:
            self.set_password("somebody-elses")

    @property
    def is_on(self) -> bool:
        """The truth."""
        return (self.folder / "power").read_text() == "On"

    def measure(self, name: str, celsius: float) -> None:
        """Let the sensors of a name read so much."""
        (self.folder / "readings.new").write_text(json.dumps({name: celsius}))
        (self.folder / "readings.new").replace(self.folder / "readings")

    def put(self, *, on: bool) -> None:
        """Press the button of the host."""
        (self.folder / "power").write_text("On" if on else "Off")


def main(folder: Path, port: int) -> None:
    """Be the emulator."""
    from sushy_tools import error
    from sushy_tools.emulator.main import app
    from sushy_tools.emulator.resources.systems.fakedriver import FakeDriver

    coming: list[tuple[threading.Timer, str]] = []

    def call(program: str, *words: str) -> None:
        if (folder / program).exists():
            subprocess.run([folder / program, *words], check=False, capture_output=True)

    def switch(wanted: str) -> None:
        call("switched", str(int(wanted == "On")))
        (folder / "power").write_text(wanted)

    def get_power_state(self: Any, identity: str) -> str:
        self._get(identity)
        if coming and coming[0][0].is_alive():
            return f"Powering{coming[0][1]}"
        lie = folder / "lie"
        return (lie if lie.exists() else folder / "power").read_text()

    def set_power_state(self: Any, identity: str, state: str) -> None:
        self._get(identity)
        with (folder / "commands").open("a") as commands:
            commands.write(f"{state}\n")
        wanted = "On" if state in ("On", "ForceOn") else "Off"
        match (folder / "mode").read_text():
            case "stuck":
                pass
            case "lying":
                (folder / "lie").write_text(wanted)
                call("lied")
            case "slow":
                coming[:] = [(threading.Timer(0.7, switch, [wanted]), wanted)]
                coming[0][0].start()
            case "contrary":
                switch(wanted)
                raise error.FishyError("it does not do that")
            case _:
                switch(wanted)

    def measured(response: Any) -> Any:
        document = response.get_json(silent=True)  # not all that it calls JSON is
        if isinstance(document, dict) and "Temperatures" in document:
            readings = json.loads((folder / "readings").read_text())
            for one in document["Temperatures"]:
                one["ReadingCelsius"] = readings.get(one["Name"], one["ReadingCelsius"])
            response.set_data(json.dumps(document))
        return response

    app.after_request(measured)
    FakeDriver.get_power_state = get_power_state
    FakeDriver.set_power_state = set_power_state
    app.configure(
        extra_config={
            "SUSHY_EMULATOR_FAKE_DRIVER": True,
            "SUSHY_EMULATOR_STATE_DIR": str(folder),
            "SUSHY_EMULATOR_AUTH_FILE": str(folder / "users"),
            "SUSHY_EMULATOR_FAKE_SYSTEMS": [
                {"uuid": UUID, "name": "compute-1", "power_state": "On", "nics": []},
            ],
        }
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    app.run(host="127.0.0.1", port=port, ssl_context=context, threaded=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
