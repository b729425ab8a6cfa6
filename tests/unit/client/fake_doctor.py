"""A Doctor of paper: an HTTP server that gives the answers a test has written down, and keeps what it was asked."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One answer. A body that is no bytes is written as JSON; ``chunks`` are sent one by one, then the line is cut."""

    status: int = 200
    body: Any = None
    content_type: str = "application/json"
    chunks: Iterable[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Reply = Answer | Callable[[Asked], Answer]


class FakeDoctor:
    """Answers on a free port of the loopback until it is closed."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._replies: dict[tuple[str, str], list[Reply]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                outer._answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away; a second time changes nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def answers(self, method: str, path: str, *replies: Reply) -> None:
        """Write down what to answer to a request, one after the other; the last holds for all further ones."""
        self._replies[method, path] = list(replies)

    def lists(self, path: str, items: list[Any]) -> None:
        """Write down a list of one page."""
        self.answers("GET", path, Answer(body={"items": items, "next": None}))

    @property
    def last(self) -> Asked:
        """The newest request."""
        return self.asked[-1]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, url.path, parse_qs(url.query), headers, body)
        self.asked.append(asked)
        answer = self._next(asked)
        handler.send_response(answer.status)
        handler.send_header("content-type", answer.content_type)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.chunks is None:
            handler.send_header("content-length", str(len(answer.content)))
            handler.end_headers()
            handler.wfile.write(answer.content)
            return
        handler.close_connection = True
        handler.end_headers()
        for chunk in answer.chunks:
            handler.wfile.write(chunk)
            handler.wfile.flush()

    def _next(self, asked: Asked) -> Answer:
        replies = self._replies.get((asked.method, asked.path))
        if not replies:
            return problem(404, f"nothing at {asked.method} {asked.path}")
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply if isinstance(reply, Answer) else reply(asked)


def problem(status: int, detail: str, **errors: str) -> Answer:
    """Return an error as RFC 9457 has it; the names of ``errors`` stand for pointers, ``__`` for a slash."""
    body = {
        "type": "about:blank",
        "title": "No",
        "status": status,
        "detail": detail,
        "errors": [{"pointer": name.replace("__", "/"), "detail": text} for name, text in errors.items()],
    }
    return Answer(status, body, content_type="application/problem+json")


def notification(sequence: int, **fields: Any) -> dict[str, Any]:
    """Return a notification of a subscription ``s1``, as short as can be."""
    return {
        "notification_id": f"n{sequence}",
        "subscription_id": "s1",
        "sequence": sequence,
        "notification_type": "fault",
        "sent_time": "2026-03-04T05:06:07.123456Z",
        "virtual_resource_info": [
            {
                "virtual_resource_id": "vm-1-1",
                "virtual_resource_state": "error",
                "faults": [
                    {"fault_type": "host down", "alarm_state": "raised", "perceived_severity": "critical"}
                ],
            }
        ],
        **fields,
    }


def stream_of(*messages: dict[str, Any]) -> Answer:
    """Return notifications as a stream of server-sent events, with a keep-alive before each."""
    chunks = [
        f": still here\n\nid: {message['sequence']}\nevent: {message['notification_type']}\n"
        f"data: {json.dumps(message)}\n\n".encode()
        for message in messages
    ]
    return Answer(content_type="text/event-stream", chunks=chunks)
