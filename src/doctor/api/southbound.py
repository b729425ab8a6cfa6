"""The doors of the Monitors: `/v1/events`, and `/events` for the OPNFV sample monitor and collectd's plug-in.

Bare ASGI in front of everything else, since thousands of events per second come this way. In comes a request, out go
raw events into the fault flow; the answer says what is durable now. What it is not: a judge of what events mean.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import msgspec
import structlog

from doctor.api.problem import MEDIA_TYPE, HttpRejectedError, problem_of
from doctor.api.roles import REPORTERS
from doctor.api.wire.event import Rejected, parse_events
from doctor.flows.fault import FaultFlow
from doctor.kit.clock import Clock
from doctor.model.errors import DoctorError, Reason, RejectedError
from doctor.model.identity import Identity

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Identify = Callable[[Iterable[tuple[bytes, bytes]]], Identity | None]

MAX_BODY = 1024 * 1024
BODY_WITHIN = 10.0  # seconds


_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


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


class SouthboundDoor:
    """Answers the event doors and hands everything else to the application behind it."""

    def __init__(
        self,
        behind: App,
        faults: FaultFlow,
        identify: Identify,
        clock: Clock,
        *,
        anonymous_from: Sequence[IPv4Network | IPv6Network] = (),
        anonymous_zone: tzinfo | None = None,
    ) -> None:
        self._behind = behind
        self._faults = faults
        self._identify = identify
        self._clock = clock
        self._anonymous_from = tuple(anonymous_from)
        self._anonymous_zone = anonymous_zone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path, method = scope.get("path"), scope.get("method")
        if path == "/v1/events" and method == "POST":
            answer = self._report
        elif path == "/events" and method in ("PUT", "POST"):
            answer = self._report_plainly
        else:
            await self._behind(scope, receive, send)
            return
        try:
            status, header, body = await answer(scope, receive)
            headers = [header]
        except Exception as error:  # every way out of here is an answer
            if not isinstance(error, DoctorError):
                log.exception("door.broken", path=path)
            problem = problem_of(error, str(path))
            status, body = problem.status, problem.body
            headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
            headers.append((b"content-type", MEDIA_TYPE.encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _report(self, scope: Scope, receive: Receive) -> tuple[int, tuple[bytes, bytes], bytes]:
        """Answer `POST /v1/events` [D 5.6]."""
        identity = self._identify(scope["headers"])
        if identity is None:
            raise RejectedError("a token is needed: Authorization: Bearer ...", reason=Reason.UNAUTHENTICATED)
        _check_role(identity)
        for name, value in scope["headers"]:
            if name == b"content-type" and b"json" not in value:
                raise HttpRejectedError(415, "send application/json")
        body = await _read(scope, receive)
        received = self._clock.now()
        parsed = parse_events(body, source=identity.name)
        answers = await self._faults.accept(parsed.events, source=identity.name, body=body, received=received)
        accepted = [
            AcceptedEvent(index, answer.event_id, answer.duplicate)
            for index, answer in zip(parsed.indexes, answers, strict=True)
        ]
        return 202, _JSON, _encoder.encode(EventsAnswer(accepted, parsed.rejected))

    async def _report_plainly(self, scope: Scope, receive: Receive) -> tuple[int, tuple[bytes, bytes], bytes]:
        """Answer `PUT|POST /events` as the OPNFV inspector did: `OK` once the events are durable."""
        identity = self._identify(scope["headers"])
        if identity is not None:
            _check_role(identity)
        elif not self._is_welcome(scope):
            raise RejectedError(
                "a token is needed, or this address in auth.anonymous_events_from",
                reason=Reason.UNAUTHENTICATED,
            )
        source = identity.name if identity else "opnfv"
        body = await _read(scope, receive)
        received = self._clock.now()
        zone = self._anonymous_zone or received.astimezone().tzinfo
        parsed = parse_events(body, source=source, zone=zone or received.tzinfo)  # type: ignore[arg-type]
        await self._faults.accept(parsed.events, source=source, body=body, received=received)
        return 200, _TEXT, b"OK"

    def _is_welcome(self, scope: Scope) -> bool:
        client = scope.get("client")
        if not client or not self._anonymous_from:
            return False
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self._anonymous_from)


def _check_role(identity: Identity) -> None:
    if identity.role not in REPORTERS:
        raise RejectedError(f"a {identity.role} may not report events", reason=Reason.FORBIDDEN)


async def _read(scope: Scope, receive: Receive) -> bytes:
    """Return the body of a request.

    Raises:
        RejectedError: it is too long, or did not come in time, or its sender went away.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > MAX_BODY:
            raise _too_long()
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
                    raise _too_long()
                more = message.get("more_body", False)
    except TimeoutError:
        raise HttpRejectedError(408, f"the body did not come within {BODY_WITHIN:.0f} s") from None
    return b"".join(parts)


async def _receive(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RejectedError("the sender went away", reason=Reason.MALFORMED)
    return message


def _too_long() -> RejectedError:
    return RejectedError(f"the body is longer than {MAX_BODY} bytes", reason=Reason.TOO_LARGE)
