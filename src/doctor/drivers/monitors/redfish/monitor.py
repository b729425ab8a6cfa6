"""The Redfish monitor as the rest of Doctor sees it."""

from collections.abc import Mapping, Sequence
from typing import Any

from doctor.drivers.monitors.bmc.watching import Bmc, BmcMonitor
from doctor.drivers.monitors.redfish.hints import Hints
from doctor.drivers.monitors.redfish.service import RedfishBmc
from doctor.drivers.monitors.redfish.settings import Door, EventSettings, RedfishMonitorSettings
from doctor.kit.clock import Clock

DRIVER = "redfish"


class RedfishMonitor(BmcMonitor):
    """Reports what BMCs show. With ``events`` they are asked to say when there is something to see."""

    def __init__(
        self,
        settings: RedfishMonitorSettings,
        doors: Mapping[str, Door],
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            DRIVER, settings.name, self._bmcs, every=settings.every, timeout=settings.timeout, clock=clock
        )
        self._doors = doors
        self._events: EventSettings | None = settings.events
        self._hints: Hints | None = None

    def counts(self) -> Mapping[str, int]:
        """Return how much made no sense, how many records of logs were lost, and how many events came."""
        counts = dict(super().counts())
        if self._hints is not None:
            counts["rejected"] += self._hints.counts["refused"]
            counts["hints"] = self._hints.counts["hints"]
        return counts

    def _bmcs(self) -> list[RedfishBmc]:
        return [RedfishBmc(host, *door) for host, door in self._doors.items()]

    async def _begin(self) -> Sequence[Bmc]:
        bmcs = self._bmcs()
        if self._events is not None:
            self._hints = Hints(*self._events.address, self._events.tls())
            await self._hints.start()
            for bmc in bmcs:
                bmc.subscribe(
                    self._events.base + self._hints.door(bmc.bell), f"doctor {self.name} {bmc.host}"
                )
        return bmcs

    async def _end(self) -> None:
        if self._hints is not None:
            await self._hints.close()


def make(settings: Mapping[str, Any]) -> RedfishMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = RedfishMonitorSettings.parse(settings)
    if read.events is not None:
        read.events.check()
    return RedfishMonitor(read, read.doors())
