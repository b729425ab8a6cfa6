"""One connection of HTTP/1.1: requests one after the other, and of each answer no more than its head.

The outcome of a request is known with the head of its answer; the rest is read only so that the connection can be
used again, while nobody waits for it. Whatever is doubtful about a connection ends it: a new one costs little, a
request that gets the answer to another is never found.
"""

import asyncio
import socket
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, cast

import httptools

from doctor.kit.clock import Clock

MAX_HEAD = 64 * 1024  # of an answer, with those that say only that there will be one
FIELD_COST = 32  # what each field of a head counts beside its letters
MAX_REST = 64 * 1024  # of an answer's body, which is read only to keep the connection
DRAIN_S = 0.2  # and not for longer than this


class NoAnswer(ConnectionError):
    """The other side has closed the connection instead of answering."""


class NotHttp(Exception):
    """What came is no answer, or has no end."""


class TooLate(Exception):
    """Time was up before there was ``what``: a connection, or an answer."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Answer(NamedTuple):
    """The head of an answer, as far as it matters, and the times of the request [T6, T7]."""

    status: int
    retry_after: str | None
    told: datetime
    received: datetime


class Connection(asyncio.Protocol):
    """A connection; ``on_free`` is called when it can take the next request, ``on_lost`` once when it has ended.

    ``raw`` is its socket, of which only the state is looked at. ``ended`` says why there is nothing more to be had.
    """

    def __init__(
        self,
        raw: socket.socket,
        clock: Clock,
        *,
        on_free: "Callable[[Connection], None]",
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self.free_since = 0.0
        self.ended: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._raw = raw
        self._clock = clock
        self._on_free = on_free
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._answer: asyncio.Future[Answer] | None = None  # until the head is there
        self._busy = False  # until all of the answer is there
        self._keep_alive = False
        self._left = 0  # bytes that may still come
        self._head_left = 0  # and of them in the fields of a head
        self._retry_after: str | None = None
        self._told: datetime
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, request: bytes, deadline: float) -> Answer:
        """Send a request, and wait for the head of its answer until ``deadline`` (in the time of the loop).

        Without an answer, and if the waiting is cancelled, the connection is dropped at once: to close it would be to
        wait, with the rest of the request in memory, until an endpoint that does not read has read it.

        Raises:
            TooLate, NoAnswer, NotHttp, OSError: there was no answer.
        """
        if self._busy or self._transport.is_closing():
            raise self.ended or NoAnswer
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        self._busy = True
        self._left = self._head_left = MAX_HEAD
        self._retry_after = None
        self._timer = self._loop.call_at(deadline, self._expire)
        self._told = self._clock.now()
        self._transport.write(request)
        try:
            return await answer
        finally:
            if self._answer is answer:  # cancelled
                self.drop()

    def is_usable(self) -> bool:
        """Tell whether the other side is still there and silent, as far as the kernel knows.

        The event loop may have had no time to read yet that it has closed.
        """
        if self._busy or self._transport.is_closing():
            return False
        try:
            self._raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def drop(self, why: Exception | None = None) -> None:
        """End the connection at once, and with it what is under way."""
        self._settle(why or NoAnswer())
        self._transport.abort()

    # --- from the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        # Who answers carelessly has been told all the same.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if not self._busy:
            self.drop()  # nobody has asked
            return
        self._left -= len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.drop(NotHttp(str(error)))
            return
        self._go_on()

    def eof_received(self) -> None:
        """End: who will say no more is not asked more."""
        self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.ended = exc or NoAnswer()
        self._settle(self.ended)
        del self._parser  # which holds this connection in turn
        self._on_lost(self)

    # --- from the parser ---

    def on_message_begin(self) -> None:
        """Refuse an answer after the answer."""
        if not self._busy:
            raise NotHttp("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; those after the body are of no interest."""
        if self._answer is None:
            return
        self._head_left -= len(name) + len(value) + FIELD_COST
        if self._head_left < 0:
            raise NotHttp("endless head")
        if len(name) == 11 and self._retry_after is None and name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Give the answer to who waits for it, unless it says only that there will be one."""
        status = self._parser.get_status_code()
        answer = self._answer
        if answer is None or (100 <= status < 200 and status != 101):
            return
        self._answer = None
        self._stop_timer()
        self._left = MAX_REST
        self._keep_alive = status != 101 and self._parser.should_keep_alive()
        if not answer.done():  # it may have been cancelled in this very round of the loop
            answer.set_result(Answer(status, self._retry_after, self._told, self._clock.now()))

    def on_message_complete(self) -> None:
        """Note that all of the answer is there."""
        if self._answer is None:
            self._busy = False

    # --- how it goes on ---

    def _go_on(self) -> None:
        if self._busy:
            if self._left < 0:
                self.drop(NotHttp("no end"))
            elif self._answer is None and self._timer is None:
                self._timer = self._loop.call_later(DRAIN_S, self.drop)
            return
        self._stop_timer()
        # Who answers before all of the request was read may not read the rest of it either.
        if self._keep_alive and not self._transport.get_write_buffer_size():
            self._on_free(self)
        else:
            self.drop()

    def _expire(self) -> None:
        self.drop(TooLate("answer"))

    def _settle(self, why: Exception) -> None:
        self._stop_timer()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(why)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
