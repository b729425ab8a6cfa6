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
from typing import Any, Generic, TypeVar

from doctor.kit.deadline import Deadline

MOST_LEFT_BEHIND = 4  # threads of one device that hang: then it is asked no more until one of them has ended

SPARE = 0.05  # seconds before the deadline in which work should give up by itself

Kept = TypeVar("Kept")
Result = TypeVar("Result")


class Busy(TimeoutError):
    """The device was not asked: earlier calls still hang."""


class Closed(Exception):
    """The device was not asked: it is used no more."""


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
class _Job(Generic[Kept]):
    work: Callable[[Kept, Leash], Any]
    leash: Leash
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    def run(self, kept: Kept) -> None:
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


class _Thread(threading.Thread, Generic[Kept]):
    """Works on jobs one by one. ``kept`` (a session) is made, used and let go of in this thread only."""

    def __init__(self, worker: "Worker[Kept]") -> None:
        super().__init__(name=worker.name, daemon=True)  # what hangs must not hold up the end of Doctor
        self.jobs: queue.SimpleQueue[_Job[Kept] | None] = queue.SimpleQueue()
        self._worker = worker

    def run(self) -> None:
        worker = self._worker
        kept = worker.make()
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
            worker.release(kept)


class Worker(Generic[Kept]):
    """Does one thing after the other for one device.

    ``make`` makes what a thread keeps between jobs, ``release`` lets go of it, and ``idle`` is called with it whenever
    there was nothing to do for ``idle_every`` seconds. All of them run in that thread; ``idle`` raises nothing.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Kept],
        release: Callable[[Kept], None],
        *,
        idle: Callable[[Kept], None] = lambda _: None,
        idle_every: float | None = None,
    ) -> None:
        self.name = name
        self.make = make
        self.release = release
        self.idle = idle
        self.idle_every = idle_every
        self._turn = asyncio.Lock()
        self._thread: _Thread[Kept] | None = None
        self._left_behind: list[_Thread[Kept]] = []
        self._closed = False

    async def do(self, work: Callable[[Kept, Leash], Result], deadline: Deadline) -> Result:
        """Have this done in the thread. When nobody waits for it any more its leash is cut.

        Raises:
            TimeoutError: it was not done by the deadline; it may be yet.
            Closed: it will never be done.
        """
        async with asyncio.timeout(deadline.left):
            async with self._turn:
                loop = asyncio.get_running_loop()
                job = _Job[Kept](work, Leash(deadline.left - SPARE), loop, loop.create_future())
                self._ready().jobs.put(job)
                try:
                    result: Result = await job.done
                except BaseException:
                    if not job.done.done() or job.done.cancelled():
                        job.leash.cut()
                        self._leave()
                    raise
                return result

    def _ready(self) -> _Thread[Kept]:
        if self._closed:
            raise Closed
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
