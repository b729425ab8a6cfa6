"""The settings of the agent: one YAML file. Errors name the path and what would be right."""

import socket
from datetime import timedelta
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import msgspec

from doctor.kit.options import convert, mapping

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class DoctorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events are reported: the address of Doctor and the file with a token of the role ``monitor``.

    ``timeout`` is how long an answer is waited for; then the events are sent again. ``keep`` is how many wait at most while
    Doctor is away.
    """

    url: Text
    token_file: Path | None = None
    timeout: timedelta = timedelta(seconds=5)
    keep: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 10_000


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network on which heartbeats go: ``to`` are the addresses of Doctor there, ``source`` or ``device`` is our way out."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    to: tuple[Text, ...]
    source: Text | None = None
    device: Annotated[str, msgspec.Meta(min_length=1, max_length=15)] | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return where heartbeats go."""
        return [_address(text, "to") for text in self.to]


class HeartbeatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The heartbeats: with which key, how often, on which networks.

    ``fastest`` is the shortest interval that Doctor may wish for.
    """

    key_file: Path
    networks: tuple[NetworkSettings, ...]
    interval: timedelta = timedelta(milliseconds=100)
    fastest: timedelta = timedelta(milliseconds=20)


class LinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The network cards whose link is watched: patterns of their names; without any, those that are hardware.

    ``resources`` are their ids in the resource map, by name; another one is called ``host:name``.
    """

    watch: tuple[Text, ...] | None = None
    resources: dict[str, Text] = {}

    def is_watched(self, name: str, *, is_hardware: bool) -> bool:
        """Tell whether a card is watched."""
        if self.watch is None:
            return is_hardware
        return any(fnmatchcase(name, pattern) for pattern in self.watch)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of an agent.

    ``host`` is its host's id in the resource map; without it, the name of the machine. ``state`` is the folder where events
    wait while Doctor is away. A part that is left out is not done, apart from ``links``, which ``false`` switches off.
    """

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = ""
    state: Path = Path("/var/lib/doctor-agent")
    doctor: DoctorSettings | None = None
    heartbeat: HeartbeatSettings | None = None
    links: LinkSettings | None = LinkSettings()


def load_settings(path: Path) -> Settings:
    """Read the settings file; relative names of files in it start at its folder.

    Raises:
        ValueError: something is wrong; the message begins with the path of the place.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    return parse_settings({} if document is None else document, folder=path.parent)


def parse_settings(document: Any, *, folder: Path = Path()) -> Settings:
    """Read settings from a document.

    Raises:
        ValueError: something is wrong; the message begins with the path of the place.
    """
    given = dict(mapping(document, "the settings"))
    parts: dict[str, Any] = {}
    for name, read in PARTS.items():
        if name in given:
            part = given.pop(name)
            parts[name] = None if part is False else read({} if part is True else mapping(part, name), folder)
    if "state" in given:
        given["state"] = _file(given["state"], "state", folder)
    given.setdefault("host", socket.gethostname())
    settings = convert({**given, **parts}, Settings)
    if settings.heartbeat is None and settings.doctor is None:
        raise ValueError("heartbeat: required, or doctor: without both the agent has nobody to tell")
    return settings


def _doctor(given: Any, folder: Path) -> DoctorSettings:
    parsed = _files(given, "doctor", folder, "token_file")
    return convert(parsed, DoctorSettings, "doctor.", durations={"timeout": timedelta(milliseconds=100)})


def _heartbeat(given: Any, folder: Path) -> HeartbeatSettings:
    path = "heartbeat"
    parsed = _files(given, path, folder, "key_file")
    networks = parsed.get("networks", [])
    if not isinstance(networks, list) or not networks:
        raise ValueError(f"{path}.networks: required: a list of networks, each with a name and to")
    parsed["networks"] = [
        _network(network, f"{path}.networks[{index}]") for index, network in enumerate(networks)
    ]
    least = timedelta(milliseconds=10)
    read = convert(parsed, HeartbeatSettings, f"{path}.", durations={"interval": least, "fastest": least})
    names = [network.name for network in read.networks]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{path}.networks[{index}].name: {name} is there twice")
    return read


def _network(given: Any, path: str) -> NetworkSettings:
    parsed = dict(mapping(given, path))
    if isinstance(parsed.get("to"), str):
        parsed["to"] = [parsed["to"]]
    read = convert(parsed, NetworkSettings, f"{path}.")
    if not read.to:
        raise ValueError(f"{path}.to: required: an address and port of Doctor")
    for index, text in enumerate(read.to):
        _address(text, f"{path}.to[{index}]")
    if read.source is not None:
        try:
            ip_address(read.source)
        except ValueError:
            raise ValueError(f"{path}.source: {read.source!r} is no IP address") from None
    return read


def _links(given: Any, folder: Path) -> LinkSettings:
    return convert(given, LinkSettings, "links.")


PARTS = {"doctor": _doctor, "heartbeat": _heartbeat, "links": _links}


def _files(given: Any, path: str, folder: Path, *names: str) -> dict[str, Any]:
    parsed = dict(mapping(given, path))
    for name in names:
        if name in parsed:
            parsed[name] = _file(parsed[name], f"{path}.{name}", folder)
    return parsed


def _file(value: Any, path: str, folder: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{path}: expected the name of a file")
    return str(folder / value)


def _address(text: str, path: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
        if not colon or not 1 <= int(port) <= 65535:
            raise ValueError
    except ValueError:
        raise ValueError(f"{path}: {text!r} is no address and port: write 192.0.2.1:12346") from None
    return host, int(port)
