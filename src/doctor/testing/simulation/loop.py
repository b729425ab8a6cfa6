"""An event loop without a world: time jumps, what is ready goes on in an order made by chance, and a process can die.

A process that dies is frozen: nothing of it goes on, no ``finally`` and no ``except`` either, as in a power cut. One that
pauses goes on later where it was, and the time has passed without it. What belongs to it is known by the context of each
callback, so that the world around it goes on.
"""

import asyncio
import random
from asyncio import base_events, events
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from typing import Any

PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)
MOST_STEPS = 1_000_000


class StuckError(Exception):
    """Nothing can ever happen any more, or the same moment never ends."""


class Process:
    """What can die or pause: all that was started in its `context`. ``frozen`` is what would have gone on meanwhile."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self.frozen: list[events.Handle] = []
        self._context = copy_context()
        self._context.run(PROCESS.set, self)

    @property
    def goes_on(self) -> bool:
        """Tell whether what is ready in it goes on now."""
        return self.is_alive and not self.is_paused

    @property
    def context(self) -> Context:
        """Return a context of this process, for one task."""
        return self._context.copy()

    def freeze(self) -> None:
        """Let nothing of it go on."""
        self.is_alive = False


class SimLoop(base_events.BaseEventLoop):
    """Virtual time and an order by chance; no sockets, no threads.

    ``shuffle`` is how often, between 0 and 1, something else than the first goes on: with 0 the order is that of asyncio.
    """

    _scheduled: list[
        events.TimerHandle
    ]  # of BaseEventLoop, the cancelled ones at its head are gone when it waits

    def __init__(self, rng: random.Random, *, shuffle: float) -> None:
        super().__init__()
        self.rng = rng
        self.steps = 0
        self.world = copy_context()
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = _Jump(self)
        self._ready: deque[events.Handle] = _Ready(self, shuffle)
        self.defects: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.defects.append(context))

    def time(self) -> float:
        """Return the virtual second."""
        return self._now

    def jump(self, timeout: float | None) -> None:
        """Go to the next thing that happens."""
        if timeout is None:
            raise StuckError("everybody waits, and nothing will ever happen")
        if timeout > 0:
            # To the next timer itself: now + timeout may fall short of it by a rounding.
            self._now = max(self._now, self._scheduled[0].when())

    def outside(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Let something happen in the world, also if the process that began it dies before."""
        self.call_later(delay, callback, *args, context=self.world.copy())

    def wake(self, process: Process) -> None:
        """Let a process go on that has paused; one that died meanwhile stays dead."""
        process.is_paused = False
        self._ready.extend(process.frozen)
        process.frozen.clear()

    def thaw(self, processes: Iterable[Process]) -> None:
        """Let what is dead go on after all, so that it can be cancelled and tidied away; nothing counts any more."""
        for process in processes:
            process.is_alive = True
            self.wake(process)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Do it here, as a thread would that needs a moment."""
        future = self.create_future()

        def do() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(self.rng.uniform(0.0, 0.02), do)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """Have none: there are no sockets."""

    def _write_to_self(self) -> None:
        """Wake nobody: there are no threads."""


class _Jump:
    """Stands in for the selector: where a loop would wait, time goes on."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.jump(timeout)
        return []


class _Ready(deque[events.Handle]):
    """What is ready, handed out by chance; what belongs to a dead process never is."""

    def __init__(self, loop: SimLoop, shuffle: float) -> None:
        super().__init__()
        self._loop = loop
        self._shuffle = shuffle
        self._nothing = events.Handle(_nothing, (), loop)
        self._nothing.cancel()

    def popleft(self) -> events.Handle:
        loop = self._loop
        loop.steps += 1
        if loop.steps > MOST_STEPS:
            raise StuckError("too much happens: something turns in a circle")
        if len(self) > 1 and self._shuffle and loop.rng.random() < self._shuffle:
            self.rotate(-loop.rng.randrange(len(self)))
        handle = super().popleft()
        if handle.cancelled():
            return handle
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
        if process is None or process.goes_on:
            return handle
        process.frozen.append(handle)
        return self._nothing


def _nothing() -> None:
    """Stand in place of what would have gone on; it is cancelled."""
