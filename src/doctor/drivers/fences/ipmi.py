"""BMCs by IPMI 2.0 over the network, with pyghmi.

The session is kept open between calls, which saves the login when it matters and notices early that it would not work;
what confirms a fence is read in a session of its own. A power cycle does not occur here: off is off.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec

from doctor.drivers.fences.switching import SwitchingFence
from doctor.drivers.fences.worker import Kept, Leash, Worker
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.kit.secret import Secret, read_secret
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

if TYPE_CHECKING:
    from doctor.drivers.fences.ipmi_session import IpmiSession

KEEP_ALIVE = 25.0  # seconds: BMCs forget sessions that are silent for a minute, some after 30 seconds
PATIENCE_WITH_KEPT = 1.0  # seconds for which a kept session is tried, before a new one
BAD_COMMAND = 0xC1
PRIVILEGE = 0xD4
LOGIN_WORDS = ("password", "unauthorized", "privilege", "name", "integrity", "role", "rakp")

Talk = Callable[["IpmiSession", Leash], bytes]


class IpmiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``user`` needs the privilege OPERATOR. ``password_file`` may be read by Doctor only. One BMC is for one host."""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 623
    user: Annotated[str, msgspec.Meta(max_length=16)]
    password_file: Path


class IpmiFence(SwitchingFence):
    """One BMC."""

    kind = "ipmi"
    cuts = Cut.POWER
    vantage = Vantage.OUT_OF_BAND
    partial = False
    poll_every = 0.03

    def __init__(self, settings: IpmiSettings, password: Secret, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._settings = settings
        self._password = password
        self._worker: Worker[IpmiSession] = Worker(
            "ipmi", settings.address, "pyghmi", idle=_keep_alive, idle_every=KEEP_ALIVE
        )

    def check(self, plug: str) -> str | None:
        """Say that there is only one host behind a BMC."""
        return "a BMC has no plugs: leave it out" if plug else None

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask for the GUID of the system."""

        def ask(session: "IpmiSession", leash: Leash) -> bytes:
            from doctor.drivers.fences.ipmi_session import APPLICATION, SYSTEM_GUID

            return session.ask(APPLICATION, SYSTEM_GUID, leash)

        answer = await self._do(ask, deadline, fresh=True)
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
            from doctor.drivers.fences.ipmi_session import CHASSIS, CHASSIS_STATUS

            return session.ask(CHASSIS, CHASSIS_STATUS, leash)

        answer = await self._do(ask, deadline, fresh=fresh)
        if isinstance(answer, Unknown):
            return answer
        if len(answer) < 3:
            return Unknown(Doubt.UNINTELLIGIBLE, f"a chassis status of {len(answer)} bytes")
        return Seen(Supply.ON if answer[0] & 1 else Supply.OFF, self._clock.now(), fresh=fresh)

    async def close(self) -> None:
        """Log out."""
        await self._worker.close()

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        def command(session: "IpmiSession", leash: Leash) -> bytes:
            from doctor.drivers.fences.ipmi_session import CHASSIS, CHASSIS_CONTROL, POWER_DOWN, POWER_UP

            code = POWER_DOWN if wanted is Supply.OFF else POWER_UP
            return session.ask(CHASSIS, CHASSIS_CONTROL, leash, (code,))

        answer = await self._do(command, deadline)
        return answer if isinstance(answer, Unknown) else None

    async def _do(self, ask: Talk, deadline: Deadline, *, fresh: bool = False) -> bytes | Unknown:
        return await self._worker.do(lambda kept, leash: self._talk(kept, ask, leash, fresh=fresh), deadline)

    def _talk(self, kept: "Kept[IpmiSession]", ask: Talk, leash: Leash, *, fresh: bool) -> bytes | Unknown:
        """Ask in the thread of this BMC: in the kept session if it still works, else in a new one."""
        from pyghmi.exceptions import IpmiException

        from doctor.drivers.fences.ipmi_session import IpmiSession

        if kept.session is not None and not fresh:
            try:
                return ask(kept.session, leash.shortened(PATIENCE_WITH_KEPT))
            except IpmiException as error:
                if getattr(error, "ipmicode", 0):
                    return _refusal(error)
                kept.session.forget()
            except Exception:  # whatever it is, a new session may know better
                kept.session.forget()
            kept.session = None
        session = None
        try:
            session = IpmiSession(
                self._settings.address,
                self._settings.port,
                self._settings.user,
                self._password.reveal(),
                leash,
            )
            answer = ask(session, leash)
        except TimeoutError:
            doubt = Doubt.UNREACHABLE if session is None else Doubt.LATE
            return Unknown(doubt, f"the BMC did not answer the {'command' if session else 'login'}")
        except IpmiException as error:
            return _refusal(error) if session else _no_login(error)
        except OSError as error:
            return Unknown(Doubt.UNREACHABLE, f"no BMC there: {error.strerror or error}")
        except Exception as error:  # pyghmi trips over packets that make no sense
            return Unknown(Doubt.UNINTELLIGIBLE, f"the BMC answered nonsense ({type(error).__name__})")
        finally:
            if session is not None and (fresh or kept.session is not None):
                session.close()
            elif session is not None:
                kept.session = session
        return answer


def _refusal(error: Exception) -> Unknown:
    code = getattr(error, "ipmicode", 0)
    if code == BAD_COMMAND:
        return Unknown(Doubt.NOT_OFFERED, "the BMC does not know this command")
    doubt = Doubt.LOGIN if code == PRIVILEGE else Doubt.REFUSED if code else Doubt.UNREACHABLE
    return Unknown(doubt, f"the BMC refused: {error}")


def _no_login(error: Exception) -> Unknown:
    said = str(error)
    if any(word in said.lower() for word in LOGIN_WORDS):
        return Unknown(Doubt.LOGIN, f"the BMC lets nobody in: {said}")
    return Unknown(Doubt.REFUSED, f"no session with the BMC: {said}")


def _keep_alive(kept: "Kept[IpmiSession]") -> None:
    """Say something harmless; a session that is lost is made anew by whoever needs one."""
    if kept.session is None:
        return
    from doctor.drivers.fences.ipmi_session import APPLICATION, DEVICE_ID

    try:
        kept.session.ask(APPLICATION, DEVICE_ID, Leash(PATIENCE_WITH_KEPT))
    except Exception:
        kept.session.forget()
        kept.session = None


def make(settings: Mapping[str, Any]) -> IpmiFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, IpmiSettings)
    return IpmiFence(read, read_secret(read.password_file, "password_file"))
