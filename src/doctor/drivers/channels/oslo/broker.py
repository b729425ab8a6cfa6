"""RabbitMQ, as far as sending takes: a connection, one exchange, and a confirmation for each message."""

import asyncio
import logging
from collections.abc import Iterable
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from doctor.drivers.channels.oslo.envelope import OsloMessage
from doctor.model.errors import TransientError

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

AT_ONCE = 50  # messages that wait for their confirmation together


class Bus(Protocol):
    """A connection to one message bus. It is closed after the first failure; another one is made then."""

    @property
    def is_open(self) -> bool:
        """Tell whether it can still be used, as far as one knows without trying."""
        ...

    async def publish(self, messages: Iterable[OsloMessage]) -> int:
        """Send messages in their order; return how many of them nobody listens to, once the bus has them all.

        Raises:
            TransientError: it does not have them all.
        """
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


def load_libraries() -> None:
    """Import what takes long to import, so that the first fault need not wait for it.

    Raises:
        ValueError: it is not installed.
    """
    # They would tell of each lost connection at length; the channel does briefly.
    for name in ("aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        import_module("aio_pika")
    except ModuleNotFoundError:
        raise ValueError("the libraries are not installed: pip install 'doctor-nfvi[openstack]'") from None


class RabbitMq:
    """A `Bus` by AMQP 0-9-1."""

    def __init__(
        self,
        connection: "AbstractConnection",
        channel: "AbstractChannel",
        exchange: "AbstractExchange",
        topic: str,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._exchange = exchange
        self._routing_key = f"{topic}.info"

    @property
    def is_open(self) -> bool:
        """Tell whether nobody has closed it."""
        return not self._connection.is_closed and not self._channel.is_closed

    @classmethod
    async def connect(cls, url: str, exchange: str, topic: str) -> "RabbitMq":
        """Connect, and make the exchange where it is not there yet.

        Raises:
            TransientError: nobody answers.
        """
        import aio_pika
        from aiormq.exceptions import AMQPError

        try:
            connection = await aio_pika.connect(url)
        except (AMQPError, OSError) as error:
            raise TransientError(_explain(error)) from error
        try:
            return await cls._open(connection, exchange, topic)
        except (AMQPError, OSError) as error:
            await connection.close()
            raise TransientError(_explain(error)) from error
        except BaseException:
            await connection.close()
            raise

    @classmethod
    async def _open(cls, connection: "AbstractConnection", name: str, topic: str) -> "RabbitMq":
        from aio_pika import ExchangeType
        from aiormq.exceptions import ChannelNotFoundEntity

        channel = await connection.channel(publisher_confirms=True)
        try:
            # One that is there may have been made by others, durable or not: both will do.
            exchange = await channel.get_exchange(name)
        except ChannelNotFoundEntity:  # which closes the channel
            channel = await connection.channel(publisher_confirms=True)
            exchange = await channel.declare_exchange(name, ExchangeType.TOPIC)
        return cls(connection, channel, exchange, topic)

    async def publish(self, messages: Iterable[OsloMessage]) -> int:
        """Send messages in their order, some at a time."""
        from aiormq.exceptions import AMQPError, ChannelInvalidStateError

        unheard = 0
        try:
            coming = iter(messages)
            while some := list(islice(coming, AT_ONCE)):
                outcomes = await asyncio.gather(*(self._publish(one) for one in some))
                unheard += outcomes.count(False)
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            raise TransientError(_explain(error)) from error
        return unheard

    async def _publish(self, message: OsloMessage) -> bool:
        """Send one message; tell whether anybody listens."""
        import aio_pika
        from pamqp.commands import Basic

        sent = aio_pika.Message(
            message.body,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
        )
        answer = await self._exchange.publish(sent, self._routing_key, mandatory=True)
        if isinstance(answer, Basic.Nack | Basic.Reject):
            raise TransientError("the bus did not take a message")
        return isinstance(answer, Basic.Ack)

    async def close(self) -> None:
        """Give the connection back."""
        await self._connection.close()


def _explain(error: Exception) -> str:
    """Return a short sentence; what a library says may repeat the address, with the password in it."""
    from aiormq.exceptions import AuthenticationError, ProbableAuthenticationError

    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return "the bus refuses the user or the password"
    for each in (error, error.__cause__):
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return f"the bus failed ({type(error).__name__})"
