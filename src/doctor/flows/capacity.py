"""How a change of the capacity is told: with the change that made it, in one transaction."""

from collections.abc import Sequence
from functools import partial

from doctor.flows.situation import Situation
from doctor.flows.step import Draft
from doctor.flows.telling import tell
from doctor.model.capacity import ZoneCapacity
from doctor.notifier.capacity import write_capacity


def tell_capacity(situation: Situation, zones: Sequence[ZoneCapacity], draft: Draft) -> None:
    """Add to a draft what these zones have now, for all that want to know."""
    for subscription in situation.subscriptions.told_of_capacity() if zones else ():
        tell(situation, subscription, partial(write_capacity, subscription, zones, now=draft.now), draft)
