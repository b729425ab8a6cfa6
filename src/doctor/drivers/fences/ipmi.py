"""BMCs by IPMI 2.0 over the network, with pyghmi.

What confirms a fence is read in a session of its own. A power cycle does not occur here: off is off.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from doctor.devices.ipmi import IpmiAccess, IpmiDevice
from doctor.devices.worker import Leash
from doctor.drivers.fences.switching import SwitchingFence
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.kit.secret import Secret, read_secret
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

if TYPE_CHECKING:
    from doctor.devices.ipmi_session import IpmiSession


class IpmiFence(SwitchingFence):
    """One BMC."""

    kind = "ipmi"
    cuts = Cut.POWER
    vantage = Vantage.OUT_OF_BAND
    partial = False
    poll_every = 0.03

    def __init__(self, access: IpmiAccess, password: Secret, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._device = IpmiDevice(access, password)

    def check(self, plug: str) -> str | None:
        """Say that there is only one host behind a BMC."""
        return "a BMC has no plugs: leave it out" if plug else None

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask for the GUID of the system."""

        def ask(session: "IpmiSession", leash: Leash) -> bytes:
            from doctor.devices.ipmi_session import APPLICATION, SYSTEM_GUID

            return session.ask(APPLICATION, SYSTEM_GUID, leash)

        answer = await self._device.do(ask, deadline, fresh=True)
        if isinstance(answer, Unknown):
            return answer
        if len(answer) != 16:
            return Unknown(Doubt.UNINTELLIGIBLE, f"a GUID of {len(answer)} bytes")
        if len(set(answer)) == 1:
            return Unknown(Doubt.NOT_OFFERED, "the BMC has no GUID")
        # The standard turns it round, many vendors do not, and some do so by halves: the same bytes all the same.
        mirrored = UUID(bytes=answer[::-1])
        return Identified(tuple(str(one) for one in (UUID(bytes_le=answer), UUID(bytes=answer), mirrored)))

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read the state of the chassis."""

        def ask(session: "IpmiSession", leash: Leash) -> bytes:
            from doctor.devices.ipmi_session import CHASSIS, CHASSIS_STATUS

            return session.ask(CHASSIS, CHASSIS_STATUS, leash)

        answer = await self._device.do(ask, deadline, fresh=fresh)
        if isinstance(answer, Unknown):
            return answer
        if len(answer) < 3:
            return Unknown(Doubt.UNINTELLIGIBLE, f"a chassis status of {len(answer)} bytes")
        return Seen(Supply.ON if answer[0] & 1 else Supply.OFF, self._clock.now(), fresh=fresh)

    async def close(self) -> None:
        """Log out."""
        await self._device.close()

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        def command(session: "IpmiSession", leash: Leash) -> bytes:
            from doctor.devices.ipmi_session import CHASSIS, CHASSIS_CONTROL, POWER_DOWN, POWER_UP

            code = POWER_DOWN if wanted is Supply.OFF else POWER_UP
            return session.ask(CHASSIS, CHASSIS_CONTROL, leash, (code,))

        answer = await self._device.do(command, deadline)
        return answer if isinstance(answer, Unknown) else None


def make(settings: Mapping[str, Any]) -> IpmiFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    access = convert(settings, IpmiAccess)
    return IpmiFence(access, read_secret(access.password_file, "password_file"))
