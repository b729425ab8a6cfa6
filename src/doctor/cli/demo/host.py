"""A host that can be frozen and cut off, as a group of processes of its own: ``host.py FOLDER``.

It answers whoever knocks at its port, shows on the shared storage that it lives, and runs the machines that are placed on
it there: each is a process, `machine.py`. Started by path and with the standard library only, so that it is there at once.
Its end is for others to see to: a frozen one could not (`guard.py`).
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

BEAT = 0.1  # seconds between two signs of life on the storage, and two looks at what is placed here
PYTHON = (sys.executable, "-I", "-S")


def answer(listener: socket.socket) -> None:
    """Let who knocks see that somebody is here."""
    while True:
        with suppress(OSError):
            listener.accept()[0].close()


def run(settings: dict[str, Any]) -> None:
    """Run what is placed here, for ever."""
    storage, name = Path(settings["storage"]), settings["name"]
    machines: dict[str, subprocess.Popen[bytes]] = {}
    while True:
        (storage / "hosts" / name).touch()
        placed = json.loads((storage / "placements").read_text())
        here = {machine for machine, host in placed.items() if host == name}
        for machine in machines.keys() - here:
            gone = machines.pop(machine)
            gone.kill()
            gone.wait()
        for machine in here:
            if machine not in machines or machines[machine].poll() is not None:
                words = (
                    str(Path(__file__).with_name("machine.py")),
                    str(storage / "machines" / machine),
                    name,
                )
                machines[machine] = subprocess.Popen([*PYTHON, *words])  # noqa: S603 - our own program
        time.sleep(BEAT)


def is_locked(power: IO[str]) -> bool:
    """Lock the file that shows that a host runs; who only looks holds it for a moment."""
    for _ in range(5):
        with suppress(BlockingIOError):
            fcntl.flock(power, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(BEAT / 5)
    return False


def main(folder: Path) -> None:
    """Be the host, unless it runs already."""
    settings = json.loads((folder / "host.json").read_text())
    with suppress(PermissionError):  # it leads a group already
        os.setsid()
    power = (folder / "power").open("a")
    if not is_locked(power):
        return
    # Nobody queues up at a host that is frozen: who knocks then is not answered.
    listener = socket.create_server((settings["address"], settings["port"]), backlog=0)
    threading.Thread(target=answer, args=[listener], daemon=True).start()
    written = folder / "pid.new"
    written.write_text(str(os.getpid()))
    written.rename(folder / "pid")
    run(settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
