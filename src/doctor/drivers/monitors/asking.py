"""Asks a source again and again for all that stands there, for what its own messages have lost.

The source is asked in a thread. Who does not answer is asked again at the next turn, and missed when he has not answered
for three of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import structlog
import urllib3

from doctor.kit.clock import Clock, SystemClock
from doctor.model.errors import PermanentError, RejectedError
from doctor.model.event import RawEvent
from doctor.ports.monitor import Targets
from doctor.ports.payload import Listing, Payload, Reading, Told

LARGEST = 64 * 1024 * 1024  # bytes of an answer
TURNS = 3  # without an answer
WARN_EVERY = 60.0

log = structlog.get_logger(__name__)

Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]


class AskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom to ask, and how often.

    ``source`` is who pushes otherwise: the name of his token. ``every`` and ``timeout`` are seconds. ``token_file`` holds
    the token that the source wants; ``ca_file`` the authority of its certificate, if that is none of the system's.
    """

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[!#-~]+$")]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    every: Seconds = 30
    timeout: Seconds = 5
    token_file: Path | None = None
    ca_file: Path | None = None


class Unanswered(Exception):
    """There was no answer, or one that says nothing: why not, for the log."""


class Item(NamedTuple):
    """Something that stands, in the type of its payload; ``is_told`` False: its source keeps it to itself."""

    said: msgspec.Struct
    is_told: bool = True


class Line:
    """A way to ask a source over HTTP."""

    def __init__(self, settings: AskSettings) -> None:
        self._settings = settings
        self._pool = urllib3.PoolManager(
            retries=False,
            timeout=settings.timeout,
            ca_certs=str(settings.ca_file) if settings.ca_file else None,
        )

    @property
    def token(self) -> str | None:
        """Return the token, read anew: it may have been changed.

        Raises:
            Unanswered: it cannot be read.
        """
        if self._settings.token_file is None:
            return None
        try:
            return self._settings.token_file.read_text().strip()
        except OSError as error:
            raise Unanswered(f"token_file: {error.strerror}") from None

    def ask(self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """Return the decoded answer to a GET, or to a POST of a body.

        Raises:
            Unanswered: there is none.
        """
        url = self._settings.url.rstrip("/") + path
        data = None if body is None else msgspec.json.encode(body)
        sent = {"accept": "application/json", "content-type": "application/json", **(headers or {})}
        try:
            answer = self._pool.request(
                "GET" if body is None else "POST",
                url,
                body=data,
                headers=sent,
                redirect=False,
                preload_content=False,
            )
            with answer:
                content = answer.read(LARGEST + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unanswered(_short(error)) from None
        if answer.status != 200:
            raise Unanswered(f"answered {answer.status}")
        if len(content) > LARGEST:
            raise Unanswered(f"the answer is longer than {LARGEST} bytes")
        try:
            return msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Unanswered("answered something that is no JSON") from None

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()


def _short(error: Exception) -> str:
    return str(error).rpartition(": ")[2][:200] or type(error).__name__


class AskingMonitor:
    """A monitor that asks. ``fetch`` gets the line and returns all that stands, or raises `Unanswered`."""

    def __init__(
        self,
        kind: str,
        payload: Payload,
        settings: AskSettings,
        fetch: Callable[[Line], list[Item]],
        clock: Clock | None = None,
    ) -> None:
        self.name = settings.name or kind
        self.silent_after = timedelta(seconds=TURNS * settings.every + settings.timeout)
        self._kind = kind
        self._payload = payload
        self._settings = settings
        self._fetch = fetch
        self._clock = clock or SystemClock()
        self._rejected = 0
        self._warned_at: float | None = None

    def counts(self) -> Mapping[str, int]:
        """Return how much could not be understood."""
        return {"rejected": self._rejected}

    async def watch(self, targets: Targets) -> AsyncGenerator[RawEvent | Listing, None]:
        """Yield all that stands, at once and then again and again.

        Raises:
            PermanentError: the file of the token is not there, and never was.
        """
        if self._settings.token_file is not None and not self._settings.token_file.exists():
            raise PermanentError(f"monitor {self.name}: token_file: {self._settings.token_file} is not there")
        line, thread = Line(self._settings), ThreadPoolExecutor(1, thread_name_prefix=self.name)
        try:
            while True:
                began = self._clock.monotonic()
                told = Told(self._settings.source, self._clock.now())
                try:
                    items = await asyncio.get_running_loop().run_in_executor(thread, self._fetch, line)
                except Unanswered as error:
                    self._warn(str(error))
                else:
                    yield self._listing(items, told)
                await asyncio.sleep(max(began + self._settings.every - self._clock.monotonic(), 0.0))
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
            line.close()

    def _listing(self, items: list[Item], told: Told) -> Listing:
        readings, kept = list[Reading](), list[Reading]()
        for item in items:
            try:
                reading = self._payload.read(item.said, told)
            except RejectedError as error:
                self._rejected += 1
                self._warn(error.detail)
            else:
                (readings if item.is_told else kept).append(reading)
        return Listing(self._kind, told, readings, kept)

    def _warn(self, what: str) -> None:
        now = self._clock.monotonic()
        if self._warned_at is None or now - self._warned_at > WARN_EVERY:
            self._warned_at = now
            log.warning("monitor.unanswered", monitor=self.name, error=what)
