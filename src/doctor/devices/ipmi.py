"""A BMC that speaks IPMI 2.0, and what its answers mean when they are none. One for each that asks.

The session is kept open between calls, which saves the login when it matters and notices early that it would not work.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from doctor.devices.worker import Kept, Leash, Worker
from doctor.kit.deadline import Deadline
from doctor.kit.secret import Secret
from doctor.model.fencing import Doubt, Unknown

if TYPE_CHECKING:
    from doctor.devices.ipmi_session import IpmiSession

KEEP_ALIVE = 25.0  # seconds: BMCs forget sessions that are silent for a minute, some after 30 seconds
PATIENCE_WITH_KEPT = 1.0  # seconds for which a kept session is tried, before a new one
BAD_COMMAND = 0xC1
PRIVILEGE = 0xD4
LOGIN_WORDS = ("password", "unauthorized", "privilege", "name", "integrity", "role", "rakp")

Talk = Callable[["IpmiSession", Leash], Any]


class IpmiAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a BMC is, and who asks. ``password_file`` may be read by Doctor only. One BMC is for one host."""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 623
    user: Annotated[str, msgspec.Meta(max_length=16)]
    password_file: Path


class IpmiDevice:
    """One BMC, asked in a thread of its own. A session that was kept is tried for so many seconds (``patience``)."""

    def __init__(self, access: IpmiAccess, password: Secret, patience: float = PATIENCE_WITH_KEPT) -> None:
        self._patience = patience
        self._access = access
        self._password = password
        self._worker: Worker[IpmiSession] = Worker(
            "ipmi", access.address, "pyghmi", idle=_keep_alive, idle_every=KEEP_ALIVE
        )

    async def do(self, ask: Talk, deadline: Deadline, *, fresh: bool = False) -> Any:
        """Return what the BMC answers, or why it does not as `Unknown`; ``fresh``: in a session of its own."""
        return await self._worker.do(lambda kept, leash: self._talk(kept, ask, leash, fresh=fresh), deadline)

    async def close(self) -> None:
        """Log out."""
        await self._worker.close()

    def _talk(self, kept: "Kept[IpmiSession]", ask: Talk, leash: Leash, *, fresh: bool) -> Any:
        """Ask in the thread of this BMC: in the kept session if it still works, else in a new one."""
        from pyghmi.exceptions import IpmiException

        from doctor.devices.ipmi_session import IpmiSession

        if kept.session is not None and not fresh:
            try:
                return ask(kept.session, leash.shortened(self._patience))
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
                self._access.address,
                self._access.port,
                self._access.user,
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
    from doctor.devices.ipmi_session import APPLICATION, DEVICE_ID

    try:
        kept.session.ask(APPLICATION, DEVICE_ID, Leash(PATIENCE_WITH_KEPT))
    except Exception:
        kept.session.forget()
        kept.session = None
