"""Tells every subscription all that is open, after state had to be restored [IFA 005, alarm list rebuilt]."""

import asyncio
from functools import partial

import structlog

from doctor.flows.delivery import DeliveryFlow
from doctor.flows.hush import Hush
from doctor.flows.situation import Situation
from doctor.flows.step import Draft
from doctor.flows.telling import tell
from doctor.kit.clock import Clock
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.subscription import EventKind, Subscription
from doctor.notifier.alarm_list import write_list
from doctor.notifier.hearing import side_of
from doctor.notifier.restraint import Restraint, is_kept_back

log = structlog.get_logger(__name__)


class AlarmListFlow:
    """Writes the lists, one subscription after the other, so that faults are told in between."""

    def __init__(self, situation: Situation, delivery: DeliveryFlow, clock: Clock) -> None:
        self._situation = situation
        self._delivery = delivery
        self._clock = clock
        self._hush = Hush(situation)

    async def rebuild(self, *, user: str) -> int:
        """Tell everybody who hears of faults; returns how many subscriptions that are.

        Each list is what is open at its place in the sequence of the subscription.

        Raises:
            StoreError: it was not kept; some subscriptions may have their list already.
        """
        situation = self._situation
        await situation.ready()
        told = 0
        for subscription_id in [one.subscription_id for one in situation.subscriptions]:
            await asyncio.sleep(0)
            subscription = situation.subscriptions.get(subscription_id)
            if subscription is None or not subscription.filter.asks_for(
                EventKind.FAULT, subscription.project
            ):
                continue
            draft = Draft(self._clock.now())
            restraint = situation.restraints.get(subscription_id, Restraint())
            write = partial(
                write_list,
                subscription,
                situation.book,
                situation.describer(subscription.project),
                is_kept_back=partial(self._is_kept_back, subscription, restraint),
                now=draft.now,
            )
            tell(situation, subscription, write, draft)
            await situation.keep(draft.change)
            self._delivery.dispatch(draft.change.notifications)
            told += 1
        log.info("alarm_list.rebuilt", subscriptions=told, user=user)
        return told

    def _is_kept_back(
        self, subscription: Subscription, restraint: Restraint, record: AlarmedFault, alarm: Alarm
    ) -> bool:
        """Tell whether the subscription, or a silence, keeps an open alarm from who subscribed until later."""
        return is_kept_back(
            subscription, restraint, self._situation.resources, alarm
        ) or self._hush.is_unheard(record, alarm, side_of(subscription.project))
