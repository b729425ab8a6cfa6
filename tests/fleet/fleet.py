"""Racks on which episodes are played side by side."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from traceback import format_exception
from typing import NamedTuple, Self

from doctor.cli.demo.guard import guarded_folder
from doctor.cli.demo.netns import Namespaces
from tests.fleet.episode import Episode, Figures, Surroundings
from tests.fleet.oracle import Violation
from tests.fleet.plan import Plan
from tests.fleet.rack import Rack

COURTESY = 5  # steps of niceness


class Result(NamedTuple):
    """How an episode ended, and what was wrong, if anything was: the promise that was broken, and all that is known."""

    plan: Plan
    end: str
    figures: Figures
    promise: str = ""
    wrong: str = ""

    @property
    def headline(self) -> str:
        """Return the first line of what was wrong."""
        return self.wrong.partition("\n")[0] or "nothing was wrong"


class Fleet:
    """The racks. What is left of episodes in which something was wrong is kept in ``kept``."""

    def __init__(self, racks: int, kept: Path) -> None:
        self._size = racks
        self._kept = kept
        self._racks: SimpleQueue[Rack] = SimpleQueue()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_courtesy())
            self._folder = stack.enter_context(guarded_folder("doctor-fleet-"))
            namespaces = stack.enter_context(Namespaces())
            for number in range(self._size):
                rack = Rack(self._folder / f"rack-{number}", namespaces, number)
                self._racks.put(stack.enter_context(rack))
            self._surroundings = Surroundings(stack.enter_context(_endpoint()))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def play_all(self, plans: Iterable[Plan], kinds: Iterable[type[Episode]] = ()) -> Sequence[Result]:
        """Play episodes, as many at a time as there are racks. ``kinds`` are theirs, if they are not as usual."""
        with ThreadPoolExecutor(self._size) as pool:
            try:
                return list(pool.map(self._play, plans, chain(kinds, repeat(Episode))))
            except BaseException:  # such as ctrl-C
                self._surroundings.over.set()
                raise

    def _play(self, plan: Plan, kind: type[Episode]) -> Result:
        folder = Path(tempfile.mkdtemp(prefix=f"episode-{plan.seed}-", dir=self._folder))
        rack = self._racks.get()
        episode = kind(rack, plan, folder, self._surroundings)
        try:
            end = str(episode.run())
        except Exception as error:
            broken = isinstance(error, Violation)
            left = shutil.move(folder, self._kept)
            lines = [
                f"episode {plan.seed}: {str(error) if broken else ''.join(format_exception(error))}",
                *episode.story,
                f"{plan}",
                f"what is left of it: {left}",
                f"again: DOCTOR_FLEET={plan.seed} pytest tests/fleet",
            ]
            promise = error.promise if isinstance(error, Violation) else ""
            return Result(plan, "wrong", episode.figures, promise, "\n  ".join(lines))
        else:
            shutil.rmtree(folder)
            return Result(plan, end, episode.figures)
        finally:
            self._racks.put(rack)


@contextmanager
def _courtesy() -> Iterator[None]:
    """Let tests that run beside go first: some of them are in a hurry, and here are a hundred processes."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, before + COURTESY)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


class _Answer(BaseHTTPRequestHandler):
    """The endpoint of all owners: it takes everything."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *details: object) -> None:
        """Say nothing."""


@contextmanager
def _endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
