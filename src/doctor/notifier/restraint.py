"""What a subscriber who asked for patience is told, and what is kept from it for now.

In comes what one transition would tell a subscription, out goes what it is told. Two things hold something back: a
redundancy group of which not enough are out (`doctor.notifier.aggregate`), and a host that may still do harm: who
subscribed with ``when: isolated`` hears of it when it is isolated, and of what is over before that never.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.notification import NotificationType
from doctor.model.resource import Isolation
from doctor.model.resource_map import Owners, ResourceMap
from doctor.model.subscription import Subscription
from doctor.notifier import aggregate
from doctor.notifier.aggregate import Group
from doctor.notifier.matching import hears_of

NO_HOST = ""
HARMLESS = (Isolation.NOT_REQUIRED, Isolation.ISOLATED)

_FAULT = NotificationType.FAULT
_CHANGED = NotificationType.FAULT_CHANGED
_OVER = (NotificationType.FAULT_CLEARED, NotificationType.CORRECTION)

News = dict[NotificationType, tuple[Alarm, ...]]
IsHarmless = Callable[[str], bool]  # a host, by its id
IsolationOf = Callable[[str | None], Isolation]
Test = Callable[[AlarmedFault, Alarm], bool]


class Restraint(msgspec.Struct, frozen=True):
    """What one subscription was not told yet: how its group stands, and the alarms that wait for a host (by alarm id)."""

    group: Group = Group()
    held: dict[str, str] = {}

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to remember."""
        return not (self.group.out or self.group.told or self.held)


class Told(NamedTuple):
    """What a subscription is told of one kind: alarms of the fault in question, and of others that are open."""

    kind: NotificationType
    alarms: tuple[Alarm, ...]
    others: tuple[tuple[AlarmedFault, Alarm], ...] = ()


class Outcome(NamedTuple):
    """What is told now, and what is to be remembered."""

    restraint: Restraint
    told: tuple[Told, ...]


class Look(NamedTuple):
    """What is known of the present, after the transition.

    ``is_silenced`` tells whether a silence keeps an alarm from the subscription now, ``is_unheard`` whether it never heard
    of one because of a silence.
    """

    resources: ResourceMap
    book: AlarmBook
    isolation_of: IsolationOf
    is_silenced: Test
    is_unheard: Test
    now: datetime


def restrain(subscription: Subscription, restraint: Restraint, news: News, look: Look) -> Outcome:
    """Decide what a patient subscription is told of one transition; ``news`` is what its filter lets through."""
    group, told = _by_group(subscription, restraint.group, news, look)
    held = restraint.held
    if held or subscription.waits_for_isolation:
        held, told = _by_isolation(held, told, look, _is_harmless_to(subscription, look))
    return Outcome(Restraint(group, held), tuple(_wanted(subscription, told)))


def release(
    subscription: Subscription, restraint: Restraint, look: Look
) -> tuple[Restraint, list[tuple[AlarmedFault, tuple[Alarm, ...]]]]:
    """Return what no longer has to wait, by fault: hosts are isolated, or it turned out that they need not be."""
    ready = _released(restraint.held, look, _is_harmless_to(subscription, look))
    gone = {alarm.alarm_id for _, alarm in ready}
    by_fault: dict[str, tuple[AlarmedFault, list[Alarm]]] = {}
    for record, alarm in ready:
        by_fault.setdefault(record.fault.fault_key, (record, []))[1].append(alarm)
    held = {key: host for key, host in restraint.held.items() if key not in gone}
    return Restraint(restraint.group, held), [(record, tuple(alarms)) for record, alarms in by_fault.values()]


def regrouped(
    subscription: Subscription,
    restraint: Restraint,
    former: Subscription | None,
    formerly: Owners,
    look: Look,
) -> Restraint:
    """Return what is held back when a subscription is new or changed (it was ``former``), or the map (``formerly``).

    A group is counted anew; what is out counts from when it was raised, unless it was known. Who subscribes is not told
    what is open already, but of a group if too many are out (`recounted`). What was held back because of a group to which
    it no longer belongs waits for nothing but its host. The book is from before.
    """

    def has_passed(alarm: Alarm) -> bool:
        """Tell whether no group held it back: it was told, or waits for a host."""
        if former is None:
            return False
        group = former.aggregate
        return (
            group is None
            or alarm.alarm_id in restraint.held
            or alarm.alarm_id in restraint.group.told
            or not aggregate.is_member(group, former.project, formerly.virtual.get(alarm.resource_id))
        )

    def is_member(alarm: Alarm) -> bool:
        machine = look.resources.virtual.get(alarm.resource_id)
        wish = subscription.aggregate
        return wish is not None and aggregate.is_member(wish, subscription.project, machine)

    is_grouped = subscription.aggregate is not None or (former is not None and former.aggregate is not None)
    alarms = list(_open_alarms(subscription, formerly, look)) if is_grouped else []
    members = [alarm for alarm in alarms if is_member(alarm)]
    waiting = [
        alarm
        for record, alarm in _known(look.book, restraint.held)
        if hears_of(subscription.filter, record.fault, alarm)
    ]
    if former is not None:
        waiting += [alarm for alarm in alarms if not (has_passed(alarm) or is_member(alarm))]
    known = restraint.group.out
    out = {
        alarm.alarm_id: known.get(alarm.alarm_id) or aggregate.Failure(alarm.resource_id, alarm.raised_time)
        for alarm in members
        if alarm.resource_state.is_out
    }
    told = frozenset(alarm.alarm_id for alarm in members if has_passed(alarm))
    group = Group(out, told, restraint.group.exceeded)
    return Restraint(group, _hosts_of(waiting, look.resources))


def recounted(subscription: Subscription, restraint: Restraint, look: Look) -> Restraint:
    """Return what is held back when nothing happened but to the wish: too many of a group may be out by it."""
    wish = subscription.aggregate
    if wish is None:
        return restraint
    group, tell = aggregate.step(wish, restraint.group, began={}, ended=(), cleared=(), now=look.now)
    alarms = [alarm for _, alarm in _known(look.book, tell) if alarm.alarm_id not in restraint.held]
    return Restraint(group, restraint.held | _hosts_of(alarms, look.resources))


def is_kept_back(
    subscription: Subscription, restraint: Restraint, resources: ResourceMap, alarm: Alarm
) -> bool:
    """Tell whether an open alarm that a subscription hears of was not told to it yet."""
    if alarm.alarm_id in restraint.held:
        return True
    wish = subscription.aggregate
    if wish is None or alarm.alarm_id in restraint.group.told:
        return False
    return aggregate.is_member(wish, subscription.project, resources.virtual.get(alarm.resource_id))


def _open_alarms(subscription: Subscription, formerly: Owners, look: Look) -> Iterator[Alarm]:
    """Return what is open of an owner, and heard; a group is nothing but machines."""
    project = subscription.project or ""
    for resource_id in dict.fromkeys((*formerly.owned_by(project), *look.resources.owned_by(project))):
        for record in look.book.on(resource_id):
            alarm = record.alarms[resource_id]
            if (
                alarm.project == subscription.project
                and hears_of(subscription.filter, record.fault, alarm)
                and not look.is_unheard(record, alarm)
            ):
                yield alarm


def _hosts_of(alarms: Iterable[Alarm], resources: ResourceMap) -> dict[str, str]:
    """Return the host that each alarm waits for; one without a host waits for nothing."""
    return {alarm.alarm_id: _host_of(alarm, resources) or NO_HOST for alarm in alarms}


# --- the group ---


def _by_group(
    subscription: Subscription, group: Group, news: News, look: Look
) -> tuple[Group, dict[NotificationType, Told]]:
    wish = subscription.aggregate
    if wish is None:
        return group, {kind: Told(kind, alarms) for kind, alarms in news.items()}

    def is_member(alarm: Alarm) -> bool:
        machine = look.resources.virtual.get(alarm.resource_id)
        return aggregate.is_member(wish, subscription.project, machine)

    own: dict[NotificationType, list[Alarm]] = {}
    theirs: dict[NotificationType, list[Alarm]] = {}
    for kind, alarms in news.items():
        for alarm in alarms:
            known = alarm.alarm_id in group.out or alarm.alarm_id in group.told
            (own if known or is_member(alarm) else theirs).setdefault(kind, []).append(alarm)
    present = [*own.get(_FAULT, ()), *own.get(_CHANGED, ())]
    over = [alarm for kind in _OVER for alarm in own.get(kind, ())]
    after, tell = aggregate.step(
        wish,
        group,
        began={alarm.alarm_id: alarm.resource_id for alarm in present if alarm.resource_state.is_out},
        ended=[alarm.alarm_id for alarm in present if not alarm.resource_state.is_out],
        cleared=[alarm.alarm_id for alarm in over],
        now=look.now,
    )
    told: dict[NotificationType, Told] = {}
    new = set(tell)
    for kind in (_FAULT, _CHANGED, *_OVER):
        mine = own.get(kind, ())
        if kind is not _FAULT:
            mine = [alarm for alarm in mine if alarm.alarm_id in group.told]
        else:
            mine = [alarm for alarm in present if alarm.alarm_id in new]
        alarms = (*theirs.get(kind, ()), *mine)
        if alarms:
            told[kind] = Told(kind, alarms)
    here = {alarm.alarm_id for alarm in present}
    others = tuple(_known(look.book, (alarm_id for alarm_id in tell if alarm_id not in here)))
    if others:
        told[_FAULT] = Told(_FAULT, told[_FAULT].alarms if _FAULT in told else (), others)
    return after, told


# --- isolation ---


def _by_isolation(
    held: dict[str, str], told: dict[NotificationType, Told], look: Look, is_harmless: IsHarmless
) -> tuple[dict[str, str], dict[NotificationType, Told]]:
    """Keep back what is on a host that may do harm, and what became of it meanwhile."""
    waiting = dict(held)
    passed: dict[NotificationType, Told] = {}
    for kind in (_FAULT, _CHANGED, *_OVER):
        one = told.get(kind)
        if one is None:
            continue
        alarms = [alarm for alarm in one.alarms if not _waits(kind, alarm, waiting, look, is_harmless)]
        others = [pair for pair in one.others if not _waits(kind, pair[1], waiting, look, is_harmless)]
        if alarms or others:
            passed[kind] = Told(kind, tuple(alarms), tuple(others))
    ready = _released(waiting, look, is_harmless)
    for _, alarm in ready:
        del waiting[alarm.alarm_id]
    return waiting, _with(passed, ready)


def _is_harmless_to(subscription: Subscription, look: Look) -> IsHarmless:
    """Return what tells whether a subscription need not wait for a host."""
    if not subscription.waits_for_isolation:
        return lambda _: True
    return lambda host: look.isolation_of(host) in HARMLESS


def _waits(
    kind: NotificationType, alarm: Alarm, waiting: dict[str, str], look: Look, is_harmless: IsHarmless
) -> bool:
    if kind in _OVER:
        return waiting.pop(alarm.alarm_id, None) is not None
    if kind is _CHANGED:
        return alarm.alarm_id in waiting
    host = _host_of(alarm, look.resources)
    if host is None or is_harmless(host):
        return False
    waiting[alarm.alarm_id] = host
    return True


def _host_of(alarm: Alarm, resources: ResourceMap) -> str | None:
    if alarm.project is None:
        return alarm.resource_id
    machine = resources.virtual.get(alarm.resource_id)
    return None if machine is None else machine.host


# --- small parts ---


def _wanted(subscription: Subscription, told: dict[NotificationType, Told]) -> Iterator[Told]:
    """Return what is told, without the kinds that the subscriber does not want to hear of."""
    for kind, one in told.items():
        if kind is _CHANGED and not subscription.change:
            continue
        if kind is NotificationType.FAULT_CLEARED and not subscription.clear:
            continue
        yield one


def _known(book: AlarmBook, alarm_ids: Iterable[str]) -> Iterator[tuple[AlarmedFault, Alarm]]:
    for alarm_id in alarm_ids:
        found = book.alarm(alarm_id)
        if found is not None:
            yield found


def _released(held: dict[str, str], look: Look, is_harmless: IsHarmless) -> list[tuple[AlarmedFault, Alarm]]:
    """Return what waits no longer for its host; what a silence covers goes on waiting."""
    known = _known(look.book, (alarm_id for alarm_id, host in held.items() if is_harmless(host)))
    return [pair for pair in known if not look.is_silenced(*pair)]


def _with(
    told: dict[NotificationType, Told], others: Iterable[tuple[AlarmedFault, Alarm]]
) -> dict[NotificationType, Told]:
    more = tuple(others)
    if not more:
        return told
    one = told.get(_FAULT, Told(_FAULT, ()))
    return {**told, _FAULT: Told(_FAULT, one.alarms, (*one.others, *more))}
