"""Programs that have to run on a host: hypervisor, vSwitch, nova-compute. The kernel says at once when one has ended (pidfd)."""

import asyncio
import os
import re
import time
from collections import deque
from pathlib import Path

from doctor.agent.log import log
from doctor.agent.settings import ProcessSettings
from doctor.agent.states import States

PROC = Path("/proc")
LOOK_EVERY = 0.5  # for one that does not run
COME_BACK_WITHIN = 15.0  # seconds after a restart was begun


def find(pattern: re.Pattern[str], pid_file: Path | None, proc: Path = PROC) -> int | None:
    """Return the process: of the file that names it, or the oldest whose command line fits."""
    if pid_file is not None:
        try:
            number = int(pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return number if pattern.search(command_of(number, proc)) else None
    for folder in sorted(
        (one for one in proc.iterdir() if one.name.isdigit()), key=lambda one: int(one.name)
    ):
        number = int(folder.name)
        if number != os.getpid() and pattern.search(command_of(number, proc)):
            return number
    return None


def command_of(number: int, proc: Path = PROC) -> str:
    """Return the command line of a process, "" if there is none or it is only waiting to be buried."""
    try:
        return (
            (proc / str(number) / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode(errors="replace")
            .strip()
        )
    except OSError:
        return ""


class Restarts:
    """Whether a program may be started once more: at most so often within a time."""

    def __init__(self, most: int, within: float) -> None:
        self._within = within
        self._most = most
        self._begun: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        while self._begun and self._begun[0] <= now - self._within:
            self._begun.popleft()
        if len(self._begun) >= self._most:
            return False
        self._begun.append(now)
        return True


class Watched:
    """One program. It is followed as long as the agent runs, and started anew if the settings say how."""

    def __init__(self, settings: ProcessSettings, states: States) -> None:
        self._settings = settings
        self._states = states
        self._pattern = re.compile(settings.pattern)
        self._restarts = Restarts(settings.restarts, settings.within.total_seconds())
        self._restarted = 0

    async def run(self) -> None:
        """Follow it until cancelled."""
        while True:
            number = await asyncio.to_thread(find, self._pattern, self._settings.pid_file)
            if number is None:
                await self._missing("it does not run")
                continue
            try:
                file = os.pidfd_open(number)
            except ProcessLookupError:
                continue
            self._tell(None)
            try:
                await readable(file)
            finally:
                os.close(file)
            await self._missing(f"process {number} has ended")

    async def _missing(self, trouble: str) -> None:
        """Say that it is gone, start it if that is allowed, and wait a little for it."""
        self._tell(trouble)
        if not self._settings.restart:
            await asyncio.sleep(LOOK_EVERY)
            return
        if not self._restarts.take(time.monotonic()):
            log.repeat("process.given_up", name=self._settings.name, restarts=self._restarted)
            await asyncio.sleep(LOOK_EVERY)
            return
        self._restarted += 1
        log.warning("process.restarting", name=self._settings.name, times=self._restarted)
        await self._start()
        end = time.monotonic() + COME_BACK_WITHIN
        while time.monotonic() < end:
            if await asyncio.to_thread(find, self._pattern, self._settings.pid_file) is not None:
                return
            await asyncio.sleep(0.1)

    async def _start(self) -> None:
        try:
            # Nobody waits for its end here: it may be the program itself, which stays.
            await asyncio.create_subprocess_exec(
                *self._settings.restart,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            log.warning("process.not_started", name=self._settings.name, error=str(error))

    def _tell(self, trouble: str | None) -> None:
        settings = self._settings
        self._states.tell(
            settings.event,
            settings.name,
            trouble,
            resource_type=settings.resource_type,
            resource_id=settings.resource_id,
            program=settings.name,
            restarted=self._restarted,
        )


async def readable(file: int) -> None:
    """Wait until a file can be read; a pidfd can when its process has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(file, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(file)
