"""BMCs and chassis by Redfish, with sushy. Off is ForceOff: never a graceful shutdown, never a restart."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from doctor.devices.redfish import RedfishAccess, RedfishDevice
from doctor.devices.worker import Leash
from doctor.drivers.fences.switching import SwitchingFence
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.kit.secret import Secret, read_secret
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

if TYPE_CHECKING:
    from doctor.devices.redfish_session import RedfishSession

SYSTEM = re.compile(r"[A-Za-z0-9._~-]{0,255}")
OFF, KNOWN = "Off", {"On", "Off", "PoweringOn", "PoweringOff", "Paused"}
RESETS = {Supply.OFF: "ForceOff", Supply.ON: "On"}


class RedfishFence(SwitchingFence):
    """One service. A plug is the id of a system of it, and needless where there is only one."""

    kind = "redfish"
    cuts = Cut.POWER
    vantage = Vantage.OUT_OF_BAND
    partial = False

    def __init__(self, access: RedfishAccess, password: Secret, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._device = RedfishDevice(access, password)

    def check(self, plug: str) -> str | None:
        """Say what is no id of a system."""
        return None if SYSTEM.fullmatch(plug) else "is no id of a system"

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask for the UUID and the serial number."""

        def ask(session: "RedfishSession", leash: Leash) -> list[str]:
            system = session.system(plug, leash)
            return [str(name) for name in (system.uuid, system.serial_number) if name]

        names = await self._device.do(ask, deadline, fresh=True)
        if isinstance(names, Unknown):
            return names
        return (
            Identified(tuple(names)) if names else Unknown(Doubt.NOT_OFFERED, "it has no UUID and no serial")
        )

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read the state of the system."""

        def ask(session: "RedfishSession", leash: Leash) -> str:
            state = session.system(plug, leash).power_state
            return "" if state is None else str(state.value)

        state = await self._device.do(ask, deadline, fresh=fresh)
        if isinstance(state, Unknown):
            return state
        if state not in KNOWN:
            return Unknown(Doubt.UNINTELLIGIBLE, "it says nothing of the power")
        return Seen(Supply.OFF if state == OFF else Supply.ON, self._clock.now(), fresh=fresh)

    async def close(self) -> None:
        """Close the connections."""
        await self._device.close()

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        def command(session: "RedfishSession", leash: Leash) -> None:
            from sushy import ResetType

            system = session.system(plug, leash)
            if wanted is Supply.ON or system.power_state is None or system.power_state.value != OFF:
                system.reset_system(ResetType(RESETS[wanted]))  # some refuse what is done already

        answer = await self._device.do(command, deadline)
        return answer if isinstance(answer, Unknown) else None


def make(settings: Mapping[str, Any]) -> RedfishFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    access = convert(settings, RedfishAccess)
    access.check()
    return RedfishFence(access, read_secret(access.password_file, "password_file"))
