"""Outlets of power distribution units, by SNMP.

A host with two feeds has two outlets, often of two units, and is off only when both are: that is for the levels of the
settings to say (`all_of`), for an outlet knows nothing of the other.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from doctor.drivers.fences.snmp import Credentials, SnmpFence, SnmpSettings, credentials_of
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

OUTLET = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}")
OBJECT = re.compile(r"\d{1,10}(\.\d{1,10}){3,60}")


class Outlets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a unit keeps its outlets: objects to which the number of the outlet is added, and their numbers.

    ``status`` is read, ``control`` is set; ``name`` is the label of an outlet, where there is one.
    """

    status: str
    control: str
    name: str | None = None
    reads_on: int = 1
    reads_off: int = 2
    set_on: int = 1
    set_off: int = 2


# From the MIBs of the makers, as the fence agents of ClusterLabs use them.
MODELS = {
    "apc": Outlets(
        status="1.3.6.1.4.1.318.1.1.12.3.5.1.1.4",
        control="1.3.6.1.4.1.318.1.1.12.3.3.1.1.4",
        name="1.3.6.1.4.1.318.1.1.12.3.5.1.1.2",
    ),
    "apc_masterswitch": Outlets(
        status="1.3.6.1.4.1.318.1.1.4.4.2.1.3",
        control="1.3.6.1.4.1.318.1.1.4.4.2.1.3",
        name="1.3.6.1.4.1.318.1.1.4.4.2.1.4",
    ),
    "eaton_managed": Outlets(
        status="1.3.6.1.4.1.534.6.6.6.1.2.2.1.3",
        control="1.3.6.1.4.1.534.6.6.6.1.2.2.1.3",
        reads_on=1,
        reads_off=0,
        set_on=1,
        set_off=0,
    ),
    "tripplite": Outlets(
        status="1.3.6.1.4.1.850.10.2.3.5.1.2.1",
        control="1.3.6.1.4.1.850.10.2.3.5.1.4.1",
        reads_on=2,
        reads_off=1,
        set_on=2,
        set_off=1,
    ),
}


class SnmpPduSettings(SnmpSettings, frozen=True, kw_only=True):
    """``model`` is one that is known, or ``outlets`` says where another keeps them."""

    model: str | None = None
    outlets: Outlets | None = None


class SnmpPduFence(SnmpFence):
    """One unit. A plug is the number of an outlet, with its dots where the unit has several banks."""

    kind = "snmp_pdu"
    cuts = Cut.POWER
    vantage = Vantage.OUT_OF_BAND
    partial = True

    def __init__(
        self, settings: SnmpSettings, credentials: Credentials, outlets: Outlets, clock: Clock | None = None
    ) -> None:
        super().__init__(settings, credentials, clock)
        self._outlets = outlets

    def check(self, plug: str) -> str | None:
        """Say what is no outlet."""
        return None if OUTLET.fullmatch(plug) else "which outlet? write its number"

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask for the label of the outlet: it should be the name of the host."""
        name = self._outlets.name
        if name is None:
            return Unknown(Doubt.NOT_OFFERED, "its outlets have no labels")
        answer = await self._do(lambda session, leash: session.get([f"{name}.{plug}"], leash), deadline)
        if isinstance(answer, Unknown):
            return answer
        label = str(answer[0]).strip()
        return Identified((label,)) if label else Unknown(Doubt.NOT_OFFERED, "the outlet has no label")

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read the outlet. There are no sessions: each request stands for itself."""
        outlets = self._outlets
        answer = await self._do(
            lambda session, leash: session.get([f"{outlets.status}.{plug}"], leash), deadline
        )
        if isinstance(answer, Unknown):
            return answer
        state = {outlets.reads_on: Supply.ON, outlets.reads_off: Supply.OFF}.get(answer[0])
        if state is None:
            return Unknown(Doubt.UNINTELLIGIBLE, f"{str(answer[0])[:20]!r} is no state of an outlet")
        return Seen(state, self._clock.now(), fresh=fresh)

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        outlets = self._outlets
        number = outlets.set_off if wanted is Supply.OFF else outlets.set_on
        return await self._do(
            lambda session, leash: session.set(f"{outlets.control}.{plug}", number, leash), deadline
        )


def make(settings: Mapping[str, Any]) -> SnmpPduFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, SnmpPduSettings)
    if (read.model is None) == (read.outlets is None):
        raise ValueError("model: name a model, or say in outlets where the unit keeps them; not both")
    if read.outlets is not None:
        for name in ("status", "control", "name"):
            place = getattr(read.outlets, name)
            if place is not None and not OBJECT.fullmatch(place):
                raise ValueError(f"outlets.{name}: is no object identifier")
        outlets = read.outlets
    else:
        if read.model not in MODELS:
            raise ValueError(f"model: {read.model!r} is not known; there are: {', '.join(MODELS)}")
        outlets = MODELS[read.model]
    return SnmpPduFence(read, credentials_of(read), outlets)
