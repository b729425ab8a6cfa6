"""The machines of a libvirt hypervisor: those that crash or end without having been told to.

`virsh event` tells what libvirt knows. Beside that the kernel is asked (pidfd) for the processes of the machines: it says that
one has ended in milliseconds, where libvirt waits until the process is buried.
"""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from doctor.agent.log import log
from doctor.agent.settings import GuestSettings
from doctor.agent.states import States

VIRSH = "virsh"
VIRTUAL_MACHINE = "virtual machine"
DOWN, ERROR = "compute.instance.down", "compute.instance.error"
EVENT = re.compile(r"event '(?P<event>[\w-]+)' for domain '(?P<domain>[^']+)'(: (?P<detail>.*))?$")
LISTED = re.compile(r"^(?P<uuid>[0-9a-f-]{36})\s+(?P<name>.+)$")
WAIT_FOR_WORD = 0.1  # seconds in which libvirt has time to say that the end of a process was wanted
TOLD_FOR = 60.0  # seconds for which a shutdown that has begun explains the end of the process
LOOK_EVERY = 1.0
AGAIN_AFTER = 5.0
ANSWER_WITHIN = 10.0


class Seen(NamedTuple):
    """What an event of libvirt means for a machine. ``trouble`` None: it is well; ``kind`` "" says only that it ends on purpose."""

    domain: str
    kind: str
    trouble: str | None


def meaning(line: str, *, tell_stopped: bool = False) -> Iterator[Seen]:
    """Read a line of `virsh event`, with or without the time before it; one that says nothing of interest gives nothing."""
    match = EVENT.search(line.strip())
    if match is None:
        return
    domain, detail = match["domain"], (match["detail"] or "").strip()
    words = detail.lower().split()
    match match["event"], words[:1], words[1:2]:
        case "lifecycle", ["started" | "resumed"], _:
            yield Seen(domain, DOWN, None)
            yield Seen(domain, ERROR, None)
        case "lifecycle", ["crashed"], _:
            yield Seen(domain, DOWN, f"the guest has crashed: {detail}")
        case "lifecycle", ["stopped"], ["failed" | "crashed"]:
            yield Seen(domain, DOWN, f"it has ended by itself: {detail}")
        case "lifecycle", ["stopped" | "shutdown"], _ if tell_stopped and words[0] == "stopped":
            yield Seen(domain, DOWN, f"it was stopped: {detail}")
        case "lifecycle", ["stopped" | "shutdown"], _:
            yield Seen(domain, "", None)
        case "lifecycle", ["suspended"], ["i/o" | "ioerror" | "io-error"]:
            yield Seen(domain, ERROR, f"it was suspended: {detail}")
        case "watchdog", _, _:
            yield Seen(domain, ERROR, f"its watchdog has fired: {detail}")
        case "io-error" | "io-error-reason", _, _:
            yield Seen(domain, ERROR, f"a disk fails it: {detail}")
        case "memory-failure", _, _:
            yield Seen(domain, ERROR, f"its memory has failed: {detail}")
        case _:
            return


class Guests:
    """Follows the machines of one hypervisor."""

    def __init__(self, settings: GuestSettings, states: States) -> None:
        self._settings = settings
        self._states = states
        self._uuids: dict[str, str] = {}
        self._ending: dict[str, float] = {}
        self._watched: dict[str, tuple[int, int]] = {}  # by name: process and pidfd
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow them until cancelled; a hypervisor that goes away is asked again."""
        watcher = asyncio.create_task(self._follow_processes())
        try:
            while True:
                try:
                    await self._follow_events()
                except OSError as error:
                    log.repeat("guests.not_seen", error=str(error))
                await asyncio.sleep(AGAIN_AFTER)
        finally:
            watcher.cancel()
            for _, file in self._watched.values():
                asyncio.get_running_loop().remove_reader(file)
                os.close(file)

    async def _follow_events(self) -> None:
        await self._list()
        command = ("stdbuf", "-oL", VIRSH, "--connect", self._settings.uri, "event", "--all", "--loop")
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        log.info("guests.followed", uri=self._settings.uri, machines=len(self._uuids))
        try:
            async for line in process.stdout:
                await self._heard(line.decode(errors="replace"))
            log.repeat("guests.event_stream_ended", uri=self._settings.uri)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _heard(self, line: str) -> None:
        for seen in meaning(line, tell_stopped=self._settings.tell_stopped):
            if not seen.kind:
                self._ending[seen.domain] = time.monotonic()
                continue
            if seen.trouble is None:
                self._ending.pop(seen.domain, None)
            await self._tell(seen)

    async def _tell(self, seen: Seen) -> None:
        if seen.domain not in self._uuids:
            await self._list()
        self._states.tell(
            seen.kind,
            seen.domain,
            seen.trouble,
            resource_type=VIRTUAL_MACHINE,
            resource_id=self._uuids.get(seen.domain),
            domain=seen.domain,
        )

    async def _list(self) -> None:
        """Learn the ids of the machines, which are those of the cloud."""
        process = await asyncio.create_subprocess_exec(
            *(VIRSH, "--connect", self._settings.uri, "list", "--all", "--uuid", "--name"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise OSError(f"{VIRSH} list did not answer within {ANSWER_WITHIN:g} s") from None
        for line in out.decode(errors="replace").splitlines():
            if (match := LISTED.match(line.strip())) is not None:
                self._uuids[match["name"].strip()] = match["uuid"]

    # --- the processes ---

    async def _follow_processes(self) -> None:
        folder = self._settings.pid_folder
        while folder is not None:
            for file in await asyncio.to_thread(lambda: sorted(folder.glob("*.pid"))):
                self._watch(file)
            await asyncio.sleep(LOOK_EVERY)

    def _watch(self, file: Path) -> None:
        name = file.stem
        try:
            number = int(file.read_text())
            if self._watched.get(name, (0, 0))[0] == number:
                return
            opened = os.pidfd_open(number)
        except (OSError, ValueError):
            return  # it is just being written, or has ended already
        self._unwatch(name)
        self._watched[name] = (number, opened)
        asyncio.get_running_loop().add_reader(opened, self._ended, name)

    def _unwatch(self, name: str) -> None:
        known = self._watched.pop(name, None)
        if known is not None:
            asyncio.get_running_loop().remove_reader(known[1])
            os.close(known[1])

    def _ended(self, name: str) -> None:
        number, _ = self._watched[name]
        self._unwatch(name)
        task = asyncio.get_running_loop().create_task(self._explain(name, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _explain(self, name: str, number: int) -> None:
        """Say that a machine has ended, unless libvirt has said that it was to, which it does just before."""
        await asyncio.sleep(WAIT_FOR_WORD)
        if time.monotonic() - self._ending.get(name, -TOLD_FOR) >= TOLD_FOR:
            await self._tell(Seen(name, DOWN, f"its process {number} has ended"))
