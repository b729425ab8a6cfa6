"""Temperatures (hwmon) and memory that corrects itself (EDAC), as the kernel shows them in /sys."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from doctor.agent.states import States

HWMON = Path("/sys/class/hwmon")
EDAC = Path("/sys/devices/system/edac/mc")
TOO_HOT = "compute.chassis.degraded"
MEMORY_FAILURE = "compute.memory.failure"
COOLED = 5.0  # degrees below the limit, before it is well again


class Temperature(NamedTuple):
    """A sensor. ``most`` is what its chip calls critical, or its maximum; None where it names none."""

    name: str
    celsius: float
    most: float | None


class MemoryErrors(NamedTuple):
    """What a memory controller has counted since the host started."""

    controller: str
    corrected: int
    uncorrected: int


def temperatures(folder: Path = HWMON) -> Iterator[Temperature]:
    """Read all sensors; one that does not answer is left out."""
    for chip in sorted(folder.glob("hwmon*")):
        chip_name = _text(chip / "name") or chip.name
        for file in sorted(chip.glob("temp*_input")):
            number = file.name.removesuffix("_input")
            value = _number(file)
            if value is None:
                continue
            most = _number(chip / f"{number}_crit") or _number(chip / f"{number}_max")
            label = _text(chip / f"{number}_label") or number
            yield Temperature(
                f"{chip_name}-{label}".replace(" ", "-"), value / 1000, most / 1000 if most else None
            )


def memory_errors(folder: Path = EDAC) -> Iterator[MemoryErrors]:
    """Read all memory controllers."""
    for controller in sorted(folder.glob("mc[0-9]*")):
        corrected, uncorrected = _number(controller / "ce_count"), _number(controller / "ue_count")
        if corrected is not None and uncorrected is not None:
            yield MemoryErrors(controller.name, int(corrected), int(uncorrected))


class Sensors:
    """Looks at sensors and counters, and says what changes."""

    def __init__(self, states: States, hwmon: Path = HWMON, edac: Path = EDAC) -> None:
        self._states = states
        self._hwmon = hwmon
        self._edac = edac
        self._hot: set[str] = set()
        self._uncorrected: dict[str, int] = {}
        self.conditions: dict[str, float] = {}

    def look(self) -> None:
        """Look once."""
        conditions: dict[str, float] = {}
        for one in temperatures(self._hwmon):
            conditions[f"temperature_{one.name}"] = one.celsius
            self._judge(one)
        for errors in memory_errors(self._edac):
            conditions[f"memory_{errors.controller}_corrected"] = errors.corrected
            conditions[f"memory_{errors.controller}_uncorrected"] = errors.uncorrected
            before = self._uncorrected.get(errors.controller, 0)
            if errors.uncorrected > before:
                self._states.tell(
                    MEMORY_FAILURE,
                    "",
                    f"{errors.uncorrected - before} uncorrected errors, {errors.controller}",
                )
            self._uncorrected[errors.controller] = errors.uncorrected
        self.conditions = conditions

    def _judge(self, one: Temperature) -> None:
        if one.most is None or not 0 < one.most < 200:  # some chips name limits that are none
            return
        limit = one.most - (COOLED if one.name in self._hot else 0.0)
        if one.celsius >= limit:
            self._hot.add(one.name)
        else:
            self._hot.discard(one.name)
        trouble = f"{one.celsius:g} °C, and {one.most:g} is the most" if one.name in self._hot else None
        self._states.tell(TOO_HOT, one.name, trouble, celsius=one.celsius)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return None
