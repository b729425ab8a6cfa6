"""What the measurements make of what they are told, and what they put on the stage."""

import pytest

from doctor.cli.bench import latency, storm
from doctor.cli.bench.rates import Asked, Rate, Rounds, Work
from doctor.cli.bench.stage import hosts_and_machines

DUE = {"fault 1": 1000, "fault_cleared 1": 2000}


@pytest.mark.parametrize(
    ("came", "took"),
    [
        pytest.param(
            [[1500, 0, "fault 1", 10, 1], [2700, 0, "fault_cleared 1", 10, 1]], [500, 700], id="all-came"
        ),
        pytest.param(
            [[1500, 0, "fault 1", 10, 1], [1600, 1, "fault 1", 10, 1]], [500, 600], id="two-consumers"
        ),
        pytest.param([[1500, 0, "fault 1", 10, 1], [1600, 0, "fault 1", 10, 1]], [500], id="came-twice"),
        pytest.param([[1500, 0, "fault 1", 9, 1]], [], id="a-machine-is-missing"),
        pytest.param([[1500, 0, "fault 9", 10, 1]], [], id="nobody-sent-it"),
    ],
)
def test_only_the_first_whole_notification_counts(came: list[list[object]], took: list[int]) -> None:
    assert latency.times(DUE, came, machines=10) == took


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_the_host_is_up_again_after_every_plan(quick: bool) -> None:
    for plan in latency.plans(quick=quick):
        assert plan.count // latency.EVERY % 2 == 0


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_every_owner_has_the_same_number_of_machines_in_a_storm(quick: bool) -> None:
    for scene in storm.scenes(quick=quick):
        owners = [str(number) for number in range(scene.owners)]
        document = hosts_and_machines(scene.hosts, scene.machines, owners, switch=scene.switch)
        hit = [one for one in document["virtual_resources"] if scene.switch or one["host"] == scene.root]
        each = {owner: sum(one["owner"] == owner for one in hit) for owner in owners}
        assert set(each.values()) == {scene.machines_each}
        assert len(document["relations"]) == (scene.hosts if scene.switch else 0)


def test_the_best_round_counts() -> None:
    rounds = Rounds([Rate(10, 10, 100, 20.0, 1.0, 9.0), Rate(10, 10, 80, 10.0, 2.0, 5.0)])
    assert rounds.best(Asked("rate", "events", "ev/s", lambda one: one.rate, "higher")) == 100
    assert rounds.best(Asked("core", "per core", "ev/s", lambda one: one.per_core, "higher")) == 100_000
    assert rounds.best(Asked("p99", "answer", "ms", lambda one: one.p99_ms)) == 5.0


def test_what_was_not_accepted_is_seen() -> None:
    rounds = Rounds([Rate(10, 10, 100, 20.0, 1.0, 9.0), Rate(10, 0, 80, 10.0, 2.0, 5.0)])
    assert rounds.taken == (20, 10)


def test_bulk_orders_say_how_many_events_go_together() -> None:
    assert Work("singles", warm_up=1, count=2, rounds=1).arguments(2) == {"count": 2}
    assert Work("bulks", warm_up=1, count=2, rounds=1, size=1000).arguments(2) == {"count": 2, "size": 1000}
