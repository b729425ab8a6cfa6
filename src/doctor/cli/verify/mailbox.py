"""Where a tenant of a test hears what Doctor tells it, and when it came.

How notifications come: to a listener here, which Doctor must be able to reach (as it is on the same machine), or by the
stream of the northbound door, which works from anywhere.
"""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_bytes
from typing import Any

from doctor.client.consumer import SignatureError, verify
from doctor.client.errors import ClientError
from doctor.client.http import Client

Message = dict[str, Any]


class VerifyError(Exception):
    """The test cannot be done here; the sentence says why."""


class Mailbox:
    """What a tenant was told, with the moment at which it came."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, Message]] = []
        self._news = threading.Condition()

    def put(self, message: Message) -> None:
        """Add a message that came just now."""
        arrived = time.monotonic()
        with self._news:
            self.messages.append((arrived, message))
            self._news.notify_all()

    def wait(
        self, kind: str, after: int, *, within: float, check: Callable[[Message], bool] = lambda message: True
    ) -> tuple[float, Message] | None:
        """Return the first message of a kind behind the first ``after`` ones that is as it should be, None if none comes."""
        end = time.monotonic() + within
        with self._news:
            while True:
                for arrived, message in self.messages[after:]:
                    if message["notification_type"] == kind and check(message):
                        return arrived, message
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)


class Subscriber:
    """A tenant that has subscribed to all that is its own, until the stack is unwound."""

    def __init__(self, client: Client, stack: ExitStack, *, webhook: bool) -> None:
        self.client = client
        self.mailbox = Mailbox()
        endpoints = []
        if webhook:
            secret = "whsec_" + b64encode(token_bytes(32)).decode()
            endpoints = [{"url": stack.enter_context(listener(self.mailbox, secret)), "secret": secret}]
        answer = client.post("/v1/subscriptions", {"endpoints": endpoints})
        self.subscription_id = answer["subscription_id"]
        stack.callback(quietly, client.delete, f"/v1/subscriptions/{self.subscription_id}")
        if answer["warnings"]:
            raise VerifyError(
                f"Doctor cannot reach this machine ({answer['warnings'][0]['detail']}): use --stream"
            )
        if not webhook:
            threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with suppress(ClientError):
            for message in self.client.notifications(self.subscription_id):
                self.mailbox.put(message)


@contextmanager
def listener(mailbox: Mailbox, secret: str | None = None) -> Iterator[str]:
    """Listen on loopback for notifications, signed by a secret if there is one; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(204)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                if secret is not None:
                    verify(dict(self.headers), body, secret)
            except SignatureError:
                self._answer(401)
                return
            mailbox.put(json.loads(body))
            self._answer(204)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/doctor"
    finally:
        server.shutdown()
        server.server_close()


def quietly(action: Callable[..., object], *arguments: object) -> None:
    """Do what is no harm if it fails: Doctor may have it done already, or be gone."""
    with suppress(ClientError):
        action(*arguments)
