"""The channel to a message bus: one endpoint, which the settings name.

It keeps no order, repeats nothing and holds nothing back: the delivery flow does, from the outbox, as for every other
endpoint. A bus that is away is tried again by its schedule, and gets then what it has missed.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import structlog

from doctor.drivers.channels.oslo.broker import Bus, RabbitMq, load_libraries
from doctor.drivers.channels.oslo.envelope import fenix_messages, messages
from doctor.kit.clock import Clock, SystemClock
from doctor.kit.ids import stable_id
from doctor.kit.options import convert
from doctor.model.errors import DoctorError
from doctor.model.fenix import SERVICE
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, StoredNotification
from doctor.model.subscription import FENIX, Endpoint

log = structlog.get_logger(__name__)

FORMAT = "oslo"
CLOSING = 1.0  # seconds that a connection gets to say goodbye

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[\w.:-]+$")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]
Connect = Callable[[str, str, str], Awaitable[Bus]]


class OsloSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message bus (``channels`` in the settings).

    ``url_file`` holds its address with the password, ``amqp://user:password@host:port/``; the nodes of a cluster one to
    a line. ``exchange`` and ``topic`` are where a listener looks: the routing key is the topic with ``.info``.
    ``publisher_id`` is who says it. ``timeout`` is how long one attempt may take in all. ``messages`` are Doctor's own of
    everything, or those that Fenix sends of maintenance.
    """

    url_file: Path
    exchange: Name = "doctor"
    topic: Name = "notifications"
    publisher_id: Name | None = None
    timeout: Seconds = 10
    messages: Literal["doctor", "fenix"] = "doctor"


def make(settings: Mapping[str, Any]) -> "OsloChannel":
    """Read the settings, and the address.

    Raises:
        ValueError: with the path of what is wrong.
    """
    parsed = convert(settings, OsloSettings)
    load_libraries()
    return OsloChannel(parsed, read_urls(parsed.url_file), SystemClock())


def read_urls(file: Path) -> list[str]:
    """Return the addresses in a file. What is wrong with one is told without showing it.

    Raises:
        ValueError: it cannot be read, has none, or one that is none.
    """
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"url_file: {file} cannot be read: {error}") from None
    urls = [line for line in lines if line]
    if not urls or not all(_is_address(url) for url in urls):
        raise ValueError(
            f"url_file: {file} should hold amqp://user:password@host:port/ or amqps://, one to a line"
        )
    return urls


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class OsloChannel:
    """A `doctor.ports.channel.FixedChannel`: what it delivers is on the bus once the bus has confirmed all of it."""

    def __init__(
        self, settings: OsloSettings, urls: list[str], clock: Clock, *, connect: Connect = RabbitMq.connect
    ) -> None:
        self._settings = settings
        self._urls = urls
        self._clock = clock
        self._connect = connect
        speaks_fenix = settings.messages == FENIX
        usual = SERVICE if speaks_fenix else f"doctor.{socket.gethostname()}"
        self._publisher_id = settings.publisher_id or usual
        self._messages = fenix_messages if speaks_fenix else messages
        self._bus: Bus | None = None
        self._busy = asyncio.Lock()
        self._closed = False
        self._is_heard = True
        shown = [_shown(url) for url in urls]
        self.endpoint = Endpoint(
            endpoint_id=stable_id(
                "bus", settings.exchange, settings.topic, *shown, *((FENIX,) if speaks_fenix else ())
            ),
            url=f"{shown[0]}#{settings.exchange}/{settings.topic}",
            format=FENIX if speaks_fenix else FORMAT,
        )

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        """Put a notification on the bus once. A ``replay`` is the same messages again."""
        if self._closed:
            return Failed("the channel is closed")
        try:
            async with asyncio.timeout(self._settings.timeout), self._busy:
                return await self._publish(notification)
        except TimeoutError:
            await self._drop()
            return Failed(f"the bus did not confirm within {self._settings.timeout:g} s")
        except DoctorError as error:
            await self._drop()
            return Failed(str(error))
        except asyncio.CancelledError:
            await self._drop()
            raise
        except Exception as error:  # whatever state the libraries are in now, the next attempt begins anew
            log.error("bus.failed_unexpectedly", url=self.endpoint.url, exc_info=error)
            await self._drop()
            return Failed(f"failed inside Doctor ({type(error).__name__})")

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Ask whether the bus is there."""
        if self._closed:
            return "the channel is closed"
        try:
            async with asyncio.timeout(self._settings.timeout), self._busy:
                await self._connected()
        except TimeoutError:
            return f"no answer within {self._settings.timeout:g} s"
        except DoctorError as error:
            return str(error)
        return None

    def check(self, endpoint: Endpoint) -> str | None:
        """Object to every endpoint but the one of the settings."""
        return None if endpoint == self.endpoint else "a message bus is named in the settings only"

    async def close(self) -> None:
        """Give the connection back."""
        self._closed = True
        await self._drop()

    async def _publish(self, notification: StoredNotification) -> DeliveryOutcome:
        await asyncio.sleep(0)  # owners first: they are told in this turn of the event loop
        bus = await self._connected()
        told = self._clock.now()
        unheard = await bus.publish(self._messages(notification, self._publisher_id))
        self._note_silence(unheard)
        return Delivered(200, told, self._clock.now())

    async def _connected(self) -> Bus:
        """Return the connection, or make one, to the node that worked last if there is one."""
        if self._bus is not None and not self._bus.is_open:
            await self._drop()
        if self._bus is None:
            try:
                self._bus = await self._connect(self._urls[0], self._settings.exchange, self._settings.topic)
            finally:
                if self._bus is None:  # another node next time
                    self._urls.append(self._urls.pop(0))
            log.info("bus.connected", url=self.endpoint.url)
        return self._bus

    async def _drop(self) -> None:
        """Let go of a connection that failed, or of which nobody knows how far it got."""
        bus, self._bus = self._bus, None
        if bus is not None:
            try:
                async with asyncio.timeout(CLOSING):
                    await bus.close()
            except Exception as error:  # it was lost already
                log.debug("bus.not_closed", error=type(error).__name__)

    def _note_silence(self, unheard: int) -> None:
        """Say once that nobody listens, and once that somebody does again."""
        is_heard = not unheard
        if is_heard != self._is_heard:
            self._is_heard = is_heard
            if is_heard:
                log.info("bus.heard", url=self.endpoint.url)
            else:
                log.warning(
                    "bus.unheard", url=self.endpoint.url, hint="no queue is bound to this exchange and topic"
                )


def _shown(url: str) -> str:
    """Return an address without user and password."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    return f"{parts.scheme}://{host}:{port}{parts.path}"
