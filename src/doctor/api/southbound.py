"""The doors of the Monitors: `/v1/events`, and `/events` for the OPNFV sample monitor and collectd's plug-in.

In front of everything else and as short as can be, since thousands of events per second come this way. In comes a
request, out go raw events into the fault flow; the answer says what is durable now. What it is not: a judge of what
events mean.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping, Sequence
from datetime import UTC, tzinfo
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, NamedTuple

import msgspec
import structlog

from doctor.api.identification import Identify, nobody
from doctor.api.problem import BEARER, MEDIA_TYPE, HttpRejectedError, problem_of
from doctor.api.roles import REPORTERS
from doctor.api.wire.event import Parsed, Rejected, parse_events
from doctor.flows.fault import Accepted, FaultFlow, Reported
from doctor.kit.clock import Clock
from doctor.model.errors import DoctorError, Reason, RejectedError
from doctor.model.identity import Identity

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
Read = Callable[[], Awaitable[bytes]]

EVENTS = "/v1/events"
MAX_BODY = 1024 * 1024
BODY_WITHIN = 10.0  # seconds


_JSON = ((b"content-type", b"application/json"),)
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)


class AcceptedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that is durable. ``duplicate``: it was reported before, and nothing came of it this time."""

    index: int
    event_id: str
    duplicate: bool


class EventsAnswer(msgspec.Struct, frozen=True):
    """What became of each event of a request."""

    accepted: list[AcceptedEvent]
    rejected: list[Rejected]


_encoder = msgspec.json.Encoder()


class Reply(NamedTuple):
    """An answer, whole."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Asked(NamedTuple):
    """A report that can be judged, with what else there is to answer."""

    report: Reported
    parsed: Parsed


OnReply = Callable[[Reply], None]
OnRefused = Callable[[str, int], None]


class SouthboundDoor:
    """Answers the event doors and hands everything else to the application behind it.

    It is an ASGI application; a server that has no need of ASGI hands over what it has read by `take`.
    """

    def __init__(
        self,
        behind: App,
        faults: FaultFlow,
        identify: Identify,
        clock: Clock,
        *,
        anonymous_from: Sequence[IPv4Network | IPv6Network] = (),
        anonymous_zone: tzinfo | None = None,
        challenge: str = BEARER,
        on_refused: OnRefused = lambda source, events: None,
    ) -> None:
        self._behind = behind
        self._faults = faults
        self._identify = identify
        self._challenge = challenge
        self._on_refused = on_refused
        self._clock = clock
        self._anonymous_from = tuple(anonymous_from)
        self._anonymous_zone = anonymous_zone
        self._gathered: list[tuple[Headers, bytes | DoctorError, OnReply]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path, method = scope.get("path"), scope.get("method")
        if (path == EVENTS and method == "POST") or (path == "/events" and method in ("PUT", "POST")):
            read = partial(_read, scope["headers"], receive)
            reply = await self.reply(path, scope["headers"], scope.get("client"), read)
            length = (b"content-length", str(len(reply.body)).encode())
            start = {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [*reply.headers, length],
            }
            await send(start)
            await send({"type": "http.response.body", "body": reply.body})
        else:
            await self._behind(scope, receive, send)

    def take(self, headers: Headers, body: bytes | DoctorError, answer: OnReply) -> None:
        """Have a report at `/v1/events` judged and answered, together with all that come in this turn of the event loop.

        Instead of a body there may be what is wrong with it. Each is answered for itself.
        """
        self._gathered.append((headers, body, answer))
        if len(self._gathered) == 1:
            self._begin(self._judge())

    def _begin(self, judging: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(judging)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge(self) -> None:
        """Judge what has gathered as one step."""
        gathered, self._gathered = self._gathered, []
        asked: list[tuple[Asked, OnReply]] = []
        for headers, body, answer in gathered:
            try:
                found = self._identify(headers)
                if found is None or isinstance(found, Identity):
                    asked.append((self._read(found, headers, body), answer))
                else:
                    self._begin(self._judge_later(found, headers, body, answer))
            except Exception as error:
                answer(_refusal(error, EVENTS))
        if asked:
            replies = await self._replies([one for one, _ in asked])
            for (_, answer), reply in zip(asked, replies, strict=True):
                answer(reply)

    async def _judge_later(
        self, found: Awaitable[Identity | None], headers: Headers, body: bytes | DoctorError, answer: OnReply
    ) -> None:
        """Judge a report of which somebody else has to be asked who sends it; the others do not wait for it."""
        try:
            asked = self._read(await found, headers, body)
        except Exception as error:
            answer(_refusal(error, EVENTS))
            return
        (reply,) = await self._replies([asked])
        answer(reply)

    async def _replies(self, asked: Sequence[Asked]) -> list[Reply]:
        try:
            accepted = await self._faults.accept([one.report for one in asked])
        except Exception as error:
            if isinstance(error, DoctorError) or len(asked) == 1:
                return [_refusal(error, EVENTS)] * len(asked)
            return [reply for one in asked for reply in await self._replies([one])]  # one of them is to blame
        return [_reply(one, happened) for one, happened in zip(asked, accepted, strict=True)]

    def _read(self, identity: Identity | None, headers: Headers, body: bytes | DoctorError) -> Asked:
        """Read what comes by `POST /v1/events` [D 5.6]."""
        reporter = self._reporter(identity, headers)
        if isinstance(body, DoctorError):
            raise body
        return self._asked(reporter, body)

    async def reply(self, path: str, headers: Headers, client: tuple[str, int] | None, read: Read) -> Reply:
        """Return the answer to a report at one of the event doors; every way out of here is an answer.

        ``read`` returns the body, when it is wanted, and raises a `DoctorError` where there is none to be had.
        """
        try:
            if path == EVENTS:
                reporter = self._reporter(await self._identified(headers), headers)
                asked = self._asked(reporter, await read())
                (accepted,) = await self._faults.accept([asked.report])
                return _reply(asked, accepted)
            return await self._report_plainly(headers, client, read)
        except Exception as error:
            return _refusal(error, path)

    async def _identified(self, headers: Headers) -> Identity | None:
        found = self._identify(headers)
        return found if found is None or isinstance(found, Identity) else await found

    def _reporter(self, identity: Identity | None, headers: Headers) -> str:
        """Return the name of who reports by `POST /v1/events`."""
        if identity is None:
            raise nobody("a token is needed: Authorization: Bearer ...", self._challenge)
        _check_role(identity)
        for name, value in headers:
            if name == b"content-type" and b"json" not in value:
                raise HttpRejectedError(415, "send application/json")
        return identity.name

    def _asked(self, reporter: str, body: bytes) -> Asked:
        received = self._clock.now()
        parsed = self._parsed(body, reporter, UTC)
        return Asked(Reported(parsed.events, reporter, body, received), parsed)

    def _parsed(self, body: bytes, reporter: str, zone: tzinfo) -> Parsed:
        """Read a body, and have it counted if that cannot be done, or not in all."""
        try:
            parsed = parse_events(body, source=reporter, zone=zone)
        except RejectedError:
            self._on_refused(reporter, 1)
            raise
        if parsed.rejected:
            self._on_refused(reporter, len(parsed.rejected))
        return parsed

    async def _report_plainly(self, headers: Headers, client: tuple[str, int] | None, read: Read) -> Reply:
        """Answer `PUT|POST /events` as the OPNFV inspector did: `OK` once the events are durable."""
        identity = await self._identified(headers)
        if identity is not None:
            _check_role(identity)
        elif not self._is_welcome(client):
            raise nobody("a token is needed, or this address in auth.anonymous_events_from", self._challenge)
        source = identity.name if identity else "opnfv"
        body = await read()
        received = self._clock.now()
        zone = self._anonymous_zone or received.astimezone().tzinfo
        parsed = self._parsed(body, source, zone or UTC)
        await self._faults.accept([Reported(parsed.events, source, body, received)])
        return Reply(200, _TEXT, b"OK")

    def _is_welcome(self, client: tuple[str, int] | None) -> bool:
        if not client or not self._anonymous_from:
            return False
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self._anonymous_from)


def _reply(asked: Asked, happened: Accepted) -> Reply:
    accepted = [
        AcceptedEvent(index, event_id, not new)
        for index, event_id, new in zip(asked.parsed.indexes, *happened, strict=True)
    ]
    return Reply(202, _JSON, _encoder.encode(EventsAnswer(accepted, asked.parsed.rejected)))


def _refusal(error: Exception, path: str) -> Reply:
    if not isinstance(error, DoctorError):
        log.error("door.broken", path=path, exc_info=error)
    problem = problem_of(error, path)
    fields = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return Reply(problem.status, (*fields, (b"content-type", MEDIA_TYPE.encode())), problem.body)


def _check_role(identity: Identity) -> None:
    if identity.role not in REPORTERS:
        raise RejectedError(f"a {identity.role} may not report events", reason=Reason.FORBIDDEN)


def check_length(headers: Headers) -> None:
    """Raise `RejectedError` if the head of a request says that its body is too long."""
    for name, value in headers:
        if name == b"content-length" and int(value) > MAX_BODY:
            raise too_long()


async def _read(headers: Headers, receive: Receive) -> bytes:
    """Return the body of a request.

    Raises:
        RejectedError: it is too long, or did not come in time, or its sender went away.
    """
    check_length(headers)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_WITHIN):
            more = True
            while more:
                message = await _receive(receive)
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MAX_BODY:
                    raise too_long()
                more = message.get("more_body", False)
    except TimeoutError:
        raise too_slow() from None
    return b"".join(parts)


async def _receive(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RejectedError("the sender went away", reason=Reason.MALFORMED)
    return message


def too_slow() -> HttpRejectedError:
    """Return what answers a body that does not come."""
    return HttpRejectedError(408, f"the body did not come within {BODY_WITHIN:.0f} s")


def too_long() -> RejectedError:
    """Return what answers a body that is too long."""
    return RejectedError(f"the body is longer than {MAX_BODY} bytes", reason=Reason.TOO_LARGE)
