"""Reads a document as an operator writes it (YAML), and collects all that is wrong with it, each with its place.

Words are read by what is expected in their place, so that ``status: [up, on]`` stays words and ``007`` keeps its
zeros. Aliases and tags are refused: nothing in a policy needs them, and small texts can unfold to huge ones.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

import yaml

from doctor.inspector.words import number_of
from doctor.kit.times import parse_duration
from doctor.model.errors import Flaw, Reason, RejectedError

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_NODES = 50_000
MAX_FLAWS = 100
MAX_ITEMS = 1_000  # of one list or mapping, such as the rules
MAX_TEXT = 256
MAX_COUNT = 1_000_000
MAX_DURATION = timedelta(days=366)

Word = TypeVar("Word", bound=StrEnum)


class Document:
    """A YAML text as mappings, lists and texts, and what is found to be wrong with it."""

    def __init__(self, title: str, text: str) -> None:
        """Read the text.

        Raises:
            RejectedError: it is no YAML, or more than a document of this kind needs.
        """
        self._title = title
        self._flaws: list[Flaw] = []
        # The line of each member of a mapping or list; `top` keeps these alive, and so their ids.
        self._lines: dict[tuple[int, str], int] = {}
        if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
            raise RejectedError(f"{title} is larger than {MAX_BYTES >> 20} MiB", reason=Reason.TOO_LARGE)
        self.top = Place(self, "", self._read(text))

    def flaw(self, pointer: str, detail: str) -> Flaw:
        """Return a flaw, with the line of its place or of the nearest place around it."""
        line, value = 1, self.top.value
        for step in pointer.split("/")[1:]:
            line = self._lines.get((id(value), step), line)
            if isinstance(value, list):
                value = value[int(step)]
            else:
                value = value.get(step.replace("~1", "/").replace("~0", "~"))
        return Flaw(pointer, f"{detail} (line {line})")

    def note(self, pointer: str, detail: str, hint: tuple[str, Collection[str]] | None = None) -> None:
        """Note a flaw; ``hint`` is a word and the words of which one was probably meant."""
        if len(self._flaws) < MAX_FLAWS:
            self._flaws.append(self.flaw(pointer, detail + (suggestion(*hint) if hint else "")))

    def finish(self) -> None:
        """Say all that is wrong.

        Raises:
            RejectedError: something is.
        """
        if self._flaws:
            count = len(self._flaws)
            number = "one flaw" if count == 1 else f"{count} flaws" if count < MAX_FLAWS else "many flaws"
            raise RejectedError(f"{self._title} has {number}", reason=Reason.MALFORMED, flaws=self._flaws)

    def _read(self, text: str) -> Any:
        try:
            return self._build(yaml.parse(text, Loader=LOADER))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise self._refusal(f"is no YAML: {error.problem}", line) from None
        except (yaml.YAMLError, UnicodeError):
            raise self._refusal("has characters that YAML does not allow", 1) from None

    def _build(self, events: Iterable[Any]) -> Any:
        """Build the tree from the events of the parser, without recursion and within limits."""
        root = _Open("", [])
        stack = [root]
        for number, event in enumerate(events):
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
            elif isinstance(event, yaml.NodeEvent):
                line = _line(event)
                if number > MAX_NODES or len(stack) > MAX_DEPTH or stack[-1].is_full:
                    raise self._refusal(
                        f"is too much: at most {MAX_NODES} values, {MAX_DEPTH} levels, {MAX_ITEMS} items of one",
                        line,
                    )
                if stack[-1].awaits_key:
                    self._begin_member(stack[-1], self._key(event), line)
                else:
                    value = self._value(event)
                    self._lines.setdefault((id(stack[-1].value), stack[-1].step), line)
                    pointer = stack[-1].add(value)
                    if isinstance(value, dict | list):
                        stack.append(_Open(pointer if len(stack) > 1 else "", value))
            elif isinstance(event, yaml.DocumentStartEvent) and root.value:
                raise self._refusal("is more than one document: leave out the ---", _line(event))
        return root.value[0] if root.value else None

    def _begin_member(self, mapping: "_Open", key: str, line: int) -> None:
        mapping.key = key
        if key in mapping.value and len(self._flaws) < MAX_FLAWS:
            self._flaws.append(
                Flaw(f"{mapping.pointer}/{mapping.step}", f"is given twice, again in line {line}")
            )
        self._lines.setdefault((id(mapping.value), mapping.step), line)

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.ScalarEvent) and len(event.value) <= MAX_TEXT:
            return str(event.value)
        raise self._refusal("has a key that is no text, or a long one", _line(event))

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self._refusal("has an alias (*name), which is not allowed: write it out", _line(event))
        if event.tag is not None:
            raise self._refusal("has a tag (!name), which is not allowed", _line(event))
        if isinstance(event, yaml.MappingStartEvent):
            return {}
        if isinstance(event, yaml.SequenceStartEvent):
            return []
        return None if event.implicit[0] and event.value in ("", "~", "null") else event.value

    def _refusal(self, detail: str, line: int) -> RejectedError:
        flaw = Flaw("", f"{detail} (line {line})")
        return RejectedError(f"{self._title} cannot be read", reason=Reason.MALFORMED, flaws=(flaw,))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Open:
    """A mapping or list whose end has not come yet; ``key`` is that of the member to come."""

    def __init__(self, pointer: str, value: Any) -> None:
        self.pointer = pointer
        self.value = value
        self.key: str | None = None

    @property
    def awaits_key(self) -> bool:
        return self.key is None and isinstance(self.value, dict)

    @property
    def is_full(self) -> bool:
        return len(self.value) >= MAX_ITEMS

    @property
    def step(self) -> str:
        """Return the step of a JSON pointer to the member to come."""
        return str(len(self.value)) if self.key is None else escaped(self.key)

    def add(self, value: Any) -> str:
        """Add the member, and return the pointer to it."""
        pointer = f"{self.pointer}/{self.step}"
        if self.key is None:
            self.value.append(value)
        else:
            self.value[self.key] = value
            self.key = None
        return pointer


class Place:
    """A value in a document, read as what is expected there.

    What is wrong is noted and read as some stand-in, so that reading goes on to the next flaw.
    """

    def __init__(self, document: Document | None, pointer: str, value: Any) -> None:
        """Take a value; one without a document is a stand-in, whose flaws are not worth noting."""
        self.pointer = pointer
        self.value = value
        self._document = document

    @property
    def is_given(self) -> bool:
        """Tell whether there is a value; a key with nothing behind it has none."""
        return self.value is not None

    def flaw(self, detail: str, *, hint: tuple[str, Collection[str]] | None = None) -> None:
        """Note what is wrong with this value; ``hint`` is what was said, and words of which one may be meant."""
        if self._document is not None:
            self._document.note(self.pointer, detail, hint)

    def demand(self, why: str) -> "Place":
        """Note it if there is no value."""
        if not self.is_given:
            self.flaw(f"required: {why}")
        return self

    def at(self, key: str) -> "Place":
        """Return the value of a key of this mapping."""
        return Place(self._document, f"{self.pointer}/{escaped(key)}", self.value.get(key))

    def members(self) -> dict[str, "Place"]:
        """Return the values of this mapping by key."""
        if not isinstance(self.value, dict):
            self.flaw("has to be a mapping, as in key: value")
            return {}
        return {key: self.at(key) for key in self.value}

    def section(self, known: Collection[str]) -> "Place":
        """Return this as a mapping, each of whose keys is known here."""
        for key, member in self.members().items():
            if key not in known:
                member.flaw(f"{shown(key)} is unknown here", hint=(key, known))
        return self if isinstance(self.value, dict) else Place(None, self.pointer, {})

    def sections(self, known: Collection[str]) -> list["Place"]:
        """Return this as a list of such mappings, empty if it is not given."""
        if self.is_given and not isinstance(self.value, list):
            self.flaw("has to be a list: begin each item with a dash")
            return []
        return [each.section(known) for each in self.one_or_more(may_be_empty=True)]

    def one_or_more(self, *, may_be_empty: bool = False) -> list["Place"]:
        """Return the items of a list, or the one value that is not in a list; none if it is not given."""
        if not isinstance(self.value, list):
            return [self] if self.is_given else []
        if not self.value and not may_be_empty:
            self.flaw("is an empty list: leave it out, or name what is meant")
        return [
            Place(self._document, f"{self.pointer}/{index}", each) for index, each in enumerate(self.value)
        ]

    def text(self, default: str | None = None, *, limit: int = MAX_TEXT) -> str:
        """Return a text; without a default, one has to be given."""
        if not self.is_given:
            if default is None:
                self.flaw("required")
            return default or ""
        if not isinstance(self.value, str):
            self.flaw("has to be a text")
        elif not self.value.strip():
            self.flaw("must not be empty")
        elif len(self.value) > limit:
            self.flaw(f"is too long: at most {limit} characters")
        elif not self.value.isprintable() and limit == MAX_TEXT:
            self.flaw("has characters that cannot be printed, or more than one line")
        else:
            return self.value
        return ""

    def one_of(self, words: Collection[str], default: str | None = None) -> str:
        """Return one of some words."""
        word = self.text(default)
        if word and word not in words:
            self.flaw(f"{shown(word)} is none of {', '.join(words)}", hint=(word, words))
        return word

    def word(self, words: type[Word], default: Word | None = None) -> Word:
        """Return one of the words of an enumeration."""
        known = {str(word): word for word in words}
        found = known.get(self.one_of(known, default))
        return next(iter(words)) if found is None else found

    def count(self, default: int, *, least: int = 0) -> int:
        """Return a whole number."""
        number = self.number()
        if number is None:
            return default
        if not least <= number <= MAX_COUNT or number != int(number):
            self.flaw(f"has to be a whole number from {least} to {MAX_COUNT}")
            return default
        return int(number)

    def duration(self, default: timedelta | None = None) -> timedelta:
        """Return a duration: seconds, or ISO 8601; without a default, one has to be given."""
        if not self.is_given:
            if default is None:
                self.flaw("required: a duration such as PT30S, or seconds")
            return default or timedelta(0)
        word = self.text()
        try:
            duration = parse_duration(word) if word else timedelta(0)
        except ValueError as error:
            self.flaw(str(error))
            return default or timedelta(0)
        if duration > MAX_DURATION:
            self.flaw(f"is too long: at most {MAX_DURATION.days} days")
        return min(duration, MAX_DURATION)

    def number(self) -> float | None:
        """Return a number, None if it is not given."""
        if not self.is_given:
            return None
        number = number_of(self.value)
        if number is None:
            self.flaw("has to be a number")
        return number

    def share(self, default: float) -> float:
        """Return a share of a whole, from 0 to 1."""
        share = self.number()
        if share is None:
            return default
        if not 0 <= share <= 1:
            self.flaw("has to be a share from 0 to 1")
            return default
        return share


def escaped(key: str) -> str:
    """Return a key as a step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def shown(text: str) -> str:
    """Return somebody else's text for a message: in quotes, and short."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def suggestion(word: str, known: Collection[str], *, likeness: float = 0.6) -> str:
    """Return a hint at the known word that was probably meant, if there is one."""
    close = get_close_matches(word[:MAX_TEXT], known, n=1, cutoff=likeness)
    return f"; did you mean {close[0]}?" if close else ""
