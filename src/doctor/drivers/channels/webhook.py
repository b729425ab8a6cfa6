"""The webhook channel: a notification is the body of an HTTP POST, signed as Standard Webhooks do.

In comes a stored notification, out goes one request, back comes how that went as a value. It neither repeats nor
keeps an order: the delivery flow does both. What a URL may reach is decided in `guard`.
"""

import asyncio
import errno
import resource
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

import aiohttp
import msgspec
import structlog
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from yarl import URL

from doctor import __version__
from doctor.drivers.channels.guard import AddressRefused, Guard
from doctor.kit.clock import Clock
from doctor.kit.signature import Signer
from doctor.model.notification import (
    Delivered,
    DeliveryOutcome,
    Failed,
    Gone,
    Refused,
    StoredNotification,
)
from doctor.model.subscription import Endpoint

log = structlog.get_logger(__name__)

FORMATS = ("doctor",)
MAX_URL = 2048
MAX_ANSWER = 64 * 1024  # of an answer's body, which is read only to keep the connection
DRAIN_S = 0.2  # and not for longer than this: the outcome is known, and the next notification waits
MAX_RETRY_AFTER_S = 3600.0
MAX_LOOKUPS = 128  # under way at once
LOOKUP_PATIENCE_S = 0.3  # for a fresh answer, where an older one is known
KNOWN_FOR_S = 24 * 3600.0
MAX_KNOWN = 4096
CLOSED = "the channel is closed"

# What is wrong is the message itself, so that sending it again as it is will hardly help. Not so 404, 401 and 403:
# a consumer that is being deployed or whose gateway has no backend yet answers these, and takes the same later.
CONTENT_REFUSED = frozenset({400, 405, 413, 415, 422})

_SAME_FOR_ALL = {
    "user-agent": f"doctor/{__version__}",
    "accept-encoding": "identity",
}


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How webhooks are sent (``channels.webhook`` in the settings)."""

    first_timeout: timedelta = timedelta(seconds=1.5)
    """How long a first attempt may take in all, from the name to the answer. Shorter finds a dead consumer sooner
    and repeats sooner; longer forgives a slow one."""
    timeout: timedelta = timedelta(seconds=10)
    """How long each later attempt may take in all."""
    probe_timeout: timedelta = timedelta(seconds=2)
    """How long the test of a new endpoint may take. A subscriber waits for it."""
    keep_alive: timedelta = timedelta(seconds=15)
    """How long an unused connection is kept for the next notification. Longer saves handshakes; too long meets
    firewalls and consumers that have forgotten it, which costs an attempt."""
    dns_cache: timedelta = timedelta(seconds=10)
    """How long the addresses of a name are used before it is looked up again. Longer means fewer look-ups, and
    finding a consumer that has moved later."""
    connections: int | None = None
    """How many requests may be under way at once; more wait. Without it: half of the files the process may open."""
    connections_per_host: int | None = None
    """How many of them to one host and port. Without it: half of ``connections``."""
    ca_file: str | None = None
    """A PEM file with authorities to trust beside those of the system, such as the one of the operator's PKI."""

    def __post_init__(self) -> None:
        for name in ("first_timeout", "timeout", "probe_timeout", "keep_alive", "dns_cache"):
            if getattr(self, name) <= timedelta(0):
                raise ValueError(f"{name}: must be positive")
        for name in ("connections", "connections_per_host"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be at least 1")


class WebhookChannel:
    """The channel for endpoints of format ``doctor`` (implements `doctor.ports.channel.Channel`).

    One attempt is one request: no redirect is followed, and nothing is sent twice behind our back (aiohttp repeats
    on a connection that had died only what HTTP calls idempotent, and POST is not; such an attempt is `Failed`).
    A 2xx counts once its head is there: what happens to the rest of the answer changes nothing.

    It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        guard: Guard,
        clock: Clock,
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._clock = clock
        self._resolver = resolver
        self._tls: ssl.SSLContext | bool = _trust(settings.ca_file) if settings.ca_file else True
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._under_way: set[_Body] = set()
        self._target: Callable[[Endpoint], _Target | str] = lru_cache(4096)(self._make_target)

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int
    ) -> DeliveryOutcome:
        """Send the stored body to the endpoint once, and say how that went."""
        target = self._target(endpoint)
        if isinstance(target, str):
            return Failed(target)
        if self._closed:
            return Failed(CLOSED)
        settings = self._settings
        limit = (settings.first_timeout if attempt <= 1 else settings.timeout).total_seconds()
        body = _Body(notification.body, self._clock)
        self._under_way.add(body)
        try:
            async with asyncio.timeout(limit):
                answer = await self._connected().post(
                    target.url,
                    data=body,
                    headers=self._headers(target, notification, attempt),
                    allow_redirects=False,
                )
            received = self._clock.now()
            if not answer.closed:
                await _discard(answer)
        except TimeoutError:
            return Failed(f"no {'answer' if body.told else 'connection'} within {limit:g} s")
        except Exception as error:
            return Failed(self._explain(error, endpoint))
        finally:
            self._under_way.discard(body)
            body.let_go()
        return outcome_of(answer.status, answer.headers.get("retry-after"), body.told or received, received)

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Ask whether the endpoint is there, by a GET: None for any HTTP answer, or a sentence on what to mind."""
        target = self._target(endpoint)
        if isinstance(target, str):
            return target
        if self._closed:
            return CLOSED
        limit = self._settings.probe_timeout.total_seconds()
        try:
            async with asyncio.timeout(limit):
                answer = await self._connected().get(target.url, allow_redirects=False)
        except TimeoutError:
            return f"no answer within {limit:g} s"
        except Exception as error:
            return self._explain(error, endpoint)
        await _discard(answer)
        return "answers with a redirect, which is not followed" if 300 <= answer.status < 400 else None

    def check(self, endpoint: Endpoint) -> str | None:
        """Say why this endpoint may never be used, or None. Names are not looked up."""
        target = self._target(endpoint)
        return target if isinstance(target, str) else None

    async def close(self) -> None:
        """Give connections back; what is under way fails."""
        self._closed = True
        for body in self._under_way:
            body.let_go(unfinished=True)
        if self._session is not None:
            await self._session.close()

    def _make_target(self, endpoint: Endpoint) -> "_Target | str":
        """Prepare what is the same for every request to an endpoint, or say why there can be none."""
        if endpoint.format not in FORMATS:
            return f"format {endpoint.format!r} is not known: use {' or '.join(FORMATS)}"
        if len(endpoint.url) > MAX_URL:
            return f"the URL is longer than {MAX_URL} characters"
        if not endpoint.url.isprintable() or " " in endpoint.url:
            return "the URL has spaces or control characters"
        try:
            # To the letter, since some have a signature in them. It is read bit by bit: an error may come late.
            url = URL(endpoint.url, encoded=endpoint.url.isascii()).with_fragment(None)
            objection = self._guard.objection_to_url(url)
        except ValueError:  # whose text may repeat a password
            return "the URL cannot be read: it has the form https://host:port/path"
        if objection:
            return objection
        try:
            signer = Signer(endpoint.secret) if endpoint.secret is not None else None
        except ValueError as error:
            return f"the secret cannot be used: {error}"
        return _Target(url, signer)

    def _headers(self, target: "_Target", notification: StoredNotification, attempt: int) -> dict[str, str]:
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "webhook-id": notification.notification_id,
            "webhook-timestamp": str(timestamp),
            "doctor-attempt": str(attempt),
            "doctor-sequence": str(notification.sequence),
        }
        if target.signer is not None:
            headers["webhook-signature"] = target.signer.sign(
                notification.notification_id, timestamp, notification.body
            )
        return headers

    def _connected(self) -> aiohttp.ClientSession:
        """Return the session; it is made in the event loop that uses it."""
        if self._session is None:
            settings = self._settings
            connections = settings.connections or _half_of_the_files()
            connector = aiohttp.TCPConnector(
                socket_factory=self._guard.socket_for,
                resolver=self._resolver or PatientResolver(),
                ttl_dns_cache=int(settings.dns_cache.total_seconds()),
                keepalive_timeout=settings.keep_alive.total_seconds(),
                limit=connections,
                limit_per_host=settings.connections_per_host or max(1, connections // 2),
                ssl=self._tls,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=_SAME_FOR_ALL,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _explain(self, error: Exception, endpoint: Endpoint) -> str:
        """Turn what aiohttp raised into a short sentence. It names no address that only a name server knows."""
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
            refused = error.os_error
            log.warning(
                "webhook.address_refused",
                endpoint_id=endpoint.endpoint_id,
                host=error.host,
                address=refused.address,
                port=refused.port,
                why=refused.why,
            )
            return f"{error.host} has an address that is not allowed"
        sentence = explain(error)
        if sentence is None:
            log.error("webhook.failed_unexpectedly", endpoint_id=endpoint.endpoint_id, exc_info=error)
            return f"failed inside Doctor ({type(error).__name__})"
        return sentence


class _Target:
    """What is the same for every request to one endpoint."""

    __slots__ = ("signer", "url")

    def __init__(self, url: URL, signer: Signer | None) -> None:
        self.url = url
        self.signer = signer


class _Body(aiohttp.Payload):
    """The body of one attempt. ``told`` is when the request was handed to the network [T6].

    aiohttp holds the head of a request back until the first write of its body, so this is the first byte of all.
    """

    _autoclose = True

    def __init__(self, body: bytes, clock: Clock) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._clock = clock
        self._transport: asyncio.WriteTransport | None = None
        self._written = False
        self.told: datetime | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text, for error messages of aiohttp."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body, and with it the head that waits before it."""
        self._transport = writer.transport
        self.told = self._clock.now()
        await writer.write(self._value)
        self._written = True

    def let_go(self, *, unfinished: bool = False) -> None:
        """Drop the connection at once unless it is kept.

        To close it would be to wait, with the rest of the body in memory, until an endpoint that does not read
        has read it.
        """
        transport = self._transport
        if transport is not None and (unfinished or not self._written or transport.is_closing()):
            transport.abort()


async def _discard(answer: aiohttp.ClientResponse) -> None:
    """Read the rest of an answer so that its connection can be used again; give both up if it is long or slow."""
    left = MAX_ANSWER
    try:
        with suppress(Exception):
            async with asyncio.timeout(DRAIN_S):
                while left > 0 and (chunk := await answer.content.readany()):
                    left -= len(chunk)
    finally:
        answer.close()


def outcome_of(status: int, retry_after: str | None, told: datetime, received: datetime) -> DeliveryOutcome:
    """Say what an answer means for the notification."""
    error = f"answered {status}"
    if 200 <= status < 300:
        return Delivered(status, told, received)
    if status == 410:
        return Gone(error)
    if status in CONTENT_REFUSED:
        return Refused(error, status)
    if 300 <= status < 400:
        return Failed(f"{error}: redirects are not followed", status)
    if status in (429, 503):
        return Failed(error, status, parse_retry_after(retry_after, received))
    return Failed(error, status)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read how many seconds an endpoint wants to be left alone, at most an hour; None if it did not say."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(value)
        return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (TypeError, ValueError, OverflowError):  # no date, or one without a zone
        return None


_BY_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the host",
    errno.ETIMEDOUT: "connection timed out",
    errno.EMFILE: "Doctor has too many open files",
    errno.ENFILE: "Doctor's machine has too many open files",
    errno.EADDRNOTAVAIL: "Doctor's machine has no free port",
}

_BY_VERIFY_CODE = {  # X509_V_ERR_* of OpenSSL
    9: "TLS: certificate not valid yet",
    10: "TLS: certificate has expired",
    62: "TLS: certificate is for another name",
    64: "TLS: certificate is for another address",
}


def explain(error: Exception) -> str | None:
    """Say in a few words why a request had no answer; None for what should not have happened."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            code = getattr(error.certificate_error, "verify_code", 0)
            return _BY_VERIFY_CODE.get(code, "TLS: certificate not trusted")
        case aiohttp.ClientConnectorSSLError():
            return "TLS: handshake failed"
        case aiohttp.ServerDisconnectedError():
            return "connection closed without an answer"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case aiohttp.InvalidURL():
            return "the URL cannot be used"
        case aiohttp.ClientError() if isinstance(error.__cause__, ssl.SSLError):
            return "TLS: connection refused by the other side"
        case OSError() if isinstance(error, ConnectionResetError) or isinstance(
            error.__cause__, ConnectionResetError
        ):
            return "connection reset"
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, "connection failed")
        case aiohttp.ClientError():
            return "connection failed"
        case _:
            return None


def _trust(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _half_of_the_files() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if files == resource.RLIM_INFINITY else max(files // 2, 16)


_Question = tuple[str, int, socket.AddressFamily]


class PatientResolver(AbstractResolver):
    """Looks up names in threads of its own, and lives on the last answer while the name servers are away.

    A look-up that nobody answers holds its thread for up to half a minute. In the few threads that everything
    shares, a handful of such names, which any tenant can make, would bring all telling to a stop. And a fault that
    takes the name servers along is the one that must be told all the same: what they said within a day still counts.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_Question, tuple[float, list[ResolveResult]]] = OrderedDict()
        self._under_way: dict[_Question, asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host, from the name servers or, if they hesitate, from memory."""
        question = (host, port, family)
        when, known = self._known.get(question, (0.0, None))
        if known and asyncio.get_running_loop().time() - when > KNOWN_FOR_S:
            known = None
        try:
            async with asyncio.timeout(LOOKUP_PATIENCE_S if known else None):
                return await asyncio.shield(self._under_way.get(question) or self._ask(question))
        except OSError as error:  # with TimeoutError
            if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                self._known.pop(question, None)
                raise
            if known is None:
                raise
            log.warning("webhook.name_from_memory", host=host)
            return known

    async def close(self) -> None:
        """Wait for nobody: the threads end by themselves, and do not keep the process."""

    def _ask(self, question: _Question) -> "asyncio.Future[list[ResolveResult]]":
        if len(self._under_way) >= MAX_LOOKUPS:
            raise socket.gaierror(socket.EAI_AGAIN, "too many look-ups under way")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[ResolveResult]] = loop.create_future()
        self._under_way[question] = future
        future.add_done_callback(lambda _: self._answered(question, future))

        def settle(answer: list[ResolveResult] | OSError) -> None:
            if future.done():
                return
            if isinstance(answer, OSError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        def run() -> None:
            answer = look_up(*question)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, answer)

        threading.Thread(target=run, name=f"doctor-name-{question[0][:32]}", daemon=True).start()
        return future

    def _answered(self, question: _Question, future: "asyncio.Future[list[ResolveResult]]") -> None:
        del self._under_way[question]
        if future.cancelled() or future.exception() is not None:
            return
        self._known[question] = (asyncio.get_running_loop().time(), future.result())
        self._known.move_to_end(question)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult] | OSError:
    """Ask the system for the addresses of a host. This blocks; an error comes back as a value."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
    except OSError as error:
        return error
    except UnicodeError:  # a label that is empty or too long
        return socket.gaierror(socket.EAI_NONAME, "not a name")
    return [
        ResolveResult(
            hostname=host,
            host=str(place[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, place in found
    ]
