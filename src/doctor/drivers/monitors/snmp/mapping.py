"""What traps mean, as data: `mapping.yaml`, and a file of the operator's that is looked at first."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

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


def load(path: Path | None = None) -> Traps:
    """Read the rules: those of a file, if there is one, and then those that ship.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    shipped = files("doctor.drivers.monitors.snmp").joinpath(SHIPPED).read_text()
    rules = [] if path is None else list(_rules(_text(path), f"mapping_file: {path}"))
    return Traps([*rules, *_rules(shipped, SHIPPED)])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"mapping_file: {path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"mapping_file: {path}: is larger than {MOST_BYTES} bytes")
    return content.decode(errors="replace")


def _rules(text: str, place: str) -> Iterator[TrapRule]:
    try:
        document: Mapping[str, Any] = mapping(yaml.safe_load(text), place)
    except yaml.YAMLError as error:
        raise ValueError(f"{place}: not valid YAML: {error}") from None
    for name in document.keys() - {"traps"}:
        raise ValueError(f"{place}: {name}: unknown; there is traps")
    given = document.get("traps", [])
    if not isinstance(given, list):
        raise ValueError(f"{place}: traps: should be a list")
    for index, one in enumerate(given):
        yield _rule(mapping(one, f"{place}: traps[{index}]"), f"{place}: traps[{index}].")


def _rule(given: Mapping[str, Any], path: str) -> TrapRule:
    rule = convert(given, TrapRule, path, durations={"over_after": timedelta(seconds=1)})
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
    return rule
