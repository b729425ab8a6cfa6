"""A service of the operator's: the facts are POSTed to it, and 2xx is the answer that it is done.

A repeat has the same `Idempotency-Key`, so that a service can tell it. With 202 and a `Location` it goes on there: that
is asked until it answers otherwise. What may only be a bad moment (no connection, 5xx, 429) is tried again until the time
is over.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec
import urllib3

from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.kit.secret import Secret, read_secret
from doctor.model.maintenance_action import MOST_DETAIL, Done, Job, NotDone, RunOutcome

MOST_ANSWER = 64 * 1024  # bytes
ONE_REQUEST = 10.0  # seconds that one request may take; work that takes longer is answered with 202
LEAST = 0.2  # seconds: with less it is not worth to ask
TRY_AGAIN = frozenset((408, 425, 429, *range(500, 600)))


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a call.

    - ``url``: to which the facts are POSTed.
    - ``token_file``: a file with the token for `Authorization: Bearer`.
    - ``ca_file``: certificates to trust; without it those of this machine.
    - ``every``: seconds between two questions how far it is, and between two tries.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    every: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0


class _Body(msgspec.Struct, frozen=True):
    """What a service may say of itself in words."""

    detail: str = ""


class _Answer(NamedTuple):
    status: int
    location: str | None
    body: bytes

    @property
    def detail(self) -> str:
        try:
            return msgspec.json.decode(self.body, type=_Body).detail[:MOST_DETAIL]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""

    @property
    def words(self) -> str:
        return f"answered {self.status}" + (f": {self.detail}" if self.detail else "")


class HttpAction:
    """Calls the service (implements `doctor.ports.action.MaintenanceAction`)."""

    kind = "http"

    def __init__(self, settings: HttpSettings, token: Secret | None = None) -> None:
        self._settings = settings
        self._token = token
        self._closed = False
        ca = None if settings.ca_file is None else str(settings.ca_file)
        self._pool = urllib3.PoolManager(
            ca_certs=ca, cert_reqs="CERT_REQUIRED", retries=False, maxsize=4, block=False
        )

    async def run(self, job: Job, deadline: Deadline) -> RunOutcome:
        """POST the facts, and ask until it is done."""
        body = msgspec.json.encode(job.facts)
        url, method, said = self._settings.url, "POST", "there was no time to ask"
        while not self._closed and deadline.left > LEAST:
            answer = await self._ask(method, url, body if method == "POST" else None, job, deadline)
            if isinstance(answer, str):
                said = answer
            elif answer.status == 202 and answer.location is not None:
                said = "it is still under way"
                url, method = urljoin(url, answer.location), "GET"
                if _origin(url) != _origin(self._settings.url):
                    return NotDone(f"{_origin(url)} is another service than was called")
            elif answer.status == 202 and method == "GET":
                said = "it is still under way"
            elif 200 <= answer.status < 300:
                return Done(answer.detail)
            elif answer.status in TRY_AGAIN:
                said = answer.words
            else:
                return NotDone(answer.words)
            await asyncio.sleep(min(self._settings.every, deadline.left))
        return NotDone("Doctor is being stopped" if self._closed else f"not done in time: {said}")

    async def _ask(
        self, method: str, url: str, body: bytes | None, job: Job, deadline: Deadline
    ) -> _Answer | str:
        headers = {"Accept": "application/json", "Idempotency-Key": job.run_id}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        seconds = min(ONE_REQUEST, deadline.left)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(self._request, method, url, body, headers, seconds)
        except TimeoutError:
            return "no answer in time"
        except urllib3.exceptions.HTTPError as error:
            return f"no answer: {_in_words(error)}"

    def _request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> _Answer:
        response = self._pool.request(
            method,
            url,
            body=body,
            headers=headers,
            redirect=False,  # the token is for this service alone
            preload_content=False,
            timeout=urllib3.Timeout(total=seconds),
        )
        try:
            return _Answer(response.status, response.headers.get("location"), response.read(MOST_ANSWER))
        finally:
            response.close()  # what is too long to be read is not waited for
            response.release_conn()

    async def close(self) -> None:
        """Call it no more."""
        self._closed = True
        self._pool.clear()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _in_words(error: Exception) -> str:
    return str(error).rpartition(": ")[2][:MOST_DETAIL] or type(error).__name__


def make(settings: Mapping[str, Any]) -> HttpAction:
    """Make the action from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, HttpSettings)
    parts = urlsplit(read.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url: is no web address: write https://service.example/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: must not contain a user or password; use token_file")
    if read.ca_file is not None and not read.ca_file.exists():
        raise ValueError(f"ca_file: {read.ca_file}: there is no such file")
    token = None if read.token_file is None else read_secret(read.token_file, "token_file")
    return HttpAction(read, token)
