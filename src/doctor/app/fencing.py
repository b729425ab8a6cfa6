"""The settings of fencing: devices by name, and for each host the levels of devices that cut it off."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doctor.app import plugins
from doctor.fencing.evidence import Witness
from doctor.fencing.levels import objection
from doctor.fencing.limits import Limits
from doctor.flows.scene import FencingRules
from doctor.kit.options import convert, duration, mapping
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fence_plan import DeviceFacts, FencePlan, Level, Rule, Step
from doctor.model.fencing import Vantage
from doctor.ports.fence import Fence

PATH = "fencing"
STEP_KEYS = {"device", "plug", "identity"}
LEAST_EVERY = timedelta(seconds=10)
MOST_EVERY = timedelta(hours=24)
LEAST_VANTAGES = 2
LEAST_FRESH = timedelta(seconds=1)
FRESH_FOR = timedelta(seconds=60)


class HostFencing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The levels of a host, the first to be tried first.

    A level is a device, or ``{device, plug, identity}``, or several of those as ``{all_of: [...]}`` or
    ``{any_of: [...]}``.
    """

    levels: list[Any]


class WitnessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody whose word counts: from where he sees, how long what he said stands, and which hosts he watches."""

    vantage: Vantage
    fresh_for: timedelta | None = None
    only: tuple[str, ...] = ()


class FencingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can cut which host off.

    - ``devices``: by name, each with its ``driver``, what that wants to know, and the ``identity`` that the device
      must give (a GUID, a serial number, a label) if it is for one host.
    - ``hosts``: by the id that the resource map has for them.
    - ``zones``: racks, power feeds ... by the id that the map has for them: what cuts all of one off. It is used in place of a
      host that could not be isolated, where the failure policy or a person says so.
    - ``check_every``: how often every device is asked whether it would do.
    - ``witnesses``: whose word counts when he says that a host is dead, by the name of the token or monitor: the class of
      his vantage, or ``{vantage, fresh_for, only}``. All others give hints.
    - ``limits``: within which hosts may be cut off, where they are not as they ship.
    - ``exclude``: hosts that are never cut off, each with the reason; Doctor's own, for one.
    """

    devices: dict[str, dict[str, Any]] = {}
    hosts: dict[str, HostFencing] = {}
    zones: dict[str, HostFencing] = {}
    check_every: str | int | float = 3600
    witnesses: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    exclude: dict[str, str] = {}


class Fencing(NamedTuple):
    """What became of the settings."""

    devices: dict[str, Fence]
    plans: dict[str, FencePlan]
    check_every: timedelta
    rules: FencingRules


def anchored(settings: FencingSettings, folder: Path) -> FencingSettings:
    """Return the settings with the names of files made to start at a folder, where they start nowhere else."""
    devices = {name: anchored_files(device, folder) for name, device in settings.devices.items()}
    return msgspec.structs.replace(settings, devices=devices)


def anchored_files(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings of a driver with its files made to start at a folder, where they start nowhere else."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name.endswith("_file") and isinstance(value, str) and value:
            found[name] = str(folder / value)
        elif name.endswith("_files") and isinstance(value, Mapping):
            found[name] = {
                key: str(folder / one) if isinstance(one, str) and one else one for key, one in value.items()
            }
        elif isinstance(value, Mapping):
            found[name] = anchored_files(value, folder)
        elif isinstance(value, list):
            found[name] = [anchored_files(one, folder) if isinstance(one, Mapping) else one for one in value]
        else:
            found[name] = value
    return found


def read_fencing(
    settings: FencingSettings, own: Mapping[str, Vantage] | None = None, hints: Collection[str] = ()
) -> Fencing:
    """Make the devices, the plans and the rules. ``own`` are Doctor's own monitors by name: they are always up to date.

    By the names of ``hints`` they say what they cannot vouch for.

    Raises:
        RejectedError: each flaw with its path.
    """
    reader = _Reader(settings, own or {}, hints)
    found = reader.read()
    if reader.flaws:
        raise RejectedError("the settings are wrong", flaws=reader.flaws)
    return found


class _Reader:
    def __init__(self, settings: FencingSettings, own: Mapping[str, Vantage], hints: Collection[str]) -> None:
        self._settings = settings
        self._own = own
        self._hints = hints
        self._devices: dict[str, Fence] = {}
        self._facts: dict[str, DeviceFacts] = {}
        self._identities: dict[str, str] = {}
        self.flaws: list[Flaw] = []

    def read(self) -> Fencing:
        for name, device in self._settings.devices.items():
            self._read_device(name, device)
        plans = {host: self._read_plan(host, given, "hosts") for host, given in self._settings.hosts.items()}
        for zone, given in self._settings.zones.items():
            if zone in plans:
                self._flaw(f"{PATH}.zones.{zone}", "is one of fencing.hosts already: it is a host or a zone")
            plans[zone] = self._read_plan(zone, given, "zones")
        every = MOST_EVERY
        try:
            every = duration(self._settings.check_every, f"{PATH}.check_every", least=LEAST_EVERY)
            if every > MOST_EVERY:
                raise ValueError(f"{PATH}.check_every: at most a day")
        except ValueError as error:
            self._take_flaw(error)
        rules = FencingRules(self._read_limits(), self._read_witnesses(), self._settings.exclude)
        return Fencing(self._devices, plans, every, rules)

    def _read_limits(self) -> Limits:
        given = dict(self._settings.limits)
        path = f"{PATH}.limits"
        durations = {
            field.name: timedelta(0)
            for field in msgspec.structs.fields(Limits)
            if isinstance(field.default, timedelta)
        }
        try:
            limits = convert(given, Limits, f"{path}.", durations=durations)
        except ValueError as error:
            self._take_flaw(error)
            return Limits()
        for name in ("vantages", "site_burst", "at_once", "storm_hosts", "in_probation", "in_a_day"):
            if getattr(limits, name) < 1:
                self._flaw(f"{path}.{name}", "must be at least 1")
        for name in ("sees", "zone_share", "storm_share", "floor"):
            if not 0 <= getattr(limits, name) <= 1:
                self._flaw(f"{path}.{name}", "is a share, between 0 and 1")
        if limits.vantages < LEAST_VANTAGES:
            self._flaw(f"{path}.vantages", "one kind of evidence is never enough: 2 at least")
        return limits

    def _read_witnesses(self) -> dict[str, Witness]:
        found = {name: Witness(vantage, fresh_for=None) for name, vantage in self._own.items()}
        for name, given in self._settings.witnesses.items():
            path = f"{PATH}.witnesses.{name}"
            try:
                read = convert(
                    {"vantage": given} if isinstance(given, str) else mapping(given, path),
                    WitnessSettings,
                    f"{path}.",
                    durations={"fresh_for": LEAST_FRESH},
                )
            except ValueError as error:
                self._take_flaw(error)
                continue
            if read.vantage is Vantage.HUMAN:
                self._flaw(f"{path}.vantage", "the word of people is taken by doctor fencing confirm")
            fresh_for = None if name in self._own and read.fresh_for is None else read.fresh_for or FRESH_FOR
            if name in self._hints:
                self._flaw(path, "is what a monitor cannot vouch for: anybody may have said it")
            found[name] = Witness(read.vantage, fresh_for, read.only)
        return found

    def _take_flaw(self, error: ValueError) -> None:
        path, _, detail = str(error).partition(": ")
        self._flaw(path, detail)

    def _read_device(self, name: str, given: Mapping[str, Any]) -> None:
        path = f"{PATH}.devices.{name}"
        if not isinstance(given.get("driver"), str):
            self._flaw(f"{path}.driver", "required: the name of a driver, such as ipmi")
            return
        identity = given.get("identity")
        if identity is not None:
            if not isinstance(identity, str) or not identity.strip():
                self._flaw(f"{path}.identity", "should be the text that the device gives")
                return
            self._identities[name] = identity
        settings = {key: value for key, value in given.items() if key != "identity"}
        try:
            device: Fence = plugins.make(plugins.FENCES, settings, path=path)
        except RejectedError as error:
            self.flaws += error.flaws
            return
        self._devices[name] = device
        self._facts[name] = DeviceFacts(device.kind, device.cuts, device.vantage, device.partial)

    def _read_plan(self, host: str, given: HostFencing, section: str) -> FencePlan:
        path = f"{PATH}.{section}.{host}.levels"
        if not given.levels:
            self._flaw(path, "has at least one level: name a device")
        levels = []
        for index, one in enumerate(given.levels):
            level = self._read_level(host, one, f"{path}[{index}]")
            if level is not None:
                levels.append(level)
        return FencePlan(host, tuple(levels))

    def _read_level(self, host: str, given: Any, path: str) -> Level | None:
        rule, steps = Rule.ALL_OF, [given]
        if isinstance(given, Mapping) and set(given) & {rule.value for rule in Rule}:
            if len(given) > 1:
                self._flaw(path, "has more than one of all_of, any_of: make levels of them")
                return None
            ((word, steps),) = given.items()
            rule, path = Rule(word), f"{path}.{word}"
            if not isinstance(steps, list) or not steps:
                self._flaw(path, "should be a list of devices")
                return None
        read = [
            self._read_step(host, one, f"{path}[{index}]" if steps is not given and len(steps) > 1 else path)
            for index, one in enumerate(steps)
        ]
        found = [step for step in read if step is not None]
        if len(found) < len(read):
            return None
        if len({(step.device, step.plug) for step in found}) < len(found):
            self._flaw(path, "names the same device twice")
            return None
        level = Level(rule, tuple(found))
        if complaint := objection(level, self._facts):
            self._flaw(path, complaint)
            return None
        return level

    def _read_step(self, host: str, given: Any, path: str) -> Step | None:
        if isinstance(given, str):
            given = {"device": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("device"), str):
            self._flaw(path, "should be the name of a device, or {device: NAME, plug: ...}")
            return None
        if unknown := sorted(set(given) - STEP_KEYS):
            self._flaw(f"{path}.{unknown[0]}", "is not known: there are device, plug, identity")
            return None
        name = given["device"]
        if name not in self._settings.devices:
            close = get_close_matches(name, self._settings.devices, 1)
            hint = f": did you mean {close[0]!r}?" if close else ": name it in fencing.devices"
            self._flaw(f"{path}.device", f"there is no device {name!r}{hint}")
            return None
        device = self._devices.get(name)
        if device is None:
            return None  # what is wrong with it has been said
        identity = given.get("identity", self._identities.get(name))
        if identity is not None and not isinstance(identity, str):
            self._flaw(f"{path}.identity", "should be a text: put it in quotes")
            return None
        plug = str(given["plug"]) if "plug" in given else self._usual_plug(device, host)
        if complaint := device.check(plug):
            self._flaw(f"{path}.plug", complaint)
            return None
        return Step(name, plug, identity)

    def _usual_plug(self, device: Fence, host: str) -> str:
        """Return the plug of a host that names none: none if the device needs none, else one called as the host."""
        return "" if device.check("") is None else host

    def _flaw(self, path: str, detail: str) -> None:
        self.flaws.append(Flaw(path, detail))
