"""BMCs and chassis by Redfish, with sushy. Off is ForceOff: never a graceful shutdown, never a restart."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from doctor.drivers.fences.switching import SwitchingFence
from doctor.drivers.fences.worker import Kept, Leash, Worker
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.kit.secret import Secret, read_secret
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

if TYPE_CHECKING:
    from doctor.drivers.fences.redfish_session import RedfishSession

SYSTEM = re.compile(r"[A-Za-z0-9._~-]{0,255}")
OFF, KNOWN = "Off", {"On", "Off", "PoweringOn", "PoweringOff", "Paused"}
RESETS = {Supply.OFF: "ForceOff", Supply.ON: "On"}

Talk = Callable[["RedfishSession", Leash], Any]


class RedfishSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a service.

    - ``url``: ``https://`` and the host; what comes behind is known.
    - ``user``, ``password_file``: who may reset; the file may be read by Doctor only.
    - ``ca_file``: certificates to trust instead of those of this machine; a BMC's own may be given here.
    """

    url: Annotated[str, msgspec.Meta(min_length=1)]
    user: str
    password_file: Path
    ca_file: Path | None = None


class RedfishFence(SwitchingFence):
    """One service. A plug is the id of a system of it, and needless where there is only one."""

    kind = "redfish"
    cuts = Cut.POWER
    vantage = Vantage.OUT_OF_BAND
    partial = False

    def __init__(self, settings: RedfishSettings, password: Secret, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._settings = settings
        self._password = password
        self._worker: Worker[RedfishSession] = Worker("redfish", settings.url, "sushy")

    def check(self, plug: str) -> str | None:
        """Say what is no id of a system."""
        return None if SYSTEM.fullmatch(plug) else "is no id of a system"

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask for the UUID and the serial number."""

        def ask(session: "RedfishSession", leash: Leash) -> list[str]:
            system = session.system(plug, leash)
            return [str(name) for name in (system.uuid, system.serial_number) if name]

        names = await self._do(ask, deadline, fresh=True)
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

        state = await self._do(ask, deadline, fresh=fresh)
        if isinstance(state, Unknown):
            return state
        if state not in KNOWN:
            return Unknown(Doubt.UNINTELLIGIBLE, "it says nothing of the power")
        return Seen(Supply.OFF if state == OFF else Supply.ON, self._clock.now(), fresh=fresh)

    async def close(self) -> None:
        """Close the connections."""
        await self._worker.close()

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        def command(session: "RedfishSession", leash: Leash) -> None:
            from sushy import ResetType

            system = session.system(plug, leash)
            if wanted is Supply.ON or system.power_state is None or system.power_state.value != OFF:
                system.reset_system(ResetType(RESETS[wanted]))  # some refuse what is done already

        answer = await self._do(command, deadline)
        return answer if isinstance(answer, Unknown) else None

    async def _do(self, ask: Talk, deadline: Deadline, *, fresh: bool = False) -> Any:
        """Return what the service answers, or why it does not as `Unknown`."""
        return await self._worker.do(lambda kept, leash: self._talk(kept, ask, leash, fresh=fresh), deadline)

    def _talk(self, kept: "Kept[RedfishSession]", ask: Talk, leash: Leash, *, fresh: bool) -> Any:
        """Ask in the thread of this service. A connection that fails is not used again."""
        from doctor.drivers.fences.redfish_session import RedfishSession

        session = None if fresh else kept.session
        if session is None:
            settings = self._settings
            ca = str(settings.ca_file) if settings.ca_file else None
            try:
                session = RedfishSession(settings.url, settings.user, self._password.reveal(), ca, leash)
            except Exception as error:
                return _complaint(error)
        if not fresh:
            kept.session = session
        try:
            return ask(session, leash)
        except Exception as error:
            if not fresh:
                kept.session = None
            session.close()
            return _complaint(error)
        finally:
            if fresh:
                session.close()


def _complaint(error: Exception) -> Unknown:
    """Return what a failure means. What a server wrote is not repeated: it may be anything, of any length."""
    import requests
    from sushy import exceptions

    match error:
        case TimeoutError():
            return Unknown(Doubt.LATE, "it did not answer in time")
        case exceptions.AccessError():
            return Unknown(Doubt.LOGIN, f"it lets nobody in ({error.status_code})")
        case exceptions.HTTPError():
            return Unknown(Doubt.REFUSED, f"it answered {error.status_code}")
        case exceptions.ConnectionError() | requests.exceptions.RequestException() | OSError():
            said = str(error)
            if "too long" in said or "timed out" in said:
                return Unknown(Doubt.LATE, "it did not answer in time, or without end")
            if "CERTIFICATE" in said or "SSL" in said:
                return Unknown(Doubt.LOGIN, "its certificate is not to be trusted: see ca_file")
            return Unknown(Doubt.UNREACHABLE, "there is no connection with it")
        case LookupError():
            return Unknown(Doubt.REFUSED, str(error))
        case exceptions.InvalidParameterValueError() | exceptions.MissingActionError():
            return Unknown(Doubt.REFUSED, "it cannot be switched like that")
        case _:
            return Unknown(Doubt.UNINTELLIGIBLE, f"it answered nonsense ({type(error).__name__})")


def make(settings: Mapping[str, Any]) -> RedfishFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, RedfishSettings)
    try:
        parts = urlsplit(read.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if (
        parts is None
        or parts.scheme != "https"
        or not host
        or parts.path.strip("/")
        or parts.query
        or parts.username
    ):
        raise ValueError("url: write https://bmc-1.example, without a path, a user or a password")
    if read.ca_file is not None and not read.ca_file.is_file():
        raise ValueError(f"ca_file: {read.ca_file}: there is no such file")
    return RedfishFence(read, read_secret(read.password_file, "password_file"))
