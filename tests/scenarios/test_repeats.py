"""What is said more than once is told once."""

from typing import Any

import pytest

from doctor.drivers.stores.memory import MemoryStore
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.nfvi import small_nfvi


class CountingStore(MemoryStore):
    """Adds up how often faults were reported again."""

    @property
    def repeats(self) -> int:
        return sum(self._repeats.values())


def story_of_red(store: MemoryStore | None = None) -> Scenario:
    """Red hears of the end of vm-1 at 1.0, and of nothing else."""
    story = Scenario(small_nfvi(), store=store)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    return story


def test_a_new_time_on_an_open_fault_is_counted_and_told_to_nobody() -> None:
    """[design 5] Each is an event of its own, and none is news."""
    store = CountingStore()
    story = story_of_red(store)
    for second in (1.0, 2.0, 3.0, 4.0):
        story.at(second).push(host_down("compute-1"))
    story.play()
    assert store.repeats == 3


def test_an_exact_duplicate_is_known_and_does_nothing() -> None:
    """[design 5] Same source, monitor_event_id, type, resource, status and time: answered ``duplicate``."""
    store = CountingStore()
    story = story_of_red(store)
    said: dict[str, Any] = {"monitor_event_id": "e-1", "source": "zabbix", "seen": 0.9}
    story.at(1.0).push(host_down("compute-1", **said))
    story.at(2.0).push(host_down("compute-1", **said)).is_duplicate()
    story.at(3.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(3.0, 4.0).gets_clear("vm-1 is normal")
    story.at(5.0).push(host_down("compute-1", **said)).is_duplicate()
    story.play()
    assert store.repeats == 0


def test_a_duplicate_within_one_request_is_known() -> None:
    """[design 5] Here: three times the same, one notification."""
    story = story_of_red()
    story.at(1.0).push(*[host_down("compute-1", seen=0.9)] * 3).may_be_anything()
    story.play()
    (answer,) = story.answers
    assert answer.news == [True, False, False]


@pytest.mark.requirement("A8", "E30")
def test_two_monitors_that_report_the_same_make_one_alarm() -> None:
    """[D 3.3.2] The second is a repeat; the end of one monitor's report is the end of the fault."""
    store = CountingStore()
    story = story_of_red(store)
    story.at(1.0).push(host_down("compute-1", source="ping", seen=0.9))
    story.at(1.1).push(host_down("compute-1", source="zabbix", seen=0.9))
    story.at(2.0).push(host_up("compute-1", source="zabbix"))
    story.want("vnfm-red").between(2.0, 3.0).gets_clear("vm-1 is normal")
    story.at(2.5).push(host_up("compute-1", source="ping"))
    story.play()
    assert store.repeats == 1


def test_every_name_of_a_host_is_the_same_host() -> None:
    """[design 5] Hosts match by id, alias, then short name."""
    story = story_of_red()
    story.at(1.0).push(host_down("compute-1"))
    story.at(1.1).push(host_down("compute-1.example.org"))
    story.at(2.0).push(host_up("compute-1.example.org"))
    story.want("vnfm-red").between(2.0, 3.0).gets_clear("vm-1 is normal")
    story.play()


def test_a_duplicate_is_known_after_a_restart() -> None:
    """[I-1, I-3] What was answered once is answered the same for ever."""
    story = story_of_red()
    story.at(1.0).push(host_down("compute-1", seen=0.9))
    story.at(2.0).crash()
    story.at(3.0).start()
    story.at(4.0).push(host_down("compute-1", seen=0.9)).is_duplicate()
    story.at(5.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(5.0, 6.0).gets_clear("vm-1 is normal")
    story.play()
