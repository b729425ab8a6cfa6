"""Sees to it that nothing is left of a site, however its end came: ``python -m doctor.cli.demo.guard FOLDER MARK``.

Who is killed cannot clean up after himself. A signal on the death of a parent would not do: the hosts are started by scripts of
BMCs, which end at once, and what is frozen cannot look for itself. So all that is started at a site has a mark in its
environment, as has what that starts in turn. The guard, in a session of its own, waits for the end of its input, which comes
when who set up the site closes it or is no more. Then it kills what bears the mark, and removes the folder.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from doctor.cli.demo.netns import remove_leftovers

MARK = "DOCTOR_SITE_"
NUMBERS = count()  # of the sites of this process
LOOKS = 2  # in a row that find nobody: who is just being started bears no mark yet
PAUSE = 0.1
PATIENCE = 10.0  # seconds; what is deep in the kernel dies when it comes out


@contextmanager
def guarded_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder for a site. With it ends, surely, all that was started meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    mark = f"{MARK}{os.getpid()}_{next(NUMBERS)}"
    guard = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "doctor.cli.demo.guard", str(folder), mark],
        # One guard must not fall with what another one ends.
        env={name: value for name, value in os.environ.items() if not name.startswith(MARK)},
        stdin=subprocess.PIPE,  # the other end is ours alone: no process inherits it
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of ctrl-C
    )
    assert guard.stdin is not None
    os.environ[mark] = "1"
    try:
        yield folder
    finally:
        del os.environ[mark]
        guard.stdin.close()
        guard.wait()


def main(folder: Path, mark: str) -> None:
    """Be the guard."""
    sys.stdin.buffer.read()
    end, calm = time.monotonic() + PATIENCE, 0
    while calm < LOOKS and time.monotonic() < end:
        calm = 0 if kill(mark) else calm + 1
        time.sleep(PAUSE)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(
        RuntimeError
    ):  # there is no `ip`, or it is not for us; where many come and go it takes its time
        remove_leftovers()


def kill(mark: str) -> bool:
    """Kill all processes that bear a mark, frozen or not, and tell whether there were any."""
    found = False
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # it has ended, or is somebody else's
                found |= _kill_bearer(process, f"{mark}=".encode())
    return found


def _kill_bearer(process: Path, mark: bytes) -> bool:
    handle = os.pidfd_open(int(process.name))  # its number may be another's by the time it is killed
    try:
        is_marked = any(one.startswith(mark) for one in (process / "environ").read_bytes().split(b"\0"))
        if is_marked:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        return is_marked
    finally:
        os.close(handle)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
