"""The settings of the agent: one YAML file. Errors name the path and what would be right."""

import re
import socket
from collections.abc import Callable
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


class KernelLogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The kernel's log: ``rules_file`` takes the place of the rules that ship."""

    rules_file: Path | None = None


class PollSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked at again and again, each ``every``."""

    every: timedelta


class DiskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The disks, asked by smartctl or nvme, which need root; ``devices`` are those that are asked, all by default."""

    every: timedelta = timedelta(minutes=10)
    devices: tuple[Text, ...] = ()


class ProcessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program that has to run: found by a regular expression in its command line, and by ``pid_file`` if it has one.

    ``event`` says what its end is, ``resource_id`` and ``resource_type`` on what. ``restart`` is a command (a list of words)
    that starts it anew, at most ``restarts`` times ``within``.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    pattern: Text
    pid_file: Path | None = None
    event: Text = "hypervisor.failure"
    resource_id: Text | None = None
    resource_type: Text | None = None
    restart: tuple[Text, ...] = ()
    restarts: Count = 3
    within: timedelta = timedelta(minutes=10)


class GuestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machines of a libvirt hypervisor. ``pid_folder`` has the numbers of their processes; nothing is read there if null.

    ``tell_stopped`` tells of those too that were stopped on purpose.
    """

    uri: Text = "qemu:///system"
    pid_folder: Path | None = Path("/run/libvirt/qemu")
    tell_stopped: bool = False


EVERY = {
    "raid": PollSettings(every=timedelta(seconds=2)),
    "sensors": PollSettings(every=timedelta(seconds=10)),
    "conditions": PollSettings(every=timedelta(seconds=60)),
}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of an agent.

    ``host`` is its host's id in the resource map; without it, the name of the machine. ``state`` is the folder where events
    wait while Doctor is away. ``links``, ``kernel_log``, ``raid``, ``sensors`` and ``conditions`` are looked at where they
    are, unless ``false`` switches them off; ``disks``, ``processes`` and ``guests`` if they are named.
    """

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = ""
    state: Path = Path("/var/lib/doctor-agent")
    doctor: DoctorSettings | None = None
    heartbeat: HeartbeatSettings | None = None
    links: LinkSettings | None = LinkSettings()
    kernel_log: KernelLogSettings | None = KernelLogSettings()
    raid: PollSettings | None = EVERY["raid"]
    sensors: PollSettings | None = EVERY["sensors"]
    conditions: PollSettings | None = EVERY["conditions"]
    disks: DiskSettings | None = None
    processes: tuple[ProcessSettings, ...] = ()
    guests: GuestSettings | None = None


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
    given["processes"] = _processes(given.get("processes", []), folder)
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


def _kernel_log(given: Any, folder: Path) -> KernelLogSettings:
    return convert(_files(given, "kernel_log", folder, "rules_file"), KernelLogSettings, "kernel_log.")


def _poll(name: str, usual: PollSettings) -> Callable[[Any, Path], PollSettings]:
    def read(given: Any, folder: Path) -> PollSettings:
        given = {"every": usual.every.total_seconds(), **given}
        return convert(given, PollSettings, f"{name}.", durations={"every": timedelta(milliseconds=100)})

    return read


def _disks(given: Any, folder: Path) -> DiskSettings:
    return convert(given, DiskSettings, "disks.", durations={"every": timedelta(seconds=1)})


def _guests(given: Any, folder: Path) -> GuestSettings:
    return convert(given, GuestSettings, "guests.")


def _processes(given: Any, folder: Path) -> tuple[ProcessSettings, ...]:
    if not isinstance(given, list):
        raise ValueError(f"processes: expected a list, got {type(given).__name__}")
    found = [_process(one, f"processes[{index}]", folder) for index, one in enumerate(given)]
    names = [one.name for one in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"processes[{index}].name: {name} is there twice")
    return tuple(found)


def _process(given: Any, path: str, folder: Path) -> ProcessSettings:
    parsed = _files(given, path, folder, "pid_file")
    read = convert(parsed, ProcessSettings, f"{path}.", durations={"within": timedelta(seconds=1)})
    try:
        re.compile(read.pattern)
    except re.error as error:
        raise ValueError(f"{path}.pattern: {error}") from None
    return read


PARTS: dict[str, Callable[[Any, Path], Any]] = {
    "doctor": _doctor,
    "heartbeat": _heartbeat,
    "links": _links,
    "kernel_log": _kernel_log,
    "raid": _poll("raid", EVERY["raid"]),
    "sensors": _poll("sensors", EVERY["sensors"]),
    "conditions": _poll("conditions", EVERY["conditions"]),
    "disks": _disks,
    "guests": _guests,
}


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
