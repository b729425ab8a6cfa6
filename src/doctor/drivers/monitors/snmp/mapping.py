"""What traps mean and what devices are asked for, as data: `mapping.yaml`, and a file of the operator's that comes first."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import yaml

from doctor.kit.options import convert, mapping

SHIPPED = "mapping.yaml"
MOST_BYTES = 4 * 1024 * 1024
BELOW = ".*"
OWN_TYPE = "snmp."  # what has no type is called by the name of the trap behind this
UNMAPPED = "snmp.trap"  # what no rule knows

Oid = Annotated[str, msgspec.Meta(pattern=r"^[012](\.(0|[1-9]\d{0,9})){1,127}$")]
OidPattern = Annotated[str, msgspec.Meta(pattern=r"^[012](\.(0|[1-9]\d{0,9})){1,127}(\.\*)?$")]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Fits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pattern with wildcards, and the type of what it fits."""

    fits: Word
    type: Word


class TrapRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one trap means. The words are told in `mapping.yaml`."""

    name: Word
    oid: OidPattern
    type: str = ""
    about: Literal["device", "port"] = "device"
    status: Literal["down", "up"] | None = None
    by: Oid | None = None
    down: tuple[int | str, ...] = ()
    up: tuple[int | str, ...] = ()
    severity: str | dict[str, str] = ""
    key: str = ""
    part: Oid | None = None
    part_from: str = ""
    text: Oid | None = None
    kind_by: Oid | None = None
    kinds: tuple[Fits, ...] = ()
    over_after: timedelta | None = None
    poll: bool = False


class TableRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a column of a device means. The words are told in `mapping.yaml`."""

    name: Word
    column: Oid
    type: Word
    key: Word
    down: Annotated[tuple[int | str, ...], msgspec.Meta(min_length=1)]
    part: Oid | None = None
    severity: str | dict[str, str] = ""
    states: dict[str, Word] = {}


class LimitRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From where on what a sensor reads is a fault."""

    sensor: Word
    unit: Literal["volts", "amperes", "watts", "hertz", "celsius", "percent", "rpm"]
    above: float | None = None
    below: float | None = None
    type: Word = "compute.chassis.degraded"
    severity: str = ""


class Traps:
    """The rules, to be found by the OID of a trap."""

    def __init__(self, rules: Sequence[TrapRule]) -> None:
        """Take rules; of those with the same OID the first counts."""
        self._exact: dict[str, TrapRule] = {}
        self._below: dict[str, TrapRule] = {}
        for rule in rules:
            if rule.oid.endswith(BELOW):
                self._below.setdefault(rule.oid.removesuffix(BELOW), rule)
            else:
                self._exact.setdefault(rule.oid, rule)

    def find(self, trap: str) -> TrapRule | None:
        """Return what is known of a trap."""
        found = self._exact.get(trap)
        above = trap
        while found is None and above:
            above = above.rpartition(".")[0]
            found = self._below.get(above)
        return found


class Meanings(NamedTuple):
    """All the rules."""

    traps: Traps
    tables: tuple[TableRule, ...]
    limits: tuple[LimitRule, ...]


class _Document(NamedTuple):
    traps: list[TrapRule]
    tables: list[TableRule]
    limits: list[LimitRule]


def load(path: Path | None = None) -> Meanings:
    """Read the rules: those of a file, if there is one, and then those that ship; a table of the same name takes its place.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    shipped = _read(files("doctor.drivers.monitors.snmp").joinpath(SHIPPED).read_text(), SHIPPED)
    own = _Document([], [], []) if path is None else _read(_text(path), f"mapping_file: {path}")
    taken = {table.name for table in own.tables}
    tables = [*own.tables, *(table for table in shipped.tables if table.name not in taken)]
    return Meanings(Traps([*own.traps, *shipped.traps]), tuple(tables), (*own.limits, *shipped.limits))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"mapping_file: {path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"mapping_file: {path}: is larger than {MOST_BYTES} bytes")
    return content.decode(errors="replace")


def _read(text: str, place: str) -> _Document:
    try:
        document: Mapping[str, Any] = mapping(yaml.safe_load(text), place)
    except yaml.YAMLError as error:
        raise ValueError(f"{place}: not valid YAML: {error}") from None
    for name in document.keys() - set(_Document._fields):
        raise ValueError(f"{place}: {name}: unknown; there are {', '.join(_Document._fields)}")
    traps = _rules(document, "traps", TrapRule, place)
    for index, trap in enumerate(traps):
        _check_trap(trap, f"{place}: traps[{index}].")
    limits = _rules(document, "limits", LimitRule, place)
    for index, limit in enumerate(limits):
        if limit.above is None and limit.below is None:
            raise ValueError(f"{place}: limits[{index}].above: required, or below")
    return _Document(traps, _rules(document, "tables", TableRule, place), limits)


R = TypeVar("R", TrapRule, TableRule, LimitRule)


def _rules(document: Mapping[str, Any], name: str, kind: type[R], place: str) -> list[R]:
    given = document.get(name, [])
    if not isinstance(given, list):
        raise ValueError(f"{place}: {name}: should be a list")
    places = [f"{place}: {name}[{index}]" for index in range(len(given))]
    return [
        convert(mapping(one, path), kind, f"{path}.", durations={"over_after": timedelta(seconds=1)})
        for one, path in zip(given, places, strict=True)
    ]


def _check_trap(rule: TrapRule, path: str) -> None:
    if rule.part_from:
        try:
            groups = re.compile(rule.part_from).groups
        except re.error as error:
            raise ValueError(f"{path}part_from: {error}") from None
        if groups != 1:
            raise ValueError(f"{path}part_from: should have one group, which is the part")
    if rule.status is not None and rule.by is not None:
        raise ValueError(f"{path}by: says what status says already")
    if (rule.down or rule.up) and rule.by is None:
        raise ValueError(f"{path}by: required: the object whose values are listed")
