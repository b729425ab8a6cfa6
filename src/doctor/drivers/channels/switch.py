"""Several channels as one: an endpoint that a channel of the settings brought goes to that one, all others to the first."""

from collections.abc import Sequence

from doctor.model.notification import DeliveryOutcome, StoredNotification
from doctor.model.subscription import Endpoint
from doctor.ports.channel import Channel, FixedChannel


class SwitchChannel:
    """A `doctor.ports.channel.Channel` made of others."""

    def __init__(self, common: Channel, fixed: Sequence[FixedChannel]) -> None:
        self._common = common
        self._fixed = {one.endpoint.endpoint_id: one for one in fixed}

    def _to(self, endpoint: Endpoint) -> Channel:
        return self._fixed.get(endpoint.endpoint_id, self._common)

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        """Send by the channel of the endpoint."""
        return await self._to(endpoint).deliver(endpoint, notification, attempt=attempt, replay=replay)

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Ask by the channel of the endpoint."""
        return await self._to(endpoint).probe(endpoint)

    def check(self, endpoint: Endpoint) -> str | None:
        """Ask the channel of the endpoint."""
        return self._to(endpoint).check(endpoint)

    async def close(self) -> None:
        """Close all."""
        for channel in (self._common, *self._fixed.values()):
            await channel.close()
