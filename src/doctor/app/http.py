"""HTTP as uvicorn speaks it, with a shorter way for the door that is in a hurry.

A report of events is answered without ASGI: its body is in memory when the parser has it, the answer is whole when it
is there, and one write sends it. That takes half of the processor time of the common way. Everything else, and any
report that comes unusually (pipelined, with ``Expect``), goes the common way and is answered the same.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from doctor.api.southbound import (
    BODY_WITHIN,
    EVENTS,
    MAX_BODY,
    Reply,
    SouthboundDoor,
    check_length,
    too_long,
    too_slow,
)
from doctor.model.errors import DoctorError

_EVENTS = EVENTS.encode()


class EventProtocol(HttpToolsProtocol):
    """One connection. The doors are uvicorn's application, a `SouthboundDoor`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._door: SouthboundDoor = self.config.loaded_app
        self._report: Report | None = None

    def on_headers_complete(self) -> None:
        """Begin with a request."""
        before: RequestResponseCycle | None = self.cycle
        self._report = None
        if (
            self.url == _EVENTS
            and self.parser.get_method() == b"POST"
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and (before is None or before.response_complete)
        ):
            self._report = self.cycle = Report(self)  # type: ignore[assignment]
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self._report is not None:
            self._report.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if self._report is not None:
            self._report.end()
        else:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        super().data_received(data)
        if self._report is not None:
            self._report.expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a report that will not be complete."""
        super().connection_lost(exc)
        if self._report is not None:
            self._report.stop_waiting()


class Report:
    """A report of events that is coming in and being answered: to uvicorn a request-response cycle like any other."""

    __slots__ = (
        *("_body", "_error", "_headers", "_is_taken", "_protocol", "_timer"),
        *("disconnected", "keep_alive", "response_complete"),
    )

    def __init__(self, protocol: EventProtocol) -> None:
        self._protocol = protocol
        self._headers = protocol.headers
        self._body = b""
        self._error: DoctorError | None = None
        self._is_taken = False
        self._timer: asyncio.TimerHandle | None = None
        self.keep_alive = protocol.parser.should_keep_alive()
        self.disconnected = False
        self.response_complete = False
        try:
            check_length(self._headers)
        except DoctorError as error:
            self._refuse(error)

    @property
    def message_event(self) -> "Report":
        """Return what uvicorn sets when the connection is lost."""
        return self

    def set(self) -> None:
        """Do nothing: nobody waits."""

    def add(self, part: bytes) -> None:
        """Take a part of the body."""
        if not self._is_taken:
            self._body += part
            if len(self._body) > MAX_BODY:
                self._refuse(too_long())

    def end(self) -> None:
        """Have the events of the whole body judged."""
        if not self._is_taken:
            self._is_taken = True
            self.stop_waiting()
            self._protocol._door.take(self._headers, self._error or self._body, self._answer)

    def expect_more(self) -> None:
        """Give the rest of the body its time."""
        if not self._is_taken and self._timer is None:
            self._timer = self._protocol.loop.call_later(BODY_WITHIN, self._give_up)

    def stop_waiting(self) -> None:
        """Expect nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.keep_alive = False
        self._refuse(too_slow())

    def _refuse(self, error: DoctorError) -> None:
        self._error = error
        self._body = b""
        self.end()

    def _answer(self, reply: Reply) -> None:
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        status, headers, body = reply
        parts = [STATUS_LINE[status]]
        for name, value in protocol.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n%b" % (len(body), body))
        protocol.transport.write(b"".join(parts))
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
