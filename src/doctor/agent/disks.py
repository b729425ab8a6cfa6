"""Disks that say themselves that they are wearing out or failing: S.M.A.R.T. by smartctl, or nvme where that is missing."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from doctor.agent.states import States

DISK_CRASH, DISK_AGING = "compute.disk.crash", "compute.disk.aging"
WITHIN = 30.0  # seconds: a disk that is failing may take its time
CANNOT_TELL = 0b11  # bits of smartctl's exit status: it was called wrongly, or could not open the disk
FAILING, PRE_FAIL = 0b1000, 0b10000
KELVIN = 273


class Health(NamedTuple):
    """What a disk says of itself. ``aging`` and ``failed`` are sentences, None when there is nothing to say."""

    aging: str | None
    failed: str | None
    conditions: Mapping[str, float]


def health_of_smartctl(document: Mapping[str, Any], status: int) -> Health | None:
    """Return what `smartctl -j -a` said, None if it could not ask the disk."""
    smart = document.get("smart_status")
    if status & CANNOT_TELL or not isinstance(smart, dict):
        return None
    nvme = smart.get("nvme") if isinstance(smart.get("nvme"), dict) else {}
    assert isinstance(nvme, dict)
    said = [name.replace("_", " ") for name, value in nvme.items() if value is True]
    failed = "the medium has become read-only" if nvme.get("media_read_only") is True else None
    aging = None
    if smart.get("passed") is False or status & FAILING:
        aging = "it says that it is failing" + (f": {', '.join(said)}" if said else "")
    elif status & PRE_FAIL:
        aging = "an attribute that foretells failure has passed its threshold"
    return Health(aging, failed, dict(_conditions(document)))


def _conditions(document: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    health = document.get("nvme_smart_health_information_log")
    if isinstance(health, dict):
        for name in ("percentage_used", "available_spare", "media_errors", "critical_warning"):
            if isinstance(health.get(name), int):
                yield name, health[name]
    temperature = document.get("temperature")
    if isinstance(temperature, dict) and isinstance(temperature.get("current"), int):
        yield "temperature", temperature["current"]
    table = document.get("ata_smart_attributes")
    for attribute in table.get("table", ()) if isinstance(table, dict) else ():
        if isinstance(attribute, dict) and attribute.get("id") in ATTRIBUTES:
            raw = attribute.get("raw")
            if isinstance(raw, dict) and isinstance(raw.get("value"), int):
                yield ATTRIBUTES[attribute["id"]], raw["value"]


ATTRIBUTES = {
    5: "reallocated_sectors",
    187: "reported_uncorrectable",
    197: "pending_sectors",
    198: "offline_uncorrectable",
}


def health_of_nvme(document: Mapping[str, Any]) -> Health | None:
    """Return what `nvme smart-log -o json` said; its numbers come as numbers or as text."""
    warning = _number(document.get("critical_warning"))
    if warning is None:
        return None
    names = (
        "spare below threshold",
        "temperature",
        "reliability degraded",
        "media read only",
        "backup failed",
    )
    said = [name for bit, name in enumerate(names) if int(warning) & 1 << bit]
    aging = f"it warns: {', '.join(said) or int(warning)}" if warning else None
    failed = "the medium has become read-only" if int(warning) & 0b1000 else None
    read = {
        "percentage_used": _number(document.get("percent_used")),
        "available_spare": _number(document.get("avail_spare")),
        "media_errors": _number(document.get("media_errors")),
        "critical_warning": warning,
    }
    temperature = _number(document.get("temperature"))
    if temperature is not None:
        read["temperature"] = temperature - KELVIN
    return Health(aging, failed, {name: value for name, value in read.items() if value is not None})


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


class Disks:
    """Asks each disk, and says what changes."""

    def __init__(self, states: States, devices: Sequence[str] = ()) -> None:
        self._states = states
        self._devices = devices
        self.conditions: dict[str, float] = {}

    def look(self) -> None:
        """Ask all disks once.

        Raises:
            OSError: neither program is there.
            ValueError: one does not answer as it should.
        """
        conditions: dict[str, float] = {}
        for device, health in asked(self._devices):
            name = device.removeprefix("/dev/")
            if health is None:
                continue
            self._states.tell(DISK_AGING, name, health.aging, resource_type="disk")
            self._states.tell(DISK_CRASH, name, health.failed, resource_type="disk")
            conditions |= {f"disk_{name}_{what}": value for what, value in health.conditions.items()}
        self.conditions = conditions


def asked(devices: Sequence[str] = ()) -> Iterator[tuple[str, Health | None]]:
    """Ask disks, all of the host if none is named.

    Raises:
        OSError: neither program is there.
        ValueError: one does not answer as it should.
    """
    if smartctl := shutil.which("smartctl"):
        for device in devices or _listed([smartctl, "--scan", "-j"], "devices", "name"):
            document, status = _run([smartctl, "-j", "-a", device])
            yield device, health_of_smartctl(document, status)
    elif nvme := shutil.which("nvme"):
        for device in devices or _listed([nvme, "list", "-o", "json"], "Devices", "DevicePath"):
            document, _ = _run([nvme, "smart-log", device, "-o", "json"])
            yield device, health_of_nvme(document)
    else:
        raise FileNotFoundError("neither smartctl (smartmontools) nor nvme (nvme-cli) is installed")


def _listed(command: Sequence[str], many: str, name: str) -> list[str]:
    document, _ = _run(command)
    found = document.get(many) or ()
    return [str(one[name]) for one in found if isinstance(one, dict) and name in one]


def _run(command: Sequence[str]) -> tuple[Mapping[str, Any], int]:
    try:
        done = subprocess.run(command, capture_output=True, timeout=WITHIN)  # noqa: S603 - found in the path, no shell
        document = json.loads(done.stdout or b"{}")
    except subprocess.TimeoutExpired:
        raise ValueError(f"{command[0]} did not answer within {WITHIN:g} s") from None
    except ValueError:
        raise ValueError(f"{command[0]} wrote no JSON") from None
    return (document if isinstance(document, dict) else {}), done.returncode
