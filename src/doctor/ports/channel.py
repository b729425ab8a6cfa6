"""How a notification reaches a Consumer."""

from typing import Protocol

from doctor.model.notification import DeliveryOutcome, StoredNotification
from doctor.model.subscription import Endpoint


class Channel(Protocol):
    """One kind of endpoint.

    A channel makes one attempt at a time and never repeats by itself: order, repeats and giving up are decided by
    the delivery flow. Failures are values, never exceptions.
    """

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        """Send the stored body to the endpoint once, and say how that went. A ``replay`` is marked as such."""
        ...

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Ask whether the endpoint is there: None, or a sentence on why it is not."""
        ...

    def check(self, endpoint: Endpoint) -> str | None:
        """Say why this endpoint may never be used (address not allowed, not https ...), or None."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class FixedChannel(Channel, Protocol):
    """A channel of the settings (entry point ``doctor.channels``): it has one endpoint, and tells all there is."""

    @property
    def endpoint(self) -> Endpoint:
        """Return it; its URL shows no secret."""
        ...
