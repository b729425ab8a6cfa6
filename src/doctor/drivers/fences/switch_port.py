"""Ports of switches, by SNMP (IF-MIB): a host without a network harms nobody on it.

It may go on writing to storage that it reaches otherwise, so this proves isolation only together with a fence of the
storage.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from doctor.devices.worker import Leash
from doctor.drivers.fences.snmp import Credentials, SnmpFence, SnmpSettings, credentials_of
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

if TYPE_CHECKING:
    from doctor.drivers.fences.snmp_session import SnmpSession

PORT = re.compile(r"[!-~]([ -~]{0,126}[!-~])?")

DESCRIPTION, NAME, ALIAS = "1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.31.1.1.1.1", "1.3.6.1.2.1.31.1.1.1.18"
ADMIN, OPERATION = "1.3.6.1.2.1.2.2.1.7", "1.3.6.1.2.1.2.2.1.8"
UP, DOWN = 1, 2
# down, notPresent, lowerLayerDown; what is unknown or dormant may carry something
CARRIES_NOTHING = {2, 6, 7}


class SwitchPortFence(SnmpFence):
    """One switch. A plug is the name of a port (`ge-0/0/7`), for numbers change when a switch is rebuilt."""

    kind = "switch_port"
    cuts = Cut.NETWORK
    vantage = Vantage.SWITCH_PORT
    partial = True

    def __init__(self, settings: SnmpSettings, credentials: Credentials, clock: Clock | None = None) -> None:
        super().__init__(settings, credentials, clock)
        self._numbers: dict[str, str] = {}

    def check(self, plug: str) -> str | None:
        """Say what is no name of a port."""
        return None if PORT.fullmatch(plug) else "which port? write its name"

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask what is written on the port: its description should be the name of the host."""

        def ask(session: "SnmpSession", leash: Leash) -> str:
            return str(session.get([f"{ALIAS}.{self._number(session, plug, leash)}"], leash)[0])

        answer = await self._do(ask, deadline)
        if isinstance(answer, Unknown):
            return answer
        return (
            Identified((answer,))
            if answer.strip()
            else Unknown(Doubt.NOT_OFFERED, "nothing is written on it")
        )

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read the port. It is off when it is switched off and carries nothing any more."""

        def ask(session: "SnmpSession", leash: Leash) -> list[Any]:
            number = self._number(session, plug, leash)
            return session.get([f"{ADMIN}.{number}", f"{OPERATION}.{number}"], leash)

        answer = await self._do(ask, deadline)
        if isinstance(answer, Unknown):
            return answer
        admin, operation = answer
        is_off = admin == DOWN and operation in CARRIES_NOTHING
        return Seen(Supply.OFF if is_off else Supply.ON, self._clock.now(), fresh=fresh)

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        def command(session: "SnmpSession", leash: Leash) -> None:
            number = self._number(session, plug, leash)
            session.set(f"{ADMIN}.{number}", DOWN if wanted is Supply.OFF else UP, leash)

        return await self._do(command, deadline)

    def _number(self, session: "SnmpSession", plug: str, leash: Leash) -> str:
        """Return the number of a port now: the last known one if it still has this name."""
        known = self._numbers.get(plug)
        if known is not None:
            try:
                if plug in session.get([f"{NAME}.{known}", f"{DESCRIPTION}.{known}"], leash):
                    return known
            except LookupError:
                pass
            del self._numbers[plug]
        for table in (NAME, DESCRIPTION):
            numbers = [number for number, name in session.walk(table, leash).items() if name == plug]
            if len(numbers) == 1:
                self._numbers[plug] = numbers[0]
                return numbers[0]
        raise LookupError


def make(settings: Mapping[str, Any]) -> SwitchPortFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, SnmpSettings)
    return SwitchPortFence(read, credentials_of(read))
