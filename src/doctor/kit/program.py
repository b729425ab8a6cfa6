"""Runs a program that may hang, ignore signals, leave children behind or talk without end.

What it is told goes in on standard input, for arguments can be read by every user of the machine; its environment is
empty but for the path and the language, so that nothing of Doctor's leaks into it.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

from doctor.kit.deadline import Deadline

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": SEARCHED, "LC_ALL": "C.UTF-8"}
MOST_OUTPUT = 64 * 1024  # bytes of each stream that are kept; the rest is read and thrown away
GRACE = 0.2  # seconds, within the deadline, in which a program may end by itself when it is asked to
LEAST = 2 * GRACE  # seconds: with less it is not worth to start one
# Seconds for which the output of a program that has ended is waited for: a child may hold the pipe.
LAST_WORDS = 0.2
MOST_ROUNDS = 10  # in which is looked for what an earlier process has left: it may start more meanwhile


class Finished(NamedTuple):
    """How a program ended."""

    code: int
    output: str
    errors: str


def find(program: str) -> str | None:
    """Return where a program is, or None."""
    return shutil.which(program, path=SEARCHED)


async def run(
    arguments: Sequence[str],
    deadline: Deadline,
    *,
    told: bytes = b"",
    environment: Mapping[str, str] = ENVIRONMENT,
    grace: float = GRACE,
    keeps_last: bool = False,
) -> Finished:
    """Run a program to its end.

    ``grace`` is for how many seconds, within the deadline, it is asked to end before it is killed. Of much output the first
    is kept, or the last.

    Raises:
        TimeoutError: it had not ended; it has been killed, with all that it started.
        OSError: it could not be started.
    """
    if deadline.has_passed:
        raise TimeoutError
    made = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Conversation(keeps_last=keeps_last),
        *arguments,
        env=dict(environment),
        cwd="/",
        start_new_session=True,
    )
    transport, conversation = made
    try:
        conversation.tell(told)
        async with asyncio.timeout(max(deadline.left - grace, 0)):
            await conversation.ended.wait()
    except BaseException:
        await _end(transport.get_pid(), conversation.ended, grace)
        raise
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await conversation.silent.wait()
        code = transport.get_returncode()
        assert code is not None
        return Finished(code, conversation.text(1), conversation.text(2))
    finally:
        transport.close()


class _Conversation(asyncio.SubprocessProtocol):
    """Keeps the first, or the last, of what a program says and lets the rest go."""

    def __init__(self, *, keeps_last: bool) -> None:
        self._keeps_last = keeps_last
        self.ended = asyncio.Event()
        self.silent = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._said = {1: bytearray(), 2: bytearray()}
        self._open = {1, 2}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def tell(self, told: bytes) -> None:
        assert self._transport is not None
        pipe = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        pipe.write(told)
        pipe.close()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        said = self._said[fd]
        if self._keeps_last:
            said += data
            del said[:-MOST_OUTPUT]
        else:
            said += data[: MOST_OUTPUT - len(said)]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.silent.set()

    def process_exited(self) -> None:
        self.ended.set()

    def text(self, fd: int) -> str:
        return self._said[fd].decode(errors="replace")


async def _end(pid: int, ended: asyncio.Event, grace: float) -> None:
    """Ask a program to end, and kill it and all its offspring when it does not."""
    if ended.is_set():
        return
    family = [pid, *_offspring(pid)]  # looked up while the parents live: orphans cannot be found any more
    handles = [handle for one in family if (handle := _handle(one)) is not None]
    try:
        for handle in handles:
            _send(handle, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await ended.wait()
        if not ended.is_set():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
        for handle in handles:
            _send(handle, signal.SIGKILL)
    finally:
        for handle in handles:
            os.close(handle)


def end_former(marker: str) -> None:
    """Kill what an earlier process of ours has left running: all that have this in their environment."""
    for _ in range(MOST_ROUNDS):
        found = [one for one in _processes() if _is_marked(one, marker.encode())]
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _processes() -> list[int]:
    others = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal())
    return [pid for pid in others if pid != os.getpid()]


def _is_marked(pid: int, marker: bytes) -> bool:
    with suppress(OSError):  # somebody else's, or it has ended: then its environment is empty
        return marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _handle(pid: int) -> int | None:
    """Return what stands for this process, and for no other that gets its number later."""
    with suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _send(handle: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(handle, number)


def _offspring(parent: int) -> Iterator[int]:
    """Yield children, their children and so on, whatever group or session they went to."""
    try:
        tasks = list(Path(f"/proc/{parent}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        with suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _offspring(child)
