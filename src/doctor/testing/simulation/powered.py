"""A Doctor that can cut hosts off and move machines: wired as the service does it, on devices and a cloud that outlive it."""

from collections.abc import Coroutine
from typing import Any, NamedTuple

import msgspec

from doctor.flows.cloud import CloudFlow, KeptMap
from doctor.flows.coupling import couple
from doctor.flows.fences import Fences
from doctor.flows.fencing_desk import FencingDesk
from doctor.flows.instruction import InstructionFlow
from doctor.flows.isolation import IsolationFlow
from doctor.flows.marking import MarkingFlow
from doctor.flows.overlay import Overlay
from doctor.flows.recovery import RecoveryFlow
from doctor.flows.recovery_policy import RecoveryPolicyFlow
from doctor.flows.scene import FencingRules
from doctor.kit.clock import Clock
from doctor.model.fence_plan import FencePlan
from doctor.model.marking import ForceDown
from doctor.model.recovery import RecoveryLimits
from doctor.model.resource_map import ResourceMap
from doctor.ports.channel import Channel
from doctor.ports.controller import Controller
from doctor.ports.fence import Fence
from doctor.ports.store import Store
from doctor.testing.simulation.loop import SimLoop
from doctor.testing.simulation.process import Doctor


class Outfit(NamedTuple):
    """What the settings of this Doctor name."""

    cloud: Controller
    devices: dict[str, Fence]
    plans: dict[str, FencePlan]
    rules: FencingRules
    limits: RecoveryLimits


class PoweredDoctor(Doctor):
    """The flows of one process, those of fencing and recovery too."""

    def __init__(
        self, name: str, loop: SimLoop, store: Store, channel: Channel, clock: Clock, outfit: Outfit
    ) -> None:
        super().__init__(name, loop, store, channel, clock, clouds=[outfit.cloud.name])
        clouds: dict[str, Controller] = {outfit.cloud.name: outfit.cloud}
        situation, faults, timelines = self.situation, self.faults, self.timelines
        fences = Fences(outfit.devices, outfit.plans, clock)
        self.isolation = IsolationFlow(situation, faults, fences, timelines, clock, outfit.rules)
        self.marks = MarkingFlow(
            situation,
            clouds,
            timelines,
            clock,
            {outfit.cloud.name: ForceDown.AUTO},
            self.isolation.lookup.can_isolate,
            self.isolation.keeps_down,
        )
        self.overlay = Overlay(situation, faults)
        commanded: dict[str | None, Controller] = {outfit.cloud.name: outfit.cloud}
        self.instructions = InstructionFlow(
            situation, commanded, self.isolation, faults, self.delivery, timelines, clock
        )
        self.recoveries = RecoveryFlow(situation, self.instructions, self.isolation, clock, outfit.limits)
        self.recovery_policies = RecoveryPolicyFlow(situation, clock, self.recoveries.look_at)
        couple(faults, self.isolation, self.marks, self.instructions, self.recoveries)
        self.cloud = CloudFlow(situation, clouds, faults, self.marks, self.delivery, clock, self.overlay)
        self.desk = FencingDesk(situation, self.isolation, clock, self.instructions.leaving)

    async def start(self) -> None:
        """Take over what the store has."""
        await super().start()
        self.marks.resume()

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs side by side."""
        return [
            *super().works(),
            self.marks.run(),
            self.cloud.run(),
            self.isolation.run(),
            self.instructions.run(),
            self.recoveries.run(),
        ]

    def _read(self, document: bytes) -> ResourceMap:
        return msgspec.json.decode(document, type=KeptMap).resource_map
