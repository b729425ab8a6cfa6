"""What each subscription is told of a step, written down: numbered, with its bytes, ready to be kept.

Nothing waits here. A notification gets its number when it is decided, and is kept in the same change as what it tells.
"""

from datetime import datetime
from typing import Protocol

import msgspec

from doctor.flows.situation import OPEN, RESTRAINT, Situation
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.notification import NotificationType, StoredNotification
from doctor.model.resource import Isolation
from doctor.model.subscription import Acknowledge, Subscription
from doctor.notifier import restraint as patience
from doctor.notifier.matching import Telling, tellings
from doctor.notifier.message import Outlooks, write, write_vim
from doctor.notifier.restraint import Look, News, Restraint, Told
from doctor.ports.store import Change, Memo


class Step(Protocol):
    """What is being decided: when, and what it wants kept."""

    now: datetime
    change: Change


class Notices:
    """Writes notifications into a step."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def of(self, transition: Transition, outlooks: Outlooks, step: Step) -> None:
        """Write what a transition tells, which the book has taken over already."""
        patient: dict[str, tuple[Subscription, News]] = {}
        record = transition.record
        for telling in tellings(transition, self._situation.subscriptions):
            subscription = telling.subscription
            if telling.kind is NotificationType.VIM:
                self._write_vim(subscription, telling.alarms[0], record, outlooks, step)
            elif subscription.is_patient:
                news = patient.setdefault(subscription.subscription_id, (subscription, {}))[1]
                news[telling.kind] = telling.alarms
            else:
                self._write(telling, (), record, outlooks, step)
        for subscription, news in patient.values():
            before = self._restraint(subscription)
            after, told = patience.restrain(subscription, before, news, self._look(step))
            self._remember(subscription, before, after, step)
            for one in told:
                self._write_told(subscription, one, record, outlooks, step)

    def of_release(self, occasion: str, step: Step) -> None:
        """Write what need not be held back any longer: hosts are isolated, or nobody waits for that."""
        for subscription_id in list(self._situation.restraints):
            subscription = self._situation.subscriptions.get(subscription_id)
            if subscription is None:
                continue
            before = self._restraint(subscription)
            after, ready = patience.release(before, self._look(step, subscription))
            self._remember(subscription, before, after, step)
            for record, alarms in ready:
                telling = Telling(subscription, NotificationType.FAULT, alarms)
                self._write(telling, (), record, {}, step, occasion=occasion)

    def regroup(self, subscription: Subscription, former: Subscription | None, step: Step) -> None:
        """Count the group of a subscription anew: its policy or the resource map is another one."""
        before = self._restraint(subscription)
        after = patience.regrouped(subscription, before, former, self._look(step))
        self._remember(subscription, before, after, step)

    def _restraint(self, subscription: Subscription) -> Restraint:
        return self._situation.restraints.get(subscription.subscription_id, Restraint())

    def _remember(self, subscription: Subscription, before: Restraint, after: Restraint, step: Step) -> None:
        if after == before:
            return
        key = subscription.subscription_id
        if after.is_empty:
            self._situation.restraints.pop(key, None)
            step.change.memos.append(Memo(kind=RESTRAINT, key=key, record=None))
        else:
            self._situation.restraints[key] = after
            step.change.memos.append(Memo(kind=RESTRAINT, key=key, record=msgspec.msgpack.encode(after)))

    def _look(self, step: Step, subscription: Subscription | None = None) -> Look:
        situation = self._situation
        isolation_of = situation.describer(None).isolation_of
        if subscription is not None and not subscription.waits_for_isolation:
            isolation_of = _nobody_waits
        return Look(situation.resources, situation.book, isolation_of, step.now)

    def _write_told(
        self, subscription: Subscription, told: Told, record: AlarmedFault, outlooks: Outlooks, step: Step
    ) -> None:
        self._write(Telling(subscription, told.kind, told.alarms), told.others, record, outlooks, step)

    def _write(
        self,
        telling: Telling,
        others: tuple[tuple[AlarmedFault, Alarm], ...],
        record: AlarmedFault,
        outlooks: Outlooks,
        step: Step,
        *,
        occasion: str = "",
    ) -> None:
        subscription = telling.subscription
        sequence = self._situation.next_sequence(subscription.subscription_id)
        notification_id, body = write(
            subscription,
            telling.kind,
            telling.alarms,
            record,
            self._situation.describer(subscription.project, outlooks),
            sequence=sequence,
            now=step.now,
            others=others,
            occasion=occasion,
        )
        _keep(subscription, notification_id, sequence, record, body, step, self._situation.open)

    def _write_vim(
        self, subscription: Subscription, alarm: Alarm, record: AlarmedFault, outlooks: Outlooks, step: Step
    ) -> None:
        sequence = self._situation.next_sequence(subscription.subscription_id)
        describer = self._situation.describer(subscription.project, outlooks)
        notification_id, body = write_vim(
            subscription, alarm, record, describer, sequence=sequence, now=step.now
        )
        _keep(subscription, notification_id, sequence, record, body, step, self._situation.open)


def _keep(
    subscription: Subscription,
    notification_id: str,
    sequence: int,
    record: AlarmedFault,
    body: bytes,
    step: Step,
    opened: dict[str, tuple[str, int]],
) -> None:
    step.change.notifications.append(
        StoredNotification(
            notification_id=notification_id,
            subscription_id=subscription.subscription_id,
            sequence=sequence,
            fault_key=record.fault.fault_key,
            created=step.now,
            body=body,
        )
    )
    if subscription.acknowledge is Acknowledge.EXPLICIT:
        waits = (subscription.subscription_id, sequence)
        opened[notification_id] = waits
        step.change.memos.append(Memo(kind=OPEN, key=notification_id, record=msgspec.msgpack.encode(waits)))


def _nobody_waits(resource_id: str | None) -> Isolation:
    return Isolation.NOT_REQUIRED
