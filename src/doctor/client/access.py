"""Where Doctor is asked, and as whom.

The address is given, or ``DOCTOR_URL``, or Doctor's default on this machine. The token is in the file that is given,
or ``DOCTOR_TOKEN``, or in the file that a Doctor on this machine wrote for its administrator. That last one never goes
to another machine.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from doctor.client.errors import Misconfigured

DEFAULT_URL = "http://127.0.0.1:12345"
DATA = Path("/var/lib/doctor")
ADMIN_TOKEN = "admin.token"  # noqa: S105 - the name of a file


@dataclass(frozen=True)
class Access:
    """An address and a token; ``token`` None asks without identity. Its repr does not show the token."""

    url: str
    token: str | None = field(default=None, repr=False)


def find_access(
    url: str | None = None,
    token_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    data: Path = DATA,
) -> Access:
    """Return where to ask and as whom.

    Raises:
        Misconfigured: the address is none, or the token file cannot be read or holds no token.
    """
    url = checked_url(url or environment.get("DOCTOR_URL") or DEFAULT_URL)
    if token_file is not None:
        return Access(url, read_token(token_file))
    if token := environment.get("DOCTOR_TOKEN"):
        return Access(url, checked_token(token, "DOCTOR_TOKEN"))
    return Access(url, _admin_token(environment, data) if is_loopback(url) else None)


def read_token(file: Path) -> str:
    """Return the token that a file holds.

    Raises:
        Misconfigured: the file cannot be read, or there is no token in it.
    """
    try:
        text = file.read_text(encoding="ascii")
    except OSError as error:
        raise Misconfigured(f"cannot read the token file {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise Misconfigured(f"{file} holds no token: it is no plain text") from None
    return checked_token(text, str(file))


def checked_token(text: str, where: str) -> str:
    """Return the token without the space around it; what cannot be one is refused without showing it."""
    token = text.strip()
    if not token:
        raise Misconfigured(f"{where} is empty: there is no token in it")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise Misconfigured(f"{where} holds no token: a token is one word of plain ASCII")
    return token


def checked_url(url: str) -> str:
    """Return the address without a slash at its end."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
        parts = urlsplit("")
    if not good or parts.query or parts.fragment or parts.username is not None:
        raise Misconfigured(f"{url!r} is no address of a Doctor: write it as {DEFAULT_URL}")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine for sure."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def admin_token_files(environment: Mapping[str, str], data: Path = DATA) -> Iterator[Path]:
    """Return where a Doctor on this machine may have put its administrator's token, the likelier place first."""
    yield data / ADMIN_TOKEN
    state = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - never raises
    yield Path(state) / "doctor" / ADMIN_TOKEN


def _admin_token(environment: Mapping[str, str], data: Path) -> str | None:
    for file in admin_token_files(environment, data):
        if os.access(file, os.R_OK):
            return read_token(file)
    return None
