"""Owners may wish for how soon a failure under their machines is found; the shortest wish for a machine counts."""

from datetime import UTC, datetime, timedelta

from doctor.model.resource import VirtualResource
from doctor.model.subscription import SubscribeFilter, Subscription
from doctor.notifier.matching import Subscriptions

NOW = datetime(2026, 3, 4, tzinfo=UTC)
RED, BLUE = VirtualResource(id="vm-1", owner="red"), VirtualResource(id="vm-2", owner="blue")


def subscription(
    name: str, project: str | None, seconds: float | None, **wanted: frozenset[str]
) -> Subscription:
    return Subscription(
        subscription_id=name,
        project=project,
        created=NOW,
        filter=SubscribeFilter(**wanted),  # type: ignore[arg-type]
        detection=None if seconds is None else timedelta(seconds=seconds),
    )


def test_the_shortest_wish_of_those_who_own_something_counts() -> None:
    known = Subscriptions()
    assert known.detection_wish([RED, BLUE]) is None
    known.put(subscription("a", "red", None))
    known.put(subscription("b", "red", 0.1))
    known.put(subscription("c", "blue", 0.05))
    known.put(subscription("d", "green", 0.01))
    assert known.detection_wish([RED, BLUE]) == timedelta(seconds=0.05)
    assert known.detection_wish([RED]) == timedelta(seconds=0.1)
    assert known.detection_wish([]) is None
    known.remove("b")
    assert known.detection_wish([RED]) is None


def test_a_wish_is_for_the_machines_that_it_names() -> None:
    known = Subscriptions([subscription("a", "red", 0.1, virtual_resource_id=frozenset({"vm-9"}))])
    assert known.detection_wish([RED]) is None
    known.put(subscription("b", "red", 0.2, virtual_resource_type=frozenset({"virtual network"})))
    assert known.detection_wish([RED]) is None
    known.put(subscription("c", "red", 0.3, virtual_resource_type=frozenset({"virtual machine"})))
    assert known.detection_wish([RED]) == timedelta(seconds=0.3)
