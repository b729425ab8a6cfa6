"""A Doctor that also empties hosts: wired as the service does it."""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from doctor.flows.maintenance import MaintenanceFlow
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.flows.maintenance_policy import MaintenancePolicyFlow
from doctor.flows.maintenance_session import SessionKeeper
from doctor.kit.clock import Clock
from doctor.model.maintenance import MaintenanceLimits
from doctor.ports.channel import Channel
from doctor.ports.store import Store
from doctor.testing.simulation.loop import SimLoop
from doctor.testing.simulation.powered import Outfit, PoweredDoctor

LIMITS = MaintenanceLimits(retry_after=timedelta(seconds=2))


class MaintainedDoctor(PoweredDoctor):
    """The flows of one process, those of maintenance too."""

    def __init__(
        self, name: str, loop: SimLoop, store: Store, channel: Channel, clock: Clock, outfit: Outfit
    ) -> None:
        super().__init__(name, loop, store, channel, clock, outfit)
        keeper = SessionKeeper(self.situation, self.instructions, self.delivery)
        keeper.on_changed(self.marks.look_at)
        keeper.on_changed(self.isolation.heard)
        self.emptying = MaintenanceFlow(
            self.situation, keeper, self.instructions, self.delivery, self.isolation, clock, LIMITS
        )
        self.faults.on_settled(self.emptying.settled)
        self.maintenance_policies = MaintenancePolicyFlow(
            self.situation, clock, lambda *_parts: self.emptying.ring()
        )
        self.maintenance = MaintenanceDesk(
            self.situation,
            keeper,
            self.faults,
            self.delivery,
            channel,
            clock,
            self.emptying.ring,
            LIMITS,
        )

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs side by side."""
        return [*super().works(), self.emptying.run()]
