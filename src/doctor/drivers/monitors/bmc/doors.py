"""How the settings name BMCs: one for each host, with what is common to all given once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from doctor.kit.options import convert, mapping
from doctor.kit.secret import Secret, read_secret


class Access(Protocol):
    """What the settings of every BMC have."""

    @property
    def password_file(self) -> Path:
        """Return where its password is."""
        ...


A = TypeVar("A", bound=Access)


def hosts_of(
    settings: Mapping[str, Any],
    kind: type[A],
    common: tuple[str, ...],
    short: str,
    check: Callable[[A], None] = lambda _: None,
) -> dict[str, A]:
    """Read ``hosts``: each is a mapping, or a text that stands for the setting ``short``.

    Raises:
        ValueError: something is wrong; the message names the place (``hosts.compute-1.url: ...``).
    """
    of_all = {name: settings[name] for name in common if name in settings}
    found: dict[str, A] = {}
    for key, given in mapping(settings.get("hosts", {}), "hosts").items():
        host = str(key)  # YAML makes a number of 7
        path = f"hosts.{host}"
        if not 0 < len(host) <= 255 or not host.isprintable():
            raise ValueError(f"{path}: is no id of a host")
        own = {short: given} if isinstance(given, str) else mapping(given, path)
        found[host] = convert({**of_all, **own}, kind, f"{path}.")
        try:
            check(found[host])
        except ValueError as error:
            raise ValueError(f"{path}.{error}") from None
    if not found:
        raise ValueError("hosts: required: the BMC of each host")
    return found


def passwords_of(hosts: Mapping[str, A]) -> dict[str, Secret]:
    """Read the password for each host; a file that many have is read once.

    Raises:
        ValueError: one cannot be read; the message names the place.
    """
    read: dict[Path, Secret] = {}
    for host, one in hosts.items():
        if one.password_file not in read:
            read[one.password_file] = read_secret(one.password_file, f"hosts.{host}.password_file")
    return {host: read[one.password_file] for host, one in hosts.items()}
