"""How the announcements of a cloud are heard, on its message bus.

Doctor has a queue of its own, bound to the exchanges of the services, so that it takes nothing from others that
listen. The queue lives as long as the connection: what was said while nobody listened is found by a reconciliation,
which every new connection asks for.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable

from doctor.drivers.controllers.openstack.settings import NotificationSettings
from doctor.model.errors import PermanentError, TransientError

QUEUE_LIMIT = 100_000  # messages that wait for Doctor; beyond it the oldest go
PREFETCH = 200
HEARTBEAT = 10  # seconds: a bus that is gone without a word is missed after two of them


class Bus:
    """The message bus of one cloud."""

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings

    async def messages(self, on_listening: Callable[[], Awaitable[None]]) -> AsyncGenerator[bytes, None]:
        """Return what is said from now on, until the connection is lost.

        ``on_listening`` is called once nothing will be missed any more.

        Raises:
            TransientError: the bus cannot be heard, or not any more.
            PermanentError: the file with its address cannot be used.
        """
        import aio_pika
        from aio_pika.exceptions import AMQPError

        try:
            connection = await aio_pika.connect(self._url(), timeout=10, heartbeat=HEARTBEAT)
        except (AMQPError, OSError, TimeoutError) as error:
            raise TransientError(f"the message bus: {str(error) or type(error).__name__}") from None
        try:
            async with connection:
                channel = await connection.channel(publisher_confirms=False)
                await channel.set_qos(PREFETCH)
                queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": QUEUE_LIMIT})
                for exchange, topic in self._sources():
                    await self._declare(connection, exchange)
                    await queue.bind(exchange, f"{topic}.#")
                async with queue.iterator(no_ack=True) as messages:
                    await on_listening()
                    async for message in messages:
                        yield message.body
        except (AMQPError, OSError, TimeoutError) as error:
            raise TransientError(f"the message bus: {str(error) or type(error).__name__}") from None
        raise TransientError("the message bus has closed the connection")

    def _sources(self) -> tuple[tuple[str, str], ...]:
        settings = self._settings
        return (
            (settings.nova_exchange, settings.nova_topic),
            (settings.neutron_exchange, settings.neutron_topic),
        )

    async def _declare(self, connection: object, name: str) -> None:
        """Make an exchange, if its service has not yet: as oslo.messaging makes it, and not where it is otherwise."""
        from aio_pika.abc import AbstractConnection
        from aio_pika.exceptions import ChannelNotFoundEntity

        assert isinstance(connection, AbstractConnection)
        channel = await connection.channel()  # of its own: one that fails to find is closed
        try:
            await channel.declare_exchange(name, passive=True)
        except ChannelNotFoundEntity:
            channel = await connection.channel()
            await channel.declare_exchange(name, "topic", durable=False)
        await channel.close()

    def _url(self) -> str:
        try:
            return self._settings.url_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(f"notifications.url_file: {error}") from None
