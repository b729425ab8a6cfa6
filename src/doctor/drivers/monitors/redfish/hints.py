"""Where BMCs send their events. Whoever knows the path of a BMC makes Doctor look at it, and nothing more.

Nothing proves who sends an event, and BMCs send them late, twice, or after one another in any order. So none is believed,
or even read: it rings a bell.
"""

import asyncio
import secrets
import ssl
from collections import Counter
from contextlib import suppress

import structlog

from doctor.model.errors import PermanentError

MOST_HEAD = 16 * 1024  # bytes
MOST_BODY = 1024 * 1024
MOST_CONNECTIONS = 100
PATIENCE = 5.0  # seconds for a request
LOG_EVERY = 60.0

log = structlog.get_logger(__name__)


class Hints:
    """Listens on one address. ``door`` makes a path for a BMC."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.counts: Counter[str] = Counter()
        self._address = (host, port)
        self._tls = tls
        self._bells: dict[str, asyncio.Event] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._logged_at = -LOG_EVERY

    def door(self, bell: asyncio.Event) -> str:
        """Return a path that nobody can guess, behind which is this bell."""
        path = "/" + secrets.token_urlsafe(18)
        self._bells[path] = bell
        return path

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            PermanentError: the address is not ours, or taken.
        """
        try:
            self._server = await asyncio.start_server(
                self._connected, *self._address, limit=MOST_HEAD, ssl=self._tls
            )
        except OSError as error:
            raise PermanentError(f"events.listen: {error.strerror or error}") from None

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= MOST_CONNECTIONS:
            self._refuse("too many connections")
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._answer(reader, writer)
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        except TimeoutError:
            self._refuse("too slow")
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            self._refuse("no request")
        finally:
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in head[1:])
        }
        length = int(headers.get("content-length") or 0)
        if not 0 <= length <= MOST_BODY:
            self._refuse("too long")
            return "413 Content Too Large"
        bell = self._bells.get(path)
        if bell is None or method != "POST":
            self._refuse("nobody's path")
            return "404 Not Found"
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while length > 0 and (piece := await reader.read(min(length, MOST_HEAD))):
            length -= len(piece)
        self.counts["hints"] += 1
        bell.set()
        return "204 No Content"

    def _refuse(self, reason: str) -> None:
        self.counts["refused"] += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_EVERY:
            self._logged_at = now
            log.warning("redfish.event_refused", reason=reason, refused=self.counts["refused"])
