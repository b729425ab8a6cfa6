"""The webhook channel: a notification is the body of an HTTP POST, signed as Standard Webhooks do.

In comes a stored notification, out goes one request, back comes how that went as a value. It neither repeats nor
keeps an order: the delivery flow does both. What a URL may reach is decided in `guard`, what an answer means in
`outcome`; connections come from `pool`.
"""

import asyncio
import resource
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache

import msgspec
import structlog
from msgspec.structs import replace

from doctor import __version__
from doctor.drivers.channels import aodh, cloudevents, fenix
from doctor.drivers.channels.connection import Answer, TooLate
from doctor.drivers.channels.guard import AddressRefused, Guard
from doctor.drivers.channels.outcome import explain, outcome_of
from doctor.drivers.channels.pool import Closed, Pool, UnknownName
from doctor.drivers.channels.resolver import PatientResolver, Resolver
from doctor.drivers.channels.url import Url
from doctor.kit.clock import Clock
from doctor.kit.signature import Signer
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, StoredNotification
from doctor.model.subscription import FENIX, FENIX_AODH, FORMATS, Endpoint

log = structlog.get_logger(__name__)

Split = Callable[[StoredNotification], list[aodh.Action]]
# The formats whose receivers take one thing at a time: a notification is several requests, or none.
SPLIT: Mapping[str, Split] = {
    "aodh": aodh.actions,
    FENIX: fenix.requests,
    FENIX_AODH: fenix.alarms,
}
MAX_URL = 2048
PART_SENT = 4096  # endpoints of which is remembered how far a notification got
REPLAYED = "doctor-replay: true\r\n"
CRLF = "\r\n"


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
    """The channel for endpoints of `FORMATS` (implements `doctor.ports.channel.Channel`).

    One attempt is one request (in a format of `SPLIT` one for each part): no redirect is followed, and nothing is sent twice behind our back. A kept connection
    that dies under a request makes the attempt `Failed`, since nobody knows how much of it was read.
    A 2xx counts once its head is there: what happens to the rest of the answer changes nothing.

    It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        guard: Guard,
        clock: Clock,
        *,
        resolver: Resolver | None = None,
        source: str = "",
    ) -> None:
        self._source = source
        self._settings = settings
        self._guard = guard
        self._clock = clock
        connections = settings.connections or _half_of_the_files()
        self._pool = Pool(
            guard,
            resolver or PatientResolver(settings.dns_cache),
            clock,
            _trust(settings.ca_file),
            limit=connections,
            limit_per_place=settings.connections_per_host or max(1, connections // 2),
            keep_alive_s=settings.keep_alive.total_seconds(),
        )
        self._part_sent: dict[
            str, tuple[str, int]
        ] = {}  # by endpoint: of which notification, how many requests
        self._target: Callable[[Endpoint], _Target | str] = lru_cache(4096)(self._make_target)

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        """Send the stored body to the endpoint once, and say how that went."""
        target = self._target(endpoint)
        if isinstance(target, str):
            return Failed(target)
        if target.split is not None:
            return await self._deliver_split(
                endpoint, target, target.split(notification), notification, attempt, replay
            )
        body = cloudevents.wrap(notification, self._source) if target.is_wrapped else notification.body
        return await self._send(
            endpoint, target, notification, notification.notification_id, body, attempt, replay
        )

    async def _deliver_split(
        self,
        endpoint: Endpoint,
        target: "_Target",
        actions: Sequence[aodh.Action],
        notification: StoredNotification,
        attempt: int,
        replay: bool,
    ) -> DeliveryOutcome:
        """Send the parts of a notification one after the other; a repeat goes on where the last attempt failed."""
        name, notification_id = endpoint.endpoint_id, notification.notification_id
        before_id, sent = self._part_sent.pop(name, ("", 0))
        if replay or before_id != notification_id:
            sent = 0
        now = self._clock.now()
        told, outcome = None, Delivered(204, now, now)  # of what has no parts there is nothing to tell
        for action in actions[sent:]:
            answer = await self._send(
                endpoint, target, notification, action.action_id, action.body, attempt, replay
            )
            if not isinstance(answer, Delivered):
                if len(self._part_sent) >= PART_SENT:
                    self._part_sent.pop(next(iter(self._part_sent)))
                self._part_sent[name] = notification_id, sent
                return answer
            sent += 1
            told, outcome = told or answer.told, answer
        return outcome if told is None else replace(outcome, told=told)

    async def _send(
        self,
        endpoint: Endpoint,
        target: "_Target",
        notification: StoredNotification,
        message_id: str,
        body: bytes,
        attempt: int,
        replay: bool,
    ) -> DeliveryOutcome:
        """Make one request, and say how that went."""
        settings = self._settings
        limit = (settings.first_timeout if attempt <= 1 else settings.timeout).total_seconds()
        request = self._post(target, message_id, body, notification.sequence, attempt, replay)
        try:
            answer = await self._ask(target, request, limit)
        except TooLate as error:
            return Failed(f"no {error.what} within {limit:g} s")
        except Exception as error:
            return Failed(self._explain(error, endpoint, target))
        return outcome_of(answer.status, answer.retry_after, answer.told, answer.received)

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Ask whether the endpoint is there, by a GET: None for any HTTP answer, or a sentence on what to mind."""
        target = self._target(endpoint)
        if isinstance(target, str):
            return target
        limit = self._settings.probe_timeout.total_seconds()
        try:
            answer = await self._ask(target, target.get, limit)
        except TooLate:
            return f"no answer within {limit:g} s"
        except Exception as error:
            return self._explain(error, endpoint, target)
        return "answers with a redirect, which is not followed" if 300 <= answer.status < 400 else None

    def check(self, endpoint: Endpoint) -> str | None:
        """Say why this endpoint may never be used, or None. Names are not looked up."""
        target = self._target(endpoint)
        return target if isinstance(target, str) else None

    async def close(self) -> None:
        """Give connections back; what is under way fails."""
        self._pool.close()

    async def _ask(self, target: "_Target", request: bytes, limit: float) -> Answer:
        """Send a request and return its answer. With a kept connection it is sent before anything is waited for."""
        pool, place = self._pool, target.place
        if pool.closed:
            raise Closed
        deadline = asyncio.get_running_loop().time() + limit
        connection = pool.take(place) or await pool.connect(place, deadline)
        return await connection.ask(request, deadline)

    def _make_target(self, endpoint: Endpoint) -> "_Target | str":
        """Prepare what is the same for every request to an endpoint, or say why there can be none."""
        if endpoint.format not in FORMATS:
            return f"format {endpoint.format!r} is not known: use {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        if len(endpoint.url) > MAX_URL:
            return f"the URL is longer than {MAX_URL} characters"
        if not endpoint.url.isprintable() or " " in endpoint.url:
            return "the URL has spaces or control characters"
        try:
            url = Url.parse(endpoint.url)
        except ValueError:  # whose text may repeat a password
            return "the URL cannot be read: it has the form https://host:port/path"
        if objection := self._guard.objection_to_url(url):
            return objection
        try:
            signer = Signer(endpoint.secret) if endpoint.secret is not None else None
        except ValueError as error:
            return f"the secret cannot be used: {error}"
        return _Target(url, signer, endpoint.format)

    def _post(
        self, target: "_Target", message_id: str, body: bytes, sequence: int, attempt: int, replay: bool
    ) -> bytes:
        """Write the whole request of one attempt."""
        timestamp = int(self._clock.now().timestamp())
        signature = (
            f"webhook-signature: {target.signer.sign(message_id, timestamp, body)}\r\n"
            if target.signer
            else ""
        )
        fields = (
            f"content-length: {len(body)}\r\n"
            f"webhook-id: {message_id}\r\n"
            f"webhook-timestamp: {timestamp}\r\n"
            f"{signature}"
            f"doctor-attempt: {attempt}\r\n"
            f"{REPLAYED if replay else ''}"
            f"{f'x-openstack-request-id: req-{message_id}{CRLF}' if target.split else ''}"
            f"doctor-sequence: {sequence}\r\n\r\n"
        )
        return b"".join((target.post, fields.encode(), body))

    def _explain(self, error: Exception, endpoint: Endpoint, target: "_Target") -> str:
        """Turn an error into a short sentence. It names no address that only a name server knows."""
        host = target.place.host
        if isinstance(error, AddressRefused):
            log.warning(
                "webhook.address_refused",
                endpoint_id=endpoint.endpoint_id,
                host=host,
                address=error.address,
                port=error.port,
                why=error.why,
            )
            return f"{host} has an address that is not allowed"
        if isinstance(error, UnknownName):
            return f"the name {host} cannot be resolved"
        sentence = explain(error)
        if sentence is None:
            log.error("webhook.failed_unexpectedly", endpoint_id=endpoint.endpoint_id, exc_info=error)
            return f"failed inside Doctor ({type(error).__name__})"
        return sentence


class _Target:
    """What is the same for every request to one endpoint: ``post`` lacks the fields of the attempt and the body."""

    __slots__ = ("get", "is_wrapped", "place", "post", "signer", "split")

    def __init__(self, url: Url, signer: Signer | None, form: str) -> None:
        self.is_wrapped = form == "cloudevents"
        self.split = SPLIT.get(form)
        content_type = cloudevents.CONTENT_TYPE if self.is_wrapped else "application/json"
        same = (
            f" {url.target} HTTP/1.1\r\n"
            f"host: {url.host_header}\r\n"
            "accept: */*\r\n"
            "accept-encoding: identity\r\n"
            f"user-agent: doctor/{__version__}\r\n"
        )
        self.place = url.place
        self.signer = signer
        self.get = f"GET{same}\r\n".encode()
        self.post = f"POST{same}content-type: {content_type}\r\n".encode()


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _half_of_the_files() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if files == resource.RLIM_INFINITY else max(files // 2, 16)
