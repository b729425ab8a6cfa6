"""What PDUs and switches have in common: they are asked and told by SNMP.

Version 3 with authentication and privacy is meant to be used. With version 2c the community goes over the network in
clear, and anybody there can answer for the device.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec

from doctor.devices.worker import Kept, Leash, Worker
from doctor.drivers.fences.switching import SwitchingFence
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.secret import Secret, read_secret
from doctor.model.fencing import Doubt, Unknown

if TYPE_CHECKING:
    from doctor.drivers.fences.snmp_session import SnmpSession

LEAST_KEY = 8  # characters, as the standard says
LOGIN_WORDS = ("user", "digest", "security", "decrypt", "usm", "noaccess", "authorization", "engineid")

T = TypeVar("T")


class SnmpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a device is reached.

    - ``version``: ``3`` takes ``user``, ``auth_file`` and ``privacy_file``; ``2c`` takes ``community_file``.
    - ``auth``, ``privacy``: the methods of version 3.
    """

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 161
    version: Literal["3", "2c"] = "3"
    user: str = ""
    auth: Literal["sha", "sha256", "sha512"] = "sha"
    auth_file: Path | None = None
    privacy: Literal["aes", "aes256"] = "aes"
    privacy_file: Path | None = None
    community_file: Path | None = None


Credentials = Mapping[str, str | Secret]


def credentials_of(settings: SnmpSettings) -> Credentials:
    """Read the secrets that the settings name.

    Raises:
        ValueError: one is missing, or cannot be used; the message names the place.
    """
    if settings.version == "2c":
        if settings.community_file is None:
            raise ValueError("community_file: required for version 2c")
        return {"community": read_secret(settings.community_file, "community_file")}
    if settings.community_file is not None:
        raise ValueError("community_file: is for version 2c")
    if not settings.user:
        raise ValueError("user: required for version 3")
    found: dict[str, str | Secret] = {
        "user": settings.user,
        "auth": settings.auth,
        "privacy": settings.privacy,
    }
    for name in ("auth", "privacy"):
        path: Path | None = getattr(settings, f"{name}_file")
        if path is None:
            raise ValueError(f"{name}_file: required for version 3")
        secret = read_secret(path, f"{name}_file")
        if len(secret.reveal()) < LEAST_KEY:
            raise ValueError(f"{name}_file: {path}: must hold at least {LEAST_KEY} characters")
        found[f"{name}_key"] = secret
    return found


class SnmpFence(SwitchingFence):
    """Asks one device, one thing after the other."""

    def __init__(self, settings: SnmpSettings, credentials: Credentials, clock: Clock | None) -> None:
        super().__init__(clock)
        self._settings = settings
        self._credentials = credentials
        self._worker: Worker[SnmpSession] = Worker("snmp", settings.address, "pysnmp")

    async def _do(self, ask: Callable[["SnmpSession", Leash], T], deadline: Deadline) -> T | Unknown:
        """Return what ``ask`` finds out."""
        return await self._worker.do(lambda kept, leash: self._talk(kept, ask, leash), deadline)

    async def close(self) -> None:
        """Ask nothing more."""
        await self._worker.close()

    def _talk(
        self, kept: "Kept[SnmpSession]", ask: Callable[["SnmpSession", Leash], T], leash: Leash
    ) -> T | Unknown:
        from doctor.drivers.fences.snmp_session import Answered, SnmpSession

        try:
            if kept.session is None:
                revealed = {
                    name: value.reveal() if isinstance(value, Secret) else value
                    for name, value in self._credentials.items()
                }
                kept.session = SnmpSession(self._settings.address, self._settings.port, revealed)
            return ask(kept.session, leash)
        except LookupError:
            return Unknown(Doubt.REFUSED, "the device has no such thing")
        except Answered as error:
            is_login = any(word in error.word.lower() for word in LOGIN_WORDS)
            return Unknown(Doubt.LOGIN if is_login else Doubt.REFUSED, f"the device refuses: {error.word}")
        except TimeoutError:
            kept.drop()  # it may have forgotten us as well
            return Unknown(Doubt.UNREACHABLE, "the device did not answer")
        except ImportError:
            raise
        except Exception as error:
            kept.drop()
            return Unknown(Doubt.UNINTELLIGIBLE, f"the device answered nonsense ({type(error).__name__})")
