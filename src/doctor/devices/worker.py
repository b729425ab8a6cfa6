"""A thread of its own for a device whose library blocks.

The library may hang for as long as it likes: who asked gets his answer at the deadline, and the thread that hangs is
left behind with everything it had. So one dead device never holds up another, nor the event loop.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from doctor.kit.deadline import Deadline
from doctor.model.fencing import Doubt, Unknown

MOST_LEFT_BEHIND = 4  # threads of one device that hang: then it is asked no more until one of them has ended

SPARE = 0.05  # seconds before the deadline in which work should give up by itself


class Session(Protocol):
    """A conversation with a device."""

    def close(self) -> None:
        """End it."""
        ...


S = TypeVar("S", bound=Session)
Result = TypeVar("Result")


class Busy(TimeoutError):
    """The device was not asked: earlier calls still hang."""


class Leash:
    """How long work may go on. It is looked at before anything is sent: nobody wants a command that comes late."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: there are none; nothing more is wanted.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        return left

    def shortened(self, seconds: float) -> "Leash":
        """Return one for a part of the work."""
        return _Shorter(self, seconds)

    def cut(self) -> None:
        """End it now; the work may be in another thread."""
        self._ends = 0.0


class _Shorter(Leash):
    def __init__(self, whole: Leash, seconds: float) -> None:
        super().__init__(seconds)
        self._whole = whole

    @property
    def left(self) -> float:
        return min(super().left, self._whole.left)


@dataclass
class Kept(Generic[S]):
    """What a thread keeps between jobs: its session, if it has one, which is used in this thread only."""

    session: S | None = None

    def drop(self) -> None:
        """Close it: whoever needs one makes a new one."""
        if self.session is not None:
            self.session.close()
            self.session = None


@dataclass
class _Job(Generic[S]):
    work: Callable[[Kept[S], Leash], Any]
    leash: Leash
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    def run(self, kept: Kept[S]) -> None:
        try:
            _ = self.leash.left
            result = self.work(kept, self.leash)
        except Exception as error:
            self._tell(self.done.set_exception, error)
        else:
            self._tell(self.done.set_result, result)

    def _tell(self, tell: Callable[[Any], None], what: Any) -> None:
        def told() -> None:
            if not self.done.done():
                tell(what)

        with suppress(RuntimeError):  # the loop has ended meanwhile
            self.loop.call_soon_threadsafe(told)


class _Thread(threading.Thread, Generic[S]):
    """Works on jobs one by one."""

    def __init__(self, worker: "Worker[S]") -> None:
        super().__init__(name=worker.name, daemon=True)  # what hangs must not hold up the end of Doctor
        self.jobs: queue.SimpleQueue[_Job[S] | None] = queue.SimpleQueue()
        self._worker = worker

    def run(self) -> None:
        worker = self._worker
        kept = Kept[S]()
        while True:
            try:
                job = self.jobs.get(timeout=worker.idle_every)
            except queue.Empty:
                worker.idle(kept)
                continue
            if job is None:
                break
            job.run(kept)
        with suppress(Exception):
            kept.drop()


class Worker(Generic[S]):
    """Does one thing after the other for one device.

    ``driver`` is also what is to be installed when its ``library`` is missing. ``idle`` is called in the thread, with
    what it keeps, whenever there was nothing to do for ``idle_every`` seconds; it raises nothing.
    """

    def __init__(
        self,
        driver: str,
        address: str,
        library: str,
        *,
        idle: Callable[[Kept[S]], None] = lambda _: None,
        idle_every: float | None = None,
    ) -> None:
        self.name = f"{driver} {address}"
        self.idle = idle
        self.idle_every = idle_every
        self._missing = f"{library} is missing: install doctor-nfvi[{driver}]"
        self._turn = asyncio.Lock()
        self._thread: _Thread[S] | None = None
        self._left_behind: list[_Thread[S]] = []
        self._closed = False

    async def do(
        self, work: Callable[[Kept[S], Leash], Result | Unknown], deadline: Deadline
    ) -> Result | Unknown:
        """Have this done in the thread, or say why it was not. When nobody waits for it any more its leash is cut."""
        try:
            async with asyncio.timeout(deadline.left), self._turn:
                if self._closed:
                    return Unknown(Doubt.CLOSED, "the device is closed")
                return await self._done(work, deadline)
        except TimeoutError as error:
            return Unknown(Doubt.LATE, str(error) or "the device did not answer in time")
        except ImportError:
            return Unknown(Doubt.NOT_INSTALLED, self._missing)

    async def _done(self, work: Callable[[Kept[S], Leash], Result], deadline: Deadline) -> Result:
        loop = asyncio.get_running_loop()
        job = _Job[S](work, Leash(deadline.left - SPARE), loop, loop.create_future())
        self._ready().jobs.put(job)
        try:
            result: Result = await job.done
        except BaseException:
            if not job.done.done() or job.done.cancelled():
                job.leash.cut()
                self._leave()
            raise
        return result

    def _ready(self) -> _Thread[S]:
        if self._thread is None:
            self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
            if len(self._left_behind) >= MOST_LEFT_BEHIND:
                raise Busy(f"{len(self._left_behind)} earlier calls still hang")
            self._thread = _Thread(self)
            self._thread.start()
        return self._thread

    def _leave(self) -> None:
        if self._thread is not None:
            self._thread.jobs.put(None)  # it ends when what hangs has ended
            self._left_behind.append(self._thread)
            self._thread = None

    async def close(self) -> None:
        """End the thread; one that is busy ends when it is done."""
        self._closed = True
        self._leave()
