"""Who is told of which alarms [D 3.3.4].

In comes what happened to a fault; out goes, per subscription, the alarms to tell. An owner hears of his own
resources and of nothing else; the Administrator hears of the physical side too.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from doctor.model.alarm import Alarm, Transition
from doctor.model.fault import Fault
from doctor.model.notification import NotificationType
from doctor.model.resource import VirtualResource
from doctor.model.subscription import EventKind, SubscribeFilter, Subscription
from doctor.notifier.capacity import is_told_of_capacity


class Subscriptions:
    """All subscriptions, found by the project that they belong to."""

    def __init__(self, subscriptions: Iterable[Subscription] = ()) -> None:
        self._by_id: dict[str, Subscription] = {}
        self._by_project: dict[str | None, dict[str, Subscription]] = {}
        self._told_of_capacity: dict[str, Subscription] = {}
        self._told_of_the_vim: dict[str, Subscription] = {}
        self._wishing: set[str] = set()  # those that say how soon a failure of theirs is to be found
        for subscription in subscriptions:
            self.put(subscription)

    def put(self, subscription: Subscription) -> None:
        """Add a subscription, or replace the one of the same id."""
        self.remove(subscription.subscription_id)
        self._by_id[subscription.subscription_id] = subscription
        self._by_project.setdefault(subscription.project, {})[subscription.subscription_id] = subscription
        if is_told_of_capacity(subscription):
            self._told_of_capacity[subscription.subscription_id] = subscription
        if EventKind.VIM in subscription.filter.event:
            self._told_of_the_vim[subscription.subscription_id] = subscription
        if subscription.detection is not None:
            self._wishing.add(subscription.subscription_id)

    def remove(self, subscription_id: str) -> None:
        """Forget a subscription; one that is not there is no error."""
        known = self._by_id.pop(subscription_id, None)
        if known is not None:
            self._by_project[known.project].pop(subscription_id, None)
            self._told_of_capacity.pop(subscription_id, None)
            self._told_of_the_vim.pop(subscription_id, None)
            self._wishing.discard(subscription_id)

    def get(self, subscription_id: str) -> Subscription | None:
        """Return the subscription of this id, or None."""
        return self._by_id.get(subscription_id)

    def of(self, project: str | None) -> Collection[Subscription]:
        """Return the subscriptions of one project; None is the Administrator."""
        return self._by_project.get(project, {}).values()

    def detection_wish(self, machines: Iterable[VirtualResource]) -> timedelta | None:
        """Return the shortest time within which owners of some machines want them to be looked at [D functest]."""
        if not self._wishing:
            return None
        return min(
            (
                subscription.detection
                for machine in machines
                for subscription in self.of(machine.owner)
                if subscription.detection is not None
                and resource_matches(subscription.filter, machine.id, machine.type)
            ),
            default=None,
        )

    def told_of_capacity(self) -> Collection[Subscription]:
        """Return the subscriptions that are told when the pool's capacity changes."""
        return self._told_of_capacity.values()

    def told_of_the_vim(self) -> Collection[Subscription]:
        """Return the subscriptions that ask for failures of the VIM, which they do by name only."""
        return self._told_of_the_vim.values()

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


class Telling(NamedTuple):
    """One notification to be: whom, of what kind, which alarms."""

    subscription: Subscription
    kind: NotificationType
    alarms: tuple[Alarm, ...]


VIM_RESOURCES = frozenset(("control_node", "vim_service"))
VIM_SERVICE_FAILURE = "VIM service failure"  # as the fault catalogue calls what vim.service.failure reports


def tellings(
    transition: Transition,
    subscriptions: Subscriptions,
    shelved: Collection[str] = (),
    *,
    administrator: Transition | None = None,
) -> Iterator[Telling]:
    """Return what each subscription is to be told of a transition: one notification for all that one cause did.

    An alarm that ever was bad enough counts as bad enough: who heard of it once hears of it until its end. Of
    ``shelved`` alarms (by id) the owner hears the end but no changes; the Administrator goes on hearing of those
    of others. To a patient subscription changes and ends are returned whether it wants to hear of them or not: what is
    kept from it depends on them. ``administrator`` is the transition as he hears it, if that is another one than the
    owners hear.
    """
    above = transition if administrator is None else administrator
    for kind, alarms, seen in (
        (NotificationType.FAULT, transition.raised, above.raised),
        (NotificationType.FAULT_CHANGED, transition.changed, above.changed),
        (NotificationType.FAULT_CLEARED, transition.cleared, above.cleared),
        (NotificationType.CORRECTION, transition.corrected, above.corrected),
    ):
        if alarms or seen:
            quiet = shelved if kind is NotificationType.FAULT_CHANGED else ()
            yield from _told(kind, alarms, seen, transition, subscriptions, quiet)
    if is_of_the_vim(transition.record.fault):
        yield from _told_of_the_vim(transition, above, subscriptions, shelved)


def is_of_the_vim(fault: Fault) -> bool:
    """Tell whether a fault concerns everybody who uses the VIM: a control node or a service failed [HA 5.2]."""
    return fault.resource_type in VIM_RESOURCES or fault.fault_type == VIM_SERVICE_FAILURE


def _told_of_the_vim(
    transition: Transition, above: Transition, subscriptions: Subscriptions, shelved: Collection[str]
) -> Iterator[Telling]:
    """Return who is told of a failure of the VIM: whoever asked for it by name, whatever runs where."""
    fault = transition.record.fault
    for kind, alarms, seen in (
        (NotificationType.FAULT, transition.raised, above.raised),
        (NotificationType.FAULT_CHANGED, transition.changed, above.changed),
        (
            NotificationType.FAULT_CLEARED,
            (*transition.cleared, *transition.corrected),
            (*above.cleared, *above.corrected),
        ),
    ):
        theirs, his = (
            tuple(alarm for alarm in some if alarm.resource_id == fault.resource_id)
            for some in (alarms, seen)
        )
        for subscription in subscriptions.told_of_the_vim() if theirs or his else ():
            is_administrator = subscription.project is None
            own = his if is_administrator else theirs
            if not own or (is_administrator and EventKind.FAULT in subscription.filter.event):
                continue  # the Administrator hears of it anyway
            is_quiet = kind is NotificationType.FAULT_CHANGED and own[0].alarm_id in shelved
            if (
                not (is_administrator and is_quiet)
                and _wants(subscription, kind)
                and _is_of_a_kind(subscription.filter, fault)
                and own[0].worst_severity >= subscription.filter.min_severity
            ):
                yield Telling(subscription, NotificationType.VIM, own)


def _told(
    kind: NotificationType,
    owned: tuple[Alarm, ...],
    alarms: tuple[Alarm, ...],
    transition: Transition,
    subscriptions: Subscriptions,
    quiet: Collection[str],
) -> Iterator[Telling]:
    fault = transition.record.fault
    for project, own in _by_project(owned).items():
        if project is not None:
            if quiet:
                own = tuple(alarm for alarm in own if alarm.alarm_id not in quiet)
            for subscription in subscriptions.of(project):
                matching = _matching(subscription, kind, own, fault)
                if matching:
                    yield Telling(subscription, kind, matching)
    if quiet:
        alarms = tuple(alarm for alarm in alarms if alarm.project is not None or alarm.alarm_id not in quiet)
    for subscription in subscriptions.of(None):
        if fault.resource_id == subscription.subscription_id:
            continue  # that its own endpoints are away: told to them it would be the next thing to fail
        matching = _matching(subscription, kind, alarms, fault)
        if matching:
            yield Telling(subscription, kind, matching)


def _by_project(alarms: tuple[Alarm, ...]) -> dict[str | None, tuple[Alarm, ...]]:
    grouped: dict[str | None, list[Alarm]] = {}
    for alarm in alarms:
        grouped.setdefault(alarm.project, []).append(alarm)
    return {project: tuple(own) for project, own in grouped.items()}


def _wants(subscription: Subscription, kind: NotificationType) -> bool:
    if kind is NotificationType.FAULT_CLEARED:
        return subscription.clear
    return subscription.change or kind is not NotificationType.FAULT_CHANGED


def _matching(
    subscription: Subscription, kind: NotificationType, alarms: tuple[Alarm, ...], fault: Fault
) -> tuple[Alarm, ...]:
    if not (_wants(subscription, kind) or subscription.is_patient):
        return ()
    asked = subscription.filter
    if not _fault_matches(asked, fault):
        return ()
    if not (asked.virtual_resource_id or asked.virtual_resource_type or asked.min_severity):
        return alarms
    return tuple(
        alarm
        for alarm in alarms
        if resource_matches(asked, alarm.resource_id, alarm.resource_type)
        and alarm.worst_severity >= asked.min_severity
    )


def _fault_matches(asked: SubscribeFilter, fault: Fault) -> bool:
    return (not asked.event or EventKind.FAULT in asked.event) and _is_of_a_kind(asked, fault)


def _is_of_a_kind(asked: SubscribeFilter, fault: Fault) -> bool:
    return (not asked.fault_type or fault.fault_type in asked.fault_type) and (
        not asked.probable_cause or fault.probable_cause in asked.probable_cause
    )


def alarm_matches(asked: SubscribeFilter, fault: Fault, alarm: Alarm) -> bool:
    """Tell whether a filter lets one open alarm through."""
    return (
        _fault_matches(asked, fault)
        and resource_matches(asked, alarm.resource_id, alarm.resource_type)
        and alarm.severity >= asked.min_severity
    )


def hears_of(asked: SubscribeFilter, fault: Fault, alarm: Alarm) -> bool:
    """Tell whether an alarm is, or ever was, one that a filter lets through: such a one is told until its end."""
    return (
        _fault_matches(asked, fault)
        and resource_matches(asked, alarm.resource_id, alarm.resource_type)
        and alarm.worst_severity >= asked.min_severity
    )


def resource_matches(asked: SubscribeFilter, resource_id: str, resource_type: str) -> bool:
    """Tell whether a filter lets a resource through. An empty list restricts nothing."""
    return (not asked.virtual_resource_id or resource_id in asked.virtual_resource_id) and (
        not asked.virtual_resource_type or resource_type in asked.virtual_resource_type
    )
