"""A relay before an API of the cloud, which can have bad days: it is slow, fails, is gone, or answers nonsense.

It runs in threads of its own, so that it goes on while a test waits for something else.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import NamedTuple, Self
from urllib.parse import urlsplit

PATIENCE = 60.0  # seconds for an answer of the API itself
HOP_BY_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class Answer(NamedTuple):
    """An answer; one of status 0 is none, the connection is cut instead."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


Fault = Callable[[str], Answer | None]
"""What becomes of a request, by its method; None: it is passed on."""

CUT = Answer(0)


class Relay:
    """Passes requests on to an API, unless a fault decides otherwise."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._server = self._listen(0)
        self.fault: Fault | None = None
        self.written: list[
            tuple[str, str, bytes]
        ] = []  # changes that the API has taken, as they were asked for
        self.asked: list[tuple[float, str, bytes]] = []  # changes that were asked for, and when

    @property
    def url(self) -> str:
        """Return the address of the API by way of this relay."""
        return f"http://127.0.0.1:{self._server.server_port}{self._target.path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._close()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Have a bad day."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Let nobody connect."""
        port = self._server.server_port
        self._close()
        try:
            yield
        finally:
            self._server = self._listen(port)

    @contextmanager
    def holding(self) -> Iterator[Event]:
        """Keep requests that come, until the event is set; then they are passed on, whoever still waits for them."""
        released = Event()

        def hold(_: str) -> None:
            released.wait(PATIENCE)

        try:
            with self.failing(hold):
                yield released
        finally:
            released.set()

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Ask the API."""
        assert self._target.hostname is not None
        connection = HTTPConnection(self._target.hostname, self._target.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            return CUT
        finally:
            connection.close()
        if method != "GET" and answer.status < 300:
            self.written.append((method, path, body))
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        return Answer(answer.status, content, kept)

    def _listen(self, port: int) -> ThreadingHTTPServer:
        relay = self

        class Handler(_Handler):
            through = relay

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _close(self) -> None:
        self._server.shutdown()
        self._server.socket.close()  # and not server_close, which waits for requests that are held


class _Handler(BaseHTTPRequestHandler):
    through: Relay

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command != "GET":
            self.through.asked.append((time.time(), self.path, body))
        fault = self.through.fault
        answer = fault(self.command) if fault is not None else None
        if answer is None:
            answer = self.through.ask(self.command, self.path, dict(self.headers), body)
        if answer == CUT:
            return
        with suppress(OSError):
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 - the names that http.server wants

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the base class
        """Say nothing."""
