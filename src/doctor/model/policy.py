"""What the operator decided: which events count as which fault, and what a fault takes down (design part 4).

    FailurePolicy
    ├── ignore      events that count for nothing
    ├── predict     Foresight: an event that says that a fault will come
    ├── faults      FaultRule: an event that meets `when` raises a fault, one that meets `clear_when` ends it
    ├── aggregate   Aggregation: several faults of one resource that are together another one
    ├── absence     Absence: events that have to come, and what it means when they do not
    ├── damping     Damping: how a fault that comes and goes is told
    ├── suspect     Suspicion: failures that point at what they have in common
    ├── storm       Storm: many hosts of one failure domain at once
    ├── self_isolation  SelfIsolation: when silence is our own
    ├── zones       ZoneLevel: how often parts of a failure impact zone may fail before the zone itself has failed
    └── propagate   Propagation: what a fault does to whatever depends on the faulty resource

The fault catalogue is beside it: what is known of the event types that ship, and what a rule need not repeat.
"""

from datetime import timedelta
from enum import Enum, StrEnum

import msgspec

from doctor.model.fault import EventType, ResourceState, Severity


class RecommendedAction(StrEnum):
    """What the owner (or, for ``inform_oam``, the Administrator) had best do: the actions of the annex [D 7]."""

    SWITCH_TO_HOT_STANDBY = "switch_to_hot_standby"
    LIVE_MIGRATE = "live_migrate"
    EVACUATE = "evacuate"
    REBUILD = "rebuild"
    INFORM_OAM = "inform_oam"
    RECONFIGURE_NETWORK = "reconfigure_network"
    NONE = "none"


class Equals(msgspec.Struct, frozen=True):
    """A detail is this word, in any case; a detail that is a number is compared as a number."""

    value: str


class Glob(msgspec.Struct, frozen=True):
    """A detail matches this pattern (``*``, ``?``, ``[...]``), in any case."""

    pattern: str


class OneOf(msgspec.Struct, frozen=True):
    """A detail is one of these."""

    choices: tuple[Equals | Glob, ...]


class Range(msgspec.Struct, frozen=True):
    """A detail is a number beyond ``above`` and below ``below``, the ends not included; None is no end.

    In the ``when`` of a rule: it has been so for ``dwell``, and is over when the number is below ``clear_below`` or above
    ``clear_above``, which None puts to the ends themselves.
    """

    above: float | None = None
    below: float | None = None
    dwell: timedelta = timedelta(0)
    clear_below: float | None = None
    clear_above: float | None = None


Matcher = Equals | Glob | OneOf | Range


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are meant: all that is given must hold, and what is empty is no restriction.

    Names are patterns, case-sensitive, of which one must match; ``details`` has a matcher for each dotted key. What
    an event does not say matches nothing, not even ``*``.
    """

    type: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    severity: frozenset[Severity] = frozenset()
    resource: tuple[str, ...] = ()
    zone: tuple[str, ...] = ()
    details: dict[str, Matcher] = {}


class ResourceSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event names the faulty resource.

    ``path`` is a dotted key of the details; ``""`` is what the event is about anyway (``resource_id``, else the host
    name). ``type`` is what it is, as far as neither the event nor the resource map tells.
    """

    path: str = ""
    type: str = ""


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """A condition under which a fault is of another severity, state or action: None is as the rule says.

    ``condition`` says it in words; one of ``when`` must hold.
    """

    condition: str
    when: tuple[Condition, ...]
    severity: Severity | None = None
    state: ResourceState | None = None
    recommended_action: RecommendedAction | None = None


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes for a fault to be believed: all of it.

    ``dwell``: each sample said so for at least that long. ``samples``: so many in a row said so. ``monitors``: so many
    sources say so, each within the last ``within``.
    """

    dwell: timedelta = timedelta(0)
    samples: int = 1
    monitors: int = 1
    within: timedelta = timedelta(minutes=1)


class FaultRule(msgspec.Struct, frozen=True, kw_only=True):
    """How an event becomes a fault.

    An event that meets ``when`` raises it, one that meets any of ``clear_when`` ends it. ``severity`` None is the
    Monitor's own; the first of ``grades`` whose condition holds has the last word on severity, state and action.
    ``patience`` None believes the first event.
    """

    name: str
    when: Condition
    clear_when: tuple[Condition, ...]
    resource: ResourceSource
    fault_type: str
    severity: Severity | None
    state: ResourceState
    event_type: EventType
    probable_cause: str
    recommended_action: RecommendedAction
    grades: tuple[Grade, ...] = ()
    patience: Patience | None = None


class IgnoreRule(msgspec.Struct, frozen=True, kw_only=True):
    """Events that count for nothing."""

    name: str
    when: Condition


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """How an event becomes a predicted fault [D 2.1.2].

    An event that meets ``when`` says that the fault of the rule ``of`` will come; with ``""``, what an event of its type
    without ``.predicted`` would mean. One that meets any of ``withdraw_when`` takes it back.

    ``time`` and ``lead`` are the dotted keys of the details that say when, ``confidence`` how surely. Counted is what is
    at least of ``min_confidence`` and not further away than ``horizon``. It is told anew when it has moved by ``moves``,
    is near when it is not further away than ``near``, and has not come true when it is late by ``grace``.
    """

    name: str
    when: Condition
    withdraw_when: tuple[Condition, ...]
    of: str = ""
    time: str = "predicted_time"
    lead: str = "predicted_in"
    confidence: str = "confidence"
    min_confidence: float = 0.0
    horizon: timedelta | None = None
    near: timedelta = timedelta(minutes=15)
    grace: timedelta = timedelta(minutes=15)
    moves: timedelta = timedelta(minutes=5)
    severity: Severity = Severity.WARNING


class Ways(Enum):
    """How many suppliers of one kind a resource must have lost for a propagation to apply."""

    THIS = "this one, whatever the others do"
    ALL = "this one and all others"
    SOME = "this one but not all others"


class Propagation(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault on a supplier does to its dependents [D 3.3.3].

    It applies to suppliers of this type and relations of this kind, if the supplier is in ``state`` (None: any) by a
    fault of at least ``min_severity``. ``severity`` None is the same as the fault's.
    """

    supplier_type: str
    kind: str
    state: ResourceState | None
    ways: Ways = Ways.THIS
    to_state: ResourceState
    severity: Severity | None = None
    min_severity: Severity = Severity.CLEARED


class Aggregation(msgspec.Struct, frozen=True, kw_only=True):
    """More than ``more_than`` lesser faults of one resource within a window are a fault of their own [D 3.3.2].

    Lesser are those below ``severity_below``.
    """

    name: str
    severity_below: Severity = Severity.CRITICAL
    more_than: int = 2
    within: timedelta
    fault_type: str
    severity: Severity
    state: ResourceState
    probable_cause: str
    recommended_action: RecommendedAction


class Subject(StrEnum):
    """Whose events are counted together."""

    SOURCE = "source"
    RESOURCE = "resource"


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """Events that have to come at least every so often from whoever has begun to send them.

    When one stays away an event of the type ``raises`` says that its source, or its resource, is down, and when it
    comes again, that it is up.
    """

    name: str
    expect: Condition
    every: timedelta
    same: Subject = Subject.SOURCE
    raises: str


class Damping(msgspec.Struct, frozen=True, kw_only=True):
    """When a fault that comes and goes is told less often.

    After ``changes`` changes of one fault within ``within`` further ones are folded into one, which is told when
    nothing has changed for ``hold``. With 0 changes nothing is ever folded.
    """

    changes: int = 5
    within: timedelta = timedelta(seconds=60)
    hold: timedelta = timedelta(seconds=30)


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """When failures below a resource point at the resource itself: latent faults [HA 5.3].

    So many of what depends on one of this type by relations of this kind, and this share of them, have failed within
    the window.
    """

    name: str
    supplier_type: str
    kind: str
    at_least: int = 3
    share: float = 0.5
    within: timedelta
    severity: Severity


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """When many hosts of one failure domain at once are one fault of the domain.

    At least ``hosts`` of them and at least ``share`` of all within the window; it is over when fewer are left, for
    ``calm`` at least.
    """

    hosts: int = 2
    share: float = 0.1
    within: timedelta = timedelta(seconds=10)
    calm: timedelta = timedelta(seconds=60)


class SelfIsolation(msgspec.Struct, frozen=True, kw_only=True):
    """When it is Doctor's own monitor that is cut off, rather than hosts that have died [I-13].

    More than ``share`` of the hosts that a monitor has seen fell silent within the window, and all its canaries with
    them. Without canaries it takes ``hosts`` to look at, and most failure domains that are unrelated. When it sees again
    hosts have ``settle`` to answer before they are believed to be dead.
    """

    hosts: int = 5
    share: float = 0.5
    within: timedelta = timedelta(seconds=10)
    settle: timedelta = timedelta(seconds=2)


class Escalate(StrEnum):
    """Who says that a zone has failed when its parts have failed too often."""

    ASK = "ask"
    AUTOMATIC = "automatic"


class IsolationPolicy(StrEnum):
    """What is to be done about the isolation of a zone that has failed.

    ``ADVISE`` tells the Administrator to isolate it, ``FENCE`` wishes Doctor to.
    """

    NONE = "none"
    ADVISE = "advise"
    FENCE = "fence"


class Audience(StrEnum):
    """Who is told that a zone has failed, beside those whose resource the zone itself is."""

    ADMINISTRATOR = "administrator"
    OWNERS = "owners"


class ZoneLevel(msgspec.Struct, frozen=True, kw_only=True):
    """The failure impact zones of one level: each resource of this type, with what is within it [HA 6.1.2.2, 6.1.2.3].

    Within it is what depends on it, by one relation of ``relations`` after the other. When its parts (``components`` are
    the types that count, all without any) have failed ``frequency`` times within ``probation``, at least ``distinct`` of
    them, the zone has failed, and counts in the zones that it is in itself: the smallest ones, or of those of the types
    ``next`` (None is any). With `Escalate.ASK` somebody has to say so before ``deadline`` has passed.
    ``severity``, ``state``, ``tell`` and the rest are of the fault that is raised then.
    """

    type: str
    relations: tuple[str, ...] = ("hosts", "contains", "connects", "powers")
    components: tuple[str, ...] = ()
    probation: timedelta
    frequency: int = 3
    distinct: int = 1
    escalate: Escalate = Escalate.ASK
    deadline: timedelta = timedelta(minutes=30)
    next: tuple[str, ...] | None = None
    isolation: IsolationPolicy = IsolationPolicy.ADVISE
    severity: Severity = Severity.CRITICAL
    state: ResourceState = ResourceState.NORMAL
    tell: Audience = Audience.ADMINISTRATOR
    probable_cause: str = "repeated failures within the zone"
    recommended_action: RecommendedAction = RecommendedAction.INFORM_OAM


class FailurePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The failure policy as a whole. The first fault rule that takes an event is the one that counts."""

    version: int
    description: str = ""
    faults: tuple[FaultRule, ...] = ()
    ignore: tuple[IgnoreRule, ...] = ()
    predict: tuple[Foresight, ...] = ()
    aggregate: tuple[Aggregation, ...] = ()
    absence: tuple[Absence, ...] = ()
    damping: Damping = Damping()
    suspect: tuple[Suspicion, ...] = ()
    storm: Storm | None = None
    self_isolation: SelfIsolation | None = SelfIsolation()
    zones: tuple[ZoneLevel, ...] = ()
    propagate: tuple[Propagation, ...] = ()


class CatalogueRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one type of event: the fault it means and what a person does about it.

    ``detection`` is how such a fault is found, ``repair`` a sentence for the operator, ``cites`` where the
    requirements name it. ``clears_by`` are types of events that end it.
    """

    type: str
    fault_type: str
    resource: str
    severity: Severity
    state: ResourceState
    event_type: EventType
    probable_cause: str
    recommended_action: RecommendedAction
    detection: str
    repair: str
    cites: tuple[str, ...]
    grades: tuple[Grade, ...] = ()
    clears_by: tuple[str, ...] = ()


class ClearingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A type of event that raises nothing and ends the fault of another type."""

    type: str
    clears: str
    detection: str
    cites: tuple[str, ...]


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The fault catalogue by type of event."""

    rows: dict[str, CatalogueRow] = {}
    clearing: dict[str, ClearingRow] = {}

    @property
    def types(self) -> tuple[str, ...]:
        """Return all types of events that it knows."""
        return (*self.rows, *self.clearing)
