"""Hosts that can be frozen, and whose power a BMC switches: see `host.py` for what runs on one."""

import fcntl
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from doctor.cli.demo import host
from doctor.cli.demo.storage import SharedStorage

SWITCH = """\
#!/bin/sh
cd {folder} || exit 1
if [ "$1" = 1 ]; then
  {command} < /dev/null > /dev/null 2>> log &
elif pid=$(cat pid); then
  touch cut
  rm pid
  kill -s KILL -- "-$pid"
fi
"""
SIGNAL = """\
#!/bin/sh
kill -s {signal} -- "-$(cat {folder}/pid)"
"""


class PoweredHost:
    """One host, at first without power. ``command`` runs another command on it, such as in its namespace.

    ``switch`` is a program that cuts its power (0) or gives it back (1), ``wake`` one that lets it go on if it is frozen.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        place: tuple[str, int],
        storage: SharedStorage,
        command: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.address, self.port = place
        self._folder = folder
        folder.mkdir(parents=True)
        settings = {
            "name": name,
            "address": self.address,
            "port": self.port,
            "storage": str(storage.folder),
        }
        (folder / "host.json").write_text(json.dumps(settings))
        words = shlex.join([*command, *host.PYTHON, host.__file__, str(folder)])
        self.switch = self._program("switch", SWITCH.format(folder=folder, command=words))
        self.wake = self._program("thaw", SIGNAL.format(folder=folder, signal="CONT"))
        self._program("freeze", SIGNAL.format(folder=folder, signal="STOP"))

    def _program(self, name: str, text: str) -> Path:
        file = self._folder / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def put(self, *, on: bool) -> None:
        """Cut its power, or give it back."""
        subprocess.run([self.switch, str(int(on))], check=False, capture_output=True)  # noqa: S603 - our own program

    def freeze(self) -> None:
        """Let nothing on it run, although all of it is there."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.killpg(int((self._folder / "pid").read_text()), number)

    @property
    def cut_at(self) -> float:
        """Return when what ran on it was killed last, 0 if it never was."""
        cut = self._folder / "cut"
        return cut.stat().st_mtime if cut.exists() else 0.0

    @property
    def has_power(self) -> bool:
        """Tell whether its processes are there, frozen or not."""
        with (self._folder / "power").open("a") as power:
            try:
                fcntl.flock(power, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
