"""What each subscription is told of what happened to faults, and what is kept from it for now.

Nothing waits here. What is told, and what is to be remembered of what is not, goes into the draft of the step that
made it so.
"""

from collections.abc import Collection
from functools import partial

import msgspec

from doctor.flows.hush import Hush
from doctor.flows.situation import RESTRAINT_MEMO, Situation
from doctor.flows.step import Draft
from doctor.flows.telling import tell
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.history import Standing
from doctor.model.notification import NotificationType
from doctor.model.resource_map import Owners
from doctor.model.subscription import Subscription
from doctor.notifier import restraint as patience
from doctor.notifier.hearing import Heard, side_of
from doctor.notifier.matching import Telling, tellings
from doctor.notifier.message import Outlooks, write, write_vim
from doctor.notifier.restraint import Look, News, Restraint
from doctor.ports.store import Memo

Others = tuple[tuple[AlarmedFault, Alarm], ...]


class Notices:
    """Adds notifications to a draft."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._hush = Hush(situation)

    def of(self, transition: Transition, outlooks: Outlooks, draft: Draft) -> None:
        """Tell of a transition, which the book has taken over already, as far as no silence keeps it from anybody."""
        heard = self._hush.heard(transition, draft)
        self._tell_all(heard, transition.record, outlooks, draft, self._situation.notes.shelved)

    def of_silences(self, draft: Draft) -> None:
        """Tell what silences have withheld and do not any more."""
        for record, news, occasion in self._hush.overdue(draft):
            self._tell_all(news, record, {}, draft, occasion=occasion)
        self.of_isolation(draft)

    def _tell_all(
        self,
        heard: Heard,
        record: AlarmedFault,
        outlooks: Outlooks,
        draft: Draft,
        shelved: Collection[str] = (),
        *,
        occasion: str = "",
    ) -> None:
        situation = self._situation
        patient: dict[str, tuple[Subscription, News]] = {}
        for telling in tellings(
            heard.owners, situation.subscriptions, shelved, administrator=heard.administrator
        ):
            subscription = telling.subscription
            if telling.kind is NotificationType.VIM:
                describer = situation.describer(subscription.project, outlooks)
                notice = partial(
                    write_vim,
                    subscription,
                    telling.alarms[0],
                    record,
                    describer,
                    now=draft.now,
                    occasion=occasion,
                )
                tell(situation, subscription, notice, draft, fault_key=record.fault.fault_key)
            elif subscription.is_patient:
                news = patient.setdefault(subscription.subscription_id, (subscription, {}))[1]
                news[telling.kind] = telling.alarms
            else:
                self._tell(telling, record, outlooks, draft, occasion=occasion)
        for subscription, news in patient.values():
            self._tell_patient(subscription, news, record, outlooks, draft, occasion=occasion)

    def of_unshelved(
        self, record: AlarmedFault, alarm: Alarm, known: Standing, occasion: str, draft: Draft
    ) -> None:
        """Tell the owner what became of an alarm while it was shelved, unless a silence says when he hears of it."""
        if self._hush.owe(record, alarm, known, draft):
            return
        for telling in tellings(Transition(record=record, changed=(alarm,)), self._situation.subscriptions):
            subscription = telling.subscription
            if subscription.project != alarm.project or telling.kind is NotificationType.VIM:
                continue
            if subscription.is_patient:
                news: News = {telling.kind: telling.alarms}
                self._tell_patient(subscription, news, record, {}, draft, occasion=occasion)
            else:
                self._tell(telling, record, {}, draft, occasion=occasion)

    def of_isolation(self, draft: Draft) -> None:
        """Tell those who waited for a host what they need wait for no longer."""
        for subscription_id in list(self._situation.restraints):
            subscription = self._situation.subscriptions.get(subscription_id)
            if subscription is not None:
                before = self._restraint(subscription)
                self._release(subscription, before, before, draft)

    def regroup(
        self,
        subscription: Subscription,
        draft: Draft,
        *,
        former: Subscription | None = None,
        formerly: Owners | None = None,
    ) -> None:
        """Count anew what a subscription is not told yet, as it or the map is another one; tell nothing."""
        before, map_before = self._restraint(subscription), formerly or self._situation.resources
        after = patience.regrouped(subscription, before, former, map_before, self._look(subscription, draft))
        self._remember(subscription, before, after, draft)

    def settle(self, subscription: Subscription, draft: Draft) -> None:
        """Tell what is not to be held back by the subscription and the map as they are."""
        before = self._restraint(subscription)
        after = patience.recounted(subscription, before, self._look(subscription, draft))
        self._release(subscription, before, after, draft)

    def _release(
        self, subscription: Subscription, before: Restraint, counted: Restraint, draft: Draft
    ) -> None:
        after, ready = patience.release(subscription, counted, self._look(subscription, draft))
        self._remember(subscription, before, after, draft)
        for record, alarms in ready:
            telling = Telling(subscription, NotificationType.FAULT, alarms)
            sequence = self._situation.last_sequence(subscription.subscription_id)
            self._tell(telling, record, {}, draft, occasion=f"released after {sequence}")

    def _tell_patient(
        self,
        subscription: Subscription,
        news: News,
        record: AlarmedFault,
        outlooks: Outlooks,
        draft: Draft,
        *,
        occasion: str = "",
    ) -> None:
        before = self._restraint(subscription)
        after, told = patience.restrain(subscription, before, news, self._look(subscription, draft))
        self._remember(subscription, before, after, draft)
        for one in told:
            telling = Telling(subscription, one.kind, one.alarms)
            self._tell(telling, record, outlooks, draft, one.others, occasion=occasion)

    def _restraint(self, subscription: Subscription) -> Restraint:
        return self._situation.restraints.get(subscription.subscription_id, Restraint())

    def _remember(
        self, subscription: Subscription, before: Restraint, after: Restraint, draft: Draft
    ) -> None:
        if after == before:
            return
        key = subscription.subscription_id
        if after.is_empty:
            self._situation.restraints.pop(key, None)
        else:
            self._situation.restraints[key] = after
        record = None if after.is_empty else msgspec.msgpack.encode(after)
        draft.change.memos.append(Memo(kind=RESTRAINT_MEMO, key=key, record=record))

    def _look(self, subscription: Subscription, draft: Draft) -> Look:
        situation = self._situation
        side = side_of(subscription.project)
        return Look(
            situation.resources,
            situation.book,
            situation.describer(None).isolation_of,
            lambda record, alarm: self._hush.keeps(record, alarm, side, draft),
            lambda record, alarm: self._hush.is_unheard(record, alarm, side),
            draft.now,
        )

    def _tell(
        self,
        telling: Telling,
        record: AlarmedFault,
        outlooks: Outlooks,
        draft: Draft,
        others: Others = (),
        *,
        occasion: str = "",
    ) -> None:
        subscription = telling.subscription
        notice = partial(
            write,
            subscription,
            telling.kind,
            telling.alarms,
            record,
            self._situation.describer(subscription.project, outlooks),
            now=draft.now,
            others=others,
            occasion=occasion,
        )
        tell(self._situation, subscription, notice, draft, fault_key=record.fault.fault_key)
