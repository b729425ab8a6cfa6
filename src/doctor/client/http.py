"""Asks Doctor over HTTP, one request after the other."""

import json
import ssl
from collections.abc import Callable, Iterator
from http import HTTPStatus
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from doctor.client import stream as sse
from doctor.client.access import checked_url
from doctor.client.errors import ApiError, Unreachable, api_error

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
UPLOAD_SECONDS = 600.0  # a map of a million machines takes a while to be taken in
SILENCE_SECONDS = 60.0  # a stream that says nothing for so long is taken up anew
CHUNK = 1 << 18
PAGE = 500

Query = str | int | bool | None | list[str] | tuple[str, ...]
Progress = Callable[[int, int], None]


class Client:
    """A Doctor, as seen from outside.

    The methods take a path below the address and what goes with it, and return the answer decoded (None when there is
    none). They raise `ApiError` when Doctor refuses and `Unreachable` when no answer comes. Nothing is repeated by
    itself, and no redirect is followed: the token goes to the address that was given and nowhere else.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = ANSWER_SECONDS) -> None:
        self.url = checked_url(url)
        self._headers = {"accept": "application/json", "user-agent": "doctor-client"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._pool = urllib3.PoolManager(retries=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()

    def get(self, path: str, **query: Query) -> Any:
        """Ask for something; a query value of None or an empty list is left out, a list is repeated."""
        return self._ask("GET", path, query)

    def text(self, path: str, **query: Query) -> str:
        """Ask for something that is written for people or other programs, and return it as it is."""
        answer = self._send("GET", path, query, headers={})
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise api_error(answer.status, answer.data)
        return bytes(answer.data).decode(errors="replace")

    def post(self, path: str, body: Any = None) -> Any:
        """Send something new."""
        return self._ask("POST", path, body=_encoded(body), content_type="application/json")

    def put(self, path: str, body: Any) -> Any:
        """Replace something."""
        return self._ask("PUT", path, body=_encoded(body), content_type="application/json")

    def patch(self, path: str, body: Any) -> Any:
        """Change something."""
        return self._ask("PATCH", path, body=_encoded(body), content_type="application/json")

    def delete(self, path: str) -> Any:
        """Remove something."""
        return self._ask("DELETE", path)

    def send(self, method: str, path: str, body: bytes, *, content_type: str, **query: Query) -> Any:
        """Send a body as it is: a file that was read, or a policy in YAML."""
        return self._ask(method, path, query, body=body, content_type=content_type)

    def items(self, path: str, *, at_most: int | None = None, **query: Query) -> Iterator[Any]:
        """Return the items of a list, asking for page after page as they are used."""
        left = at_most
        cursor: str | None = None
        while left is None or left > 0:
            page = self.get(path, **query, limit=min(PAGE, left or PAGE), cursor=cursor)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise ApiError(HTTPStatus.OK, f"what answers at {self.url}{path} is no list of Doctor's")
            found = page["items"][:left]
            yield from found
            if left is not None:
                left -= len(found)
            if page.get("next") in (None, cursor):
                return
            cursor = page["next"]

    def upload(
        self,
        path: str,
        file: IO[bytes],
        size: int,
        *,
        content_type: str = "application/json",
        progress: Progress | None = None,
    ) -> Any:
        """Put a file of any size without holding it in memory; ``progress`` hears (bytes sent, size)."""

        def chunks() -> Iterator[bytes]:
            sent = 0
            while sent < size and (chunk := file.read(min(CHUNK, size - sent))):
                sent += len(chunk)
                yield chunk
                if progress is not None:
                    progress(sent, size)

        answer = self._send(
            "PUT",
            path,
            body=chunks(),
            headers={"content-type": content_type, "content-length": str(size)},
            timeout=max(UPLOAD_SECONDS, self._timeout),
        )
        return self._decoded(answer)

    def events(self, path: str, **query: Query) -> Iterator[sse.ServerSentEvent]:
        """Return the events of a stream until it breaks off.

        It ends when Doctor closes it or has nothing to say for a minute; ask again then with ``after`` set to the last
        sequence that came. Raises `Unreachable` and `ApiError` when it cannot begin.
        """
        answer = self._send(
            "GET",
            path,
            query,
            headers={"accept": "text/event-stream"},
            timeout=SILENCE_SECONDS,
            stream=True,
        )
        try:
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise api_error(answer.status, answer.data)
            yield from sse.events(sse.lines(_arriving(answer)))
        finally:
            answer.close()  # not back into the pool: the rest of the stream is still on its way

    def notifications(self, subscription_id: str, *, after: int = 0) -> Iterator[Any]:
        """Return the notifications of a subscription as they come, until the stream breaks off."""
        query: dict[str, Query] = {"subscription_id": subscription_id, "after": after}
        for event in self.events("/v1/notifications/stream", **query):
            yield _json(event.data)

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, Query] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> Any:
        headers = {"content-type": content_type} if body is not None and content_type else {}
        return self._decoded(self._send(method, path, query, body=body, headers=headers))

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Query] | None = None,
        *,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str],
        timeout: float | None = None,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        seconds = timeout or self._timeout
        try:
            return self._pool.request(
                method,
                f"{self.url}{path}{_query_string(query or {})}",
                body=body,
                headers={**self._headers, **headers},
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds),
                preload_content=not stream,
                redirect=False,
            )
        except HTTPError as error:
            raise Unreachable(_why_unreachable(self.url, error, seconds)) from error

    def _decoded(self, answer: urllib3.BaseHTTPResponse) -> Any:
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise api_error(answer.status, answer.data)
        if not answer.data:
            return None
        try:
            return _json(answer.data)
        except ValueError:
            detail = f"what answers at {self.url} is no Doctor: it does not speak JSON"
            raise ApiError(answer.status, detail) from None


def _arriving(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Return what comes, as it comes; a connection that breaks is the end of it."""
    try:
        while chunk := answer.read1():
            yield chunk
    except HTTPError:
        return


def _encoded(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body, ensure_ascii=False).encode()


def _json(data: bytes | str) -> Any:
    return json.loads(data)


def _query_string(query: dict[str, Query]) -> str:
    pairs = [
        (name, str(one).lower() if isinstance(one, bool) else str(one))
        for name, value in query.items()
        for one in (value if isinstance(value, (list, tuple)) else [value])
        if one is not None
    ]
    return "?" + urlencode(pairs) if pairs else ""


def _why_unreachable(url: str, error: HTTPError, seconds: float) -> str:
    match error:
        case NameResolutionError():
            return f"no Doctor answers at {url}: this name has no address"
        case NewConnectionError() if isinstance(error.__cause__, ConnectionRefusedError):
            return f"no Doctor answers at {url}: is `doctor serve` running?"
        case NewConnectionError() if isinstance(error.__cause__, OSError):
            return f"no Doctor answers at {url}: {error.__cause__.strerror}"
        case ConnectTimeoutError():
            return f"no Doctor answers at {url}: nothing within {CONNECT_SECONDS:g} s (a firewall?)"
        case ReadTimeoutError():
            return f"Doctor at {url} took the request and did not answer within {seconds:g} s"
        case SSLError() if isinstance(error.args[0], ssl.SSLCertVerificationError):
            why = error.args[0].verify_message
            return f"the certificate of {url} is not trusted ({why}): name your CA's file in SSL_CERT_FILE"
        case SSLError():
            return f"what answers at {url} does not speak TLS: is it http:// ?"
        case _ if url.startswith("http:"):
            return f"{url} broke off without an answer: is it https:// ?"
        case _:
            return f"{url} broke off without an answer"
