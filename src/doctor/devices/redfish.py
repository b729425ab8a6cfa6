"""A service that speaks Redfish, and what its answers mean when they are none. One for each that asks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from doctor.devices.worker import Kept, Leash, Worker
from doctor.kit.deadline import Deadline
from doctor.kit.secret import Secret
from doctor.model.fencing import Doubt, Unknown

if TYPE_CHECKING:
    from doctor.devices.redfish_session import RedfishSession

Talk = Callable[["RedfishSession", Leash], Any]


class RedfishAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a service is, and who asks.

    - ``url``: ``https://`` and the host; what comes behind is known.
    - ``user``, ``password_file``: the file may be read by Doctor only.
    - ``ca_file``: certificates to trust instead of those of this machine; a BMC's own may be given here.
    """

    url: Annotated[str, msgspec.Meta(min_length=1)]
    user: str
    password_file: Path
    ca_file: Path | None = None

    def check(self) -> None:
        """See that it can be used.

        Raises:
            ValueError: it cannot; the message names the place.
        """
        try:
            parts = urlsplit(self.url)
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
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"ca_file: {self.ca_file}: there is no such file")


class RedfishDevice:
    """One service, asked in a thread of its own."""

    def __init__(self, access: RedfishAccess, password: Secret) -> None:
        self._access = access
        self._password = password
        self._worker: Worker[RedfishSession] = Worker("redfish", access.url, "sushy")

    async def do(self, ask: Talk, deadline: Deadline, *, fresh: bool = False) -> Any:
        """Return what the service answers, or why it does not as `Unknown`; ``fresh``: on a connection of its own."""
        return await self._worker.do(lambda kept, leash: self._talk(kept, ask, leash, fresh=fresh), deadline)

    async def close(self) -> None:
        """Close the connections."""
        await self._worker.close()

    def _talk(self, kept: "Kept[RedfishSession]", ask: Talk, leash: Leash, *, fresh: bool) -> Any:
        """Ask in the thread of this service. A connection that fails is not used again."""
        from doctor.devices.redfish_session import RedfishSession

        session = None if fresh else kept.session
        if session is None:
            access = self._access
            ca = str(access.ca_file) if access.ca_file else None
            try:
                session = RedfishSession(access.url, access.user, self._password.reveal(), ca, leash)
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
