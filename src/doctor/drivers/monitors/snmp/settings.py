"""What can be set about the SNMP monitor, and how the settings are read."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec

from doctor.drivers.monitors.snmp.usm import User
from doctor.drivers.monitors.sockets import addresses
from doctor.kit.options import convert, mapping
from doctor.kit.secret import Secret, read_secret

PORT = 162
LEAST_KEY = 8  # characters, as the standard says

DURATIONS = {"every": timedelta(milliseconds=100), "timeout": timedelta(milliseconds=10)}

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class UserSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user of SNMPv3. Messages of his that are not both signed and encrypted are not taken."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    auth: Literal["sha", "sha256", "sha512"] = "sha256"
    auth_file: Path
    privacy: Literal["aes", "aes256"] = "aes"
    privacy_file: Path

    def read(self, place: str) -> User:
        """Return the user, with the keys behind his passwords.

        Raises:
            ValueError: something is wrong; the message names the place.
        """
        if self.privacy == "aes256" and self.auth == "sha":
            raise ValueError(
                f"{place}privacy: aes256 wants sha256 or sha512: the key of sha is too short for it"
            )
        passwords = []
        for name, path in (("auth_file", self.auth_file), ("privacy_file", self.privacy_file)):
            secret = read_secret(path, place + name).reveal()
            if len(secret) < LEAST_KEY:
                raise ValueError(f"{place}{name}: {path}: must hold at least {LEAST_KEY} characters")
            passwords.append(secret)
        return User(self.name, self.auth, passwords[0], self.privacy, passwords[1])


class PollSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which devices are asked, how, and how often.

    - ``only``: patterns of the ids of devices; the first entry that fits counts. Without any it is all that are no hosts.
    - ``user``: of version 3, one of ``users``; or ``community_file``: of version 2c, whose answers anybody can give.
    - ``every``: how often; ``timeout``: how long an answer may take, of which three are waited for.
    - ``misses``: after so many turns without an answer that is told.
    """

    only: tuple[Text, ...] = ()
    user: str | None = None
    community_file: Path | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 161
    every: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=1)
    misses: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3


class SnmpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the SNMP monitor.

    - ``listen``: addresses and ports (UDP) on which traps and informs are taken.
    - ``communities``, ``community_files``: those of versions 1 and 2c; without any these versions are not taken.
    - ``users``: those of version 3.
    - ``relays``: addresses that pass on the traps of others; they are believed whose traps those are.
    - ``mapping_file``: what traps mean, looked at before what ships.
    - ``engine``: by which name informs of version 3 find us, in hexadecimal digits.
    - ``poll``: which devices are asked how they are; without it none is, and what they say is never proven.
    - ``burst``, ``rate``: so many traps that could be anybody's are taken of a device at once, and then so many each second.
    """

    listen: tuple[Text, ...] = (f"127.0.0.1:{PORT}",)
    name: Text = "snmp"
    communities: tuple[Text, ...] = ()
    community_files: dict[str, Path] = {}
    users: tuple[UserSettings, ...] = ()
    relays: tuple[Text, ...] = ()
    mapping_file: Path | None = None
    engine: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-fA-F]{2}){5,32}$")] = "8000000005646f63746f72"
    poll: tuple[PollSettings, ...] = ()
    burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    rate: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 100.0

    @property
    def hints(self) -> str:
        """Return by which name that is said which could be anybody's."""
        return f"{self.name}.hints"

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return where to listen."""
        return addresses(self.listen, PORT)

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Read the settings as they stand in the YAML file.

        Raises:
            ValueError: something is wrong; the message names the place.
        """
        given = dict(settings)
        if isinstance(given.get("listen"), str):
            given["listen"] = [given["listen"]]
        for index, user in enumerate(given.get("users") or ()):
            convert(mapping(user, f"users[{index}]"), UserSettings, f"users[{index}].")
        asked = given.get("poll") or ()
        asked = [asked] if isinstance(asked, Mapping) else asked
        given["poll"] = [
            _poll(mapping(one, f"poll[{index}]"), f"poll[{index}].") for index, one in enumerate(asked)
        ]
        read = convert(given, cls)
        _ = read.addresses
        for index, relay in enumerate(read.relays):
            try:
                ip_address(relay)
            except ValueError:
                raise ValueError(f"relays[{index}]: {relay!r} is no address") from None
        names = [user.name for user in read.users]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"users[{index}].name: {name!r} is there twice")
        for index, poll in enumerate(read.poll):
            if poll.user is not None and poll.user not in names:
                raise ValueError(f"poll[{index}].user: {poll.user!r} is none of users")
        if not (read.communities or read.community_files or read.users or read.poll):
            raise ValueError("users: required, or communities: whose traps are taken")
        return read

    def known_communities(self) -> list[Secret]:
        """Return the communities that are known.

        Raises:
            ValueError: a file cannot be read; the message names the place.
        """
        files = (read_secret(path, f"community_files.{name}") for name, path in self.community_files.items())
        return [*map(Secret, self.communities), *files]

    def poll_communities(self) -> list[Secret | None]:
        """Return with which community each entry of `poll` asks.

        Raises:
            ValueError: a file cannot be read; the message names the place.
        """
        return [
            None
            if one.community_file is None
            else read_secret(one.community_file, f"poll[{index}].community_file")
            for index, one in enumerate(self.poll)
        ]

    def known_users(self) -> dict[str, User]:
        """Return the users by name.

        Raises:
            ValueError: something is wrong with one; the message names the place.
        """
        return {user.name: user.read(f"users[{index}].") for index, user in enumerate(self.users)}


def _poll(given: Mapping[str, Any], path: str) -> PollSettings:
    read = convert(given, PollSettings, path, durations=DURATIONS)
    if (read.user is None) == (read.community_file is None):
        raise ValueError(f"{path}user: required, or community_file, and not both")
    return read
