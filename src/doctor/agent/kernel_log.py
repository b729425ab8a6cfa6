"""What the kernel says of broken hardware and of itself: /dev/kmsg, read by rules that are data (`kernel-log.yaml`)."""

import asyncio
import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from doctor.agent.log import log
from doctor.agent.report import DOWN, UP, Reporter
from doctor.kit.options import duration, mapping

DEVICE = Path("/dev/kmsg")
SHIPPED = "kernel-log.yaml"
MOST_RECORD = 8192
MOST_AT_ONCE = 200  # records in one turn; heartbeats come in between
FIELDS = frozenset({"name", "pattern", "type", "part", "resource_type", "status", "severity", "over_after"})

Say = Callable[[Any], None]


class Record(NamedTuple):
    """One message of the kernel, by its number since the host started."""

    sequence: int
    text: str


class Rule(NamedTuple):
    """What a message means. ``over_after`` are the seconds after which it is over if it does not come again."""

    name: str
    pattern: re.Pattern[str]
    type: str
    part: str = ""
    resource_type: str | None = None
    status: str = DOWN
    severity: str | None = None
    over_after: float | None = None


class Found(NamedTuple):
    """A message that a rule knows, and the part of the host that it is about."""

    rule: Rule
    part: str
    text: str


def parse_record(data: bytes) -> Record | None:
    """Read what /dev/kmsg gives at once; None if it is no message of the kernel itself."""
    head, _, rest = data.partition(b";")
    fields = head.split(b",")
    if len(fields) < 3 or not (fields[0].isdigit() and fields[1].isdigit()) or int(fields[0]) >> 3 != 0:
        return None  # programs may write there too, and say what they like
    text = rest.partition(b"\n")[0].decode(errors="replace")
    return Record(int(fields[1]), text)


class Rules:
    """Rules in order: the first that knows a message counts."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def find(self, text: str) -> Found | None:
        """Return what a message means, None if no rule knows it."""
        for rule in self._rules:
            match = rule.pattern.search(text)
            if match is not None:
                groups = {name: value or "" for name, value in match.groupdict().items()}
                return Found(rule, rule.part.format_map(groups), text)
        return None


def load_rules(path: Path | None = None) -> Rules:
    """Read rules from a file, or those that ship.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    import yaml

    place = str(path) if path else SHIPPED
    try:
        text = (path or files("doctor.agent").joinpath(SHIPPED)).read_text()
        document = yaml.safe_load(text)
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: not valid YAML: {error}") from None
    rules = mapping(document, place).get("rules")
    if not isinstance(rules, list):
        raise ValueError(f"{place}: rules: required: a list")
    return Rules([_rule(one, f"{place}: rules[{index}]") for index, one in enumerate(rules)])


def _rule(given: Any, path: str) -> Rule:
    given = mapping(given, path)
    for name in given:
        if name not in FIELDS:
            raise ValueError(f"{path}.{name}: unknown; there are {', '.join(sorted(FIELDS))}")
    for name in ("name", "pattern", "type"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise ValueError(f"{path}.{name}: required")
    try:
        pattern = re.compile(given["pattern"])
    except re.error as error:
        raise ValueError(f"{path}.pattern: {error}") from None
    part = str(given.get("part", ""))
    try:
        part.format_map(dict.fromkeys(pattern.groupindex, ""))
    except (KeyError, ValueError, IndexError):
        raise ValueError(f"{path}.part: names a group that the pattern does not have") from None
    over = given.get("over_after")
    return Rule(
        given["name"],
        pattern,
        given["type"],
        part,
        given.get("resource_type"),
        str(given.get("status", DOWN)),
        given.get("severity"),
        None
        if over is None
        else duration(over, f"{path}.over_after", least=timedelta(seconds=1)).total_seconds(),
    )


class Bookmark:
    """Up to where the log was read, and of which run of the host: so nothing is missed or said twice by a new agent."""

    def __init__(self, file: Path, boot: bytes) -> None:
        self._file = file
        self._boot = boot.hex()

    def load(self) -> int | None:
        """Return the number of the last message that was read: -1 when the host has started anew, None when nobody knows."""
        try:
            kept = json.loads(self._file.read_text())
            return int(kept["sequence"]) if kept["boot"] == self._boot else -1
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, sequence: int) -> None:
        """Keep it. It is no harm if that fails."""
        try:
            self._file.write_text(json.dumps({"boot": self._boot, "sequence": sequence}))
        except OSError as error:
            log.repeat("kernel_log.bookmark_not_kept", error=str(error))


class KernelLog:
    """Reads the log as it grows, and says what rules find in it."""

    def __init__(
        self, reporter: Reporter, say: Say, rules: Rules, bookmark: Bookmark, device: Path = DEVICE
    ) -> None:
        """Open the device.

        Raises:
            OSError: it is not there, or not for us.
        """
        self._reporter = reporter
        self._say = say
        self._rules = rules
        self._bookmark = bookmark
        self._file = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._last = bookmark.load()
        self._kept = self._last
        self._ends: dict[tuple[str, str], asyncio.TimerHandle] = {}
        if self._last is None:
            os.lseek(self._file, 0, os.SEEK_END)  # what an unknown past has said is not said anew

    def start(self) -> None:
        """Begin to read."""
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def close(self) -> None:
        """Read no more."""
        asyncio.get_running_loop().remove_reader(self._file)
        for timer in self._ends.values():
            timer.cancel()
        os.close(self._file)
        self.keep()

    def keep(self) -> None:
        """Keep where we are, if that is news."""
        if self._last is not None and self._last != self._kept:
            self._kept = self._last
            self._bookmark.save(self._last)

    def _read(self) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                data = os.read(self._file, MOST_RECORD)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EPIPE:
                    raise
                log.repeat("kernel_log.lost_some")  # it was written over faster than we read
                continue
            if not data:
                break
            record = parse_record(data)
            if record is not None and (self._last is None or record.sequence > self._last):
                self._last = record.sequence
                self.heard(record.text)

    def heard(self, text: str) -> None:
        """Say what a message means, if a rule knows it."""
        found = self._rules.find(text)
        if found is None:
            return
        rule = found.rule
        self._tell(found, rule.status, text)
        if rule.over_after is not None:
            key = (rule.type, found.part)
            if key in self._ends:
                self._ends[key].cancel()
            loop = asyncio.get_running_loop()
            self._ends[key] = loop.call_later(rule.over_after, self._over, found)

    def _over(self, found: Found) -> None:
        del self._ends[found.rule.type, found.part]
        self._tell(found, UP, f"{found.rule.name}: not again for {found.rule.over_after:g} s")

    def _tell(self, found: Found, status: str, cause: str) -> None:
        rule = found.rule
        more = {} if rule.severity is None or status == UP else {"severity": rule.severity}
        self._say(
            self._reporter.report(
                rule.type,
                status,
                cause,
                part=found.part,
                resource_type=rule.resource_type,
                rule=rule.name,
                **more,
            )
        )
