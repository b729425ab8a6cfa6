"""Reads a failure policy as the operator writes it (YAML), and says all that is wrong with it at once.

Words are read by what is expected in their place, so that ``status: [up, on]`` stays words and ``007`` keeps its
zeros. Aliases and tags are refused: nothing in a policy needs them, and small texts can unfold to huge ones.
"""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from enum import StrEnum
from itertools import chain
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec.structs import replace

from doctor.inspector.selection import is_literal, number_of, pattern
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.fault import EventType, ResourceState, Severity, severity_of
from doctor.model.policy import (
    Catalogue,
    CatalogueRow,
    Condition,
    Equals,
    FailurePolicy,
    FaultRule,
    Glob,
    Grade,
    IgnoreRule,
    Matcher,
    OneOf,
    Propagation,
    Range,
    RecommendedAction,
    ResourceSource,
    Ways,
)
from doctor.model.resource import VIRTUAL_RESOURCE_TYPES

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_NODES = 50_000
MAX_FLAWS = 100
MAX_ITEMS = 1_000  # of one list or mapping, such as the rules
MAX_TEXT = 256
MAX_DESCRIPTION = 4096

# What ends a fault unless its rule says otherwise.
CLEAR_WORDS = ("up", "ok", "okay", "cleared", "clear", "resolved", "normal")
DEFAULT_CLEAR = (
    Condition(details={"status": OneOf(tuple(Equals(word) for word in CLEAR_WORDS))}),
    Condition(severity=frozenset({Severity.CLEARED})),
)
# Details that say how bad it is, rather than what it is about.
LEVELS = ("status", "severity")

SECTIONS = ("version", "description", "faults", "ignore", "propagate")
LATER_SECTIONS = ("confirm", "aggregate", "absence", "damping", "suspect", "zones", "storm")
RULE_KEYS = (
    *("name", "when", "clear_when", "resource", "fault_type", "severity", "state"),
    *("event_type", "probable_cause", "recommended_action", "grades"),
)
GRADE_KEYS = ("condition", "when", "severity", "state", "recommended_action")
CONDITION_KEYS = ("type", "source", "severity", "resource", "zone", "details")
PROPAGATION_KEYS = ("from", "kind", "state", "when_all", "to_state", "severity", "min_severity")

RELATION_KINDS = ("hosts", "connects", "attaches", "powers", "contains", "backs")
SUPPLIER_TYPES = (
    *("host", "control_node", "switch", "nic", "disk", "storage", "power", "cooling", "chassis", "rack"),
    *("controller", "vim_service", *VIRTUAL_RESOURCE_TYPES),
)
WAYS = {"true": Ways.ALL, "false": Ways.SOME}

Word = TypeVar("Word", bound=StrEnum)


class PolicyReport(msgspec.Struct, frozen=True):
    """A policy that can be applied, and what its author should look at once more."""

    policy: FailurePolicy
    warnings: tuple[Flaw, ...] = ()


def parse_policy(text: str, catalogue: Catalogue) -> PolicyReport:
    """Read a policy; what a rule leaves out comes from the catalogue's row for its type of event.

    Raises:
        RejectedError: something is wrong; every flaw is named by its place.
    """
    document = Document("the failure policy", text)
    top = document.top.section(SECTIONS, LATER_SECTIONS)
    if top.at("version").text() not in ("", "1"):
        top.at("version").flaw("has to be 1, the only version there is")
    policy = FailurePolicy(
        version=1,
        description=top.at("description").text("", limit=MAX_DESCRIPTION),
        faults=_fault_rules(top.at("faults").sections(RULE_KEYS), catalogue),
        ignore=tuple(
            IgnoreRule(name=each.at("name").text(each.pointer), when=_demanded(each.at("when")))
            for each in top.at("ignore").sections(("name", "when"))
        ),
        propagate=tuple(_propagation(each) for each in top.at("propagate").sections(PROPAGATION_KEYS)),
    )
    document.finish()
    warnings = tuple(document.flaw(pointer, detail) for pointer, detail in _warnings(policy, catalogue))
    return PolicyReport(policy, warnings[:MAX_FLAWS])


# --- the sections of a policy ---


def _fault_rules(sections: list["Place"], catalogue: Catalogue) -> tuple[FaultRule, ...]:
    rules = tuple(_fault_rule(section, catalogue) for section in sections)
    first: dict[str, str] = {}
    for rule, section in zip(rules, sections, strict=True):
        if rule.name and first.setdefault(rule.name, section.pointer) != section.pointer:
            section.at("name").flaw(f"{shown(rule.name)} is the name of {first[rule.name]} already")
    return rules


def _fault_rule(section: "Place", catalogue: Catalogue) -> FaultRule:
    when = _demanded(section.at("when"))
    row = catalogue.rows.get(when.type[0], _UNLISTED) if len(when.type) == 1 else _UNLISTED
    if row is _UNLISTED:
        for key in ("fault_type", "severity"):
            section.at(key).demand("the catalogue has no row for the type of event that would give it")
    severity = section.at("severity")
    is_same = severity.value == "same"
    return FaultRule(
        name=section.at("name").text(),
        when=when,
        clear_when=_clear_conditions(section.at("clear_when"), when, row.clears_by),
        resource=_resource(section.at("resource"), row.resource),
        fault_type=section.at("fault_type").text(row.fault_type),
        severity=None if is_same else read_severity(severity) if severity.is_given else row.severity,
        state=section.at("state").word(ResourceState, row.state),
        event_type=section.at("event_type").word(EventType, row.event_type),
        probable_cause=section.at("probable_cause").text(row.probable_cause),
        recommended_action=section.at("recommended_action").word(RecommendedAction, row.recommended_action),
        grades=(
            read_grades(section.at("grades"))
            if section.at("grades").is_given
            else _inherited_grades(section, row)
        ),
    )


# What holds for a type of event that the catalogue does not have, unless the rule says it: nothing is out of service.
_UNLISTED = CatalogueRow(
    type="",
    fault_type="",
    resource="",
    severity=Severity.INDETERMINATE,
    state=ResourceState.NORMAL,
    event_type=EventType.EQUIPMENT,
    probable_cause="indeterminate",
    recommended_action=RecommendedAction.INFORM_OAM,
    detection="",
    repair="",
    cites=(),
)


def read_grades(place: "Place") -> tuple[Grade, ...]:
    """Read the conditions under which a fault is of another severity, state or action."""
    return tuple(
        Grade(
            condition=each.at("condition").text(""),
            when=tuple(
                _condition(when) for when in each.at("when").demand("when does it hold?").one_or_more()
            ),
            severity=read_severity(each.at("severity")) if each.at("severity").is_given else None,
            state=each.at("state").word(ResourceState) if each.at("state").is_given else None,
            recommended_action=(
                each.at("recommended_action").word(RecommendedAction)
                if each.at("recommended_action").is_given
                else None
            ),
        )
        for each in place.sections(GRADE_KEYS)
    )


def _inherited_grades(section: "Place", row: CatalogueRow) -> tuple[Grade, ...]:
    """Return the grades of the row without what the rule decides itself."""
    decided = {key: None for key in ("severity", "state", "recommended_action") if section.at(key).is_given}
    return tuple(replace(grade, **decided) for grade in row.grades)


def _clear_conditions(place: "Place", when: Condition, clears_by: tuple[str, ...]) -> tuple[Condition, ...]:
    """Return what ends the fault: as the rule says, else the default; and what the catalogue knows to end it.

    The catalogue's part falls away when the rule names types of clearing events itself, or that nothing ends it.
    """
    wanted: tuple[Condition, ...] = DEFAULT_CLEAR
    if place.is_given:
        wanted = tuple(_condition(each) for each in place.one_or_more(may_be_empty=True))
        if not wanted or any(condition.type for condition in wanted):
            clears_by = ()
    if clears_by:
        wanted = (*wanted, Condition(type=clears_by))
    return tuple(_about_the_same(when, condition) for condition in wanted)


def _about_the_same(when: Condition, clear: Condition) -> Condition:
    """Let a clear condition be about the same thing as ``when``, as far as it does not say so itself.

    What tells how bad it is (severity, status, ranges) is not taken over: that is what changes when a fault ends.
    """
    kept = {
        key: matcher
        for key, matcher in when.details.items()
        if key not in LEVELS and not isinstance(matcher, Range)
    }
    return replace(
        clear,
        type=clear.type or when.type,
        source=clear.source or when.source,
        resource=clear.resource or when.resource,
        zone=clear.zone or when.zone,
        details=kept | clear.details,
    )


def _resource(place: "Place", resource_type: str) -> ResourceSource:
    if not place.is_given:
        return ResourceSource(type=resource_type)
    section = place.section(("id", "type"))
    path = section.at("id").text("")
    if path and (not path.startswith("details.") or path == "details."):
        section.at("id").flaw("has to be a place in the details of the event, such as details.hostname")
    return ResourceSource(path=path.removeprefix("details."), type=section.at("type").text(resource_type))


def _propagation(section: "Place") -> Propagation:
    state, severity, least = (section.at(key) for key in ("state", "severity", "min_severity"))
    return Propagation(
        supplier_type=section.at("from").text(),
        kind=section.at("kind").one_of(RELATION_KINDS),
        state=state.word(ResourceState) if state.is_given else None,
        ways=WAYS.get(section.at("when_all").one_of(WAYS, ""), Ways.THIS),
        to_state=section.at("to_state").word(ResourceState),
        severity=None if severity.value in (None, "same") else read_severity(severity),
        min_severity=_any_severity(least) if least.is_given else Severity.CLEARED,
    )


def read_severity(place: "Place") -> Severity:
    """Read the severity of a fault."""
    severity = _any_severity(place)
    if severity is Severity.CLEARED:
        place.flaw("no fault is raised as cleared; what ends a fault is said by clear_when")
    return severity


def _any_severity(place: "Place") -> Severity:
    word = place.text()
    try:
        return severity_of(word)
    except ValueError as error:
        if word:  # an empty one is a flaw already
            place.flaw(str(error), hint=(word.lower(), [each.perceived for each in Severity]))
        return Severity.INDETERMINATE


# --- conditions ---


def _demanded(place: "Place") -> Condition:
    """Read the one condition of a rule, which has to restrict something."""
    if not place.demand("which events are meant?").is_given:
        return Condition()
    condition = _condition(place)
    if condition == Condition() and isinstance(place.value, dict) and place.value.keys() <= {*CONDITION_KEYS}:
        place.flaw(f"would take every event: name at least one of {', '.join(CONDITION_KEYS)}")
    return condition


def _condition(place: "Place") -> Condition:
    section = place.section(CONDITION_KEYS)
    details = section.at("details")
    return Condition(
        type=_names(section.at("type")),
        source=_names(section.at("source")),
        severity=frozenset(_any_severity(each) for each in section.at("severity").one_or_more()),
        resource=_names(section.at("resource")),
        zone=_names(section.at("zone")),
        details=(
            {key: _matcher(member) for key, member in details.members().items()} if details.is_given else {}
        ),
    )


def _names(place: "Place") -> tuple[str, ...]:
    return tuple(each.text() for each in place.one_or_more())


def _matcher(place: "Place") -> Matcher:
    if isinstance(place.value, dict):
        return _range(place)
    place.demand("a word, a pattern, a list of them, or a range such as {above: 80}")
    words = [Equals(word) if is_literal(word) else Glob(word) for word in _names(place)]
    return words[0] if len(words) == 1 else OneOf(tuple(words))


def _range(place: "Place") -> Range:
    section = place.section(("above", "below"), later=("for", "clear_below"))
    above, below = section.at("above").number(), section.at("below").number()
    if not section.at("above").is_given and not section.at("below").is_given:
        place.flaw("needs above or below; a detail within a detail is written as one key: a.b")
    if above is not None and below is not None and above >= below:
        place.flaw("no number is above the one and below the other")
    return Range(above, below)


# --- warnings: what can be applied, but is hardly what was meant ---


def _warnings(policy: FailurePolicy, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    if not policy.faults:
        yield "/faults", "there are none: no event raises a fault"
    if not policy.propagate:
        yield "/propagate", "there is none: no owner is told of a fault on a host"
    for index, rule in enumerate(policy.faults):
        yield from _misspelt(f"/faults/{index}/when/type", rule.when.type, catalogue.types)
    yield from _shadowed(policy)
    for index, each in enumerate(policy.propagate):
        yield from _misspelt(f"/propagate/{index}/from", (each.supplier_type,), SUPPLIER_TYPES)


def _shadowed(policy: FailurePolicy) -> Iterator[tuple[str, str]]:
    # By type, and those for more than named types under "": rules for different types need no comparison.
    earlier: dict[str, list[tuple[str, Condition]]] = {}

    def remember(name: str, when: Condition) -> None:
        are_named = when.type and all(is_literal(each) for each in when.type)
        for event_type in when.type if are_named else ("",):
            earlier.setdefault(event_type, []).append((name, when))

    for ignore in policy.ignore:
        remember(f"the ignore rule {shown(ignore.name)}", ignore.when)
    for index, rule in enumerate(policy.faults):
        candidates = chain.from_iterable(earlier.get(each, ()) for each in ("", *rule.when.type))
        cover = next((name for name, when in candidates if _covers(when, rule.when)), None)
        if cover is not None:
            yield f"/faults/{index}/when", f"never fires: {cover} takes all these events before"
        remember(f"the rule {shown(rule.name)}", rule.when)


def _misspelt(pointer: str, words: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        if word not in known and is_literal(word) and (hint := suggestion(word, known, likeness=0.9)):
            yield pointer, f"{shown(word)} is none that ships{hint}"


def _covers(earlier: Condition, later: Condition) -> bool:
    """Tell whether every event of the later condition surely meets the earlier one."""
    return (
        _names_cover(earlier.type, later.type)
        and _names_cover(earlier.source, later.source)
        and _names_cover(earlier.resource, later.resource)
        and _names_cover(earlier.zone, later.zone)
        and (not earlier.severity or (bool(later.severity) and later.severity <= earlier.severity))
        and all(later.details.get(key) == matcher for key, matcher in earlier.details.items())
    )


def _names_cover(earlier: tuple[str, ...], later: tuple[str, ...]) -> bool:
    if not earlier or not later:
        return not earlier
    return all(
        any(wide == name or (is_literal(name) and pattern(wide).match(name)) for wide in earlier)
        for name in later
    )


# --- reading a document, flaw by flaw ---


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

    def section(self, known: Collection[str], later: Collection[str] = ()) -> "Place":
        """Return this as a mapping, each of whose keys is known here."""
        for key, member in self.members().items():
            if key in later:
                member.flaw(f"{key} is not supported by this version: leave it out")
            elif key not in known:
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

    def number(self) -> float | None:
        """Return a number, None if it is not given."""
        if not self.is_given:
            return None
        number = number_of(self.value)
        if number is None:
            self.flaw("has to be a number")
        return number


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
