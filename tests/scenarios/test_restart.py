"""What a Doctor that dies leaves to the next one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.flows.delivery import IN_MEMORY
from doctor.model.notification import Failed
from doctor.testing.scenario import Scenario, host_down, host_up, without_damping
from tests.scenarios.nfvi import small_nfvi
from tests.unit.model.nfvis import long_lists

DEAD = Failed("connection refused")


def test_what_was_not_delivered_is_delivered_after_the_restart() -> None:
    """[I-4, I-7] At once, under the same ids and sequences, with the same bytes."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).always_answer("vnfm-red", DEAD)
    story.at(1.0).push(host_down("compute-1"))
    story.at(1.1).push(host_up("compute-1"))
    story.at(2.0).crash()
    story.at(2.5).always_answer("vnfm-red", None)
    story.at(3.0).start()
    story.want("vnfm-red").between(3.0, 3.0).gets("vm-1 is error")
    story.want("vnfm-red").between(3.0, 3.0).gets_clear("vm-1 is normal")
    story.play()
    first = [
        attempt.notification for attempt in story.attempts("vnfm-red") if attempt.notification.sequence == 1
    ]
    assert len(first) > 3
    assert len({one.body for one in first}) == 1


def test_what_was_delivered_is_not_repeated() -> None:
    """[I-3] Unless Doctor died before it could write that down."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    story.at(2.0).crash()
    story.at(3.0).start()
    story.play(until=100.0)


def test_a_long_backlog_is_delivered_whole() -> None:
    """[I-7] Page by page, in order, although nothing new comes in to remind anybody."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).always_answer("vnfm-red", DEAD)
    for number in range(3 * IN_MEMORY + 1):
        report = host_up if number % 2 else host_down
        story.at(1.0).push(report("compute-1", seen=number))
    story.at(2.0).crash()
    story.at(2.5).always_answer("vnfm-red", None)
    story.at(3.0).start()
    story.run()
    assert [heard.sequence for heard in story.heard("vnfm-red")] == list(range(1, 3 * IN_MEMORY + 2))
    assert {heard.at for heard in story.heard("vnfm-red")} == {3.0}


def test_who_was_in_the_middle_of_a_request_is_told_again() -> None:
    """[I-4] At least once: the consumer knows the repeat by its id."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).hold("vnfm-red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).crash()
    story.at(2.5).release("vnfm-red")
    story.at(3.0).start()
    story.want("vnfm-red").between(3.0, 3.0).gets("vm-1 is error")
    story.play()
    assert story.attempted_at("vnfm-red") == [1.0, 3.0]


def test_an_open_fault_is_remembered() -> None:
    """[I-8] Its repeat is a repeat, its end ends the alarm that was raised before."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    story.at(2.0).crash()
    story.at(3.0).start()
    story.at(4.0).push(host_down("compute-1"))
    story.at(5.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(5.0, 5.0).gets_clear("vm-1 is normal")
    story.play()
    ids = {
        heard.message["virtual_resource_info"][0]["faults"][0]["alarm_id"]
        for heard in story.heard("vnfm-red")
    }
    assert len(ids) == 1
    assert [heard.sequence for heard in story.heard("vnfm-red")] == [1, 2]


def test_an_owner_knows_its_hosts_by_the_same_names() -> None:
    """[design 3] ``host_ref`` outlives the process."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).crash()
    story.at(3.0).start()
    story.at(4.0).push(host_up("compute-1"))
    story.run()
    places = [heard.message["virtual_resource_info"][0]["location"] for heard in story.heard("vnfm-red")]
    assert places[0] == places[1]


STEPS = long_lists(
    st.tuples(
        st.sampled_from(["toggle", "toggle", "crash", "fail", "mend"]), st.sampled_from([0.01, 0.2, 3.0])
    ),
    30,
)


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_however_often_it_dies_nothing_is_lost(steps: list[tuple[str, float]]) -> None:
    """[I-1, I-4, I-5] All that was accepted is told in order, each message for the first time in its turn."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    second, toggles = 1.0, 0
    for what, gap in steps:
        second += gap
        match what:
            case "toggle":
                report = host_up if toggles % 2 else host_down
                story.at(second).push(report("compute-1", seen=second))
                toggles += 1
            case "crash":
                story.at(second).crash()
                story.at(second).start()
            case "fail":
                story.at(second).always_answer("vnfm-red", DEAD)
            case _:
                story.at(second).always_answer("vnfm-red", None)
    story.at(second).always_answer("vnfm-red", None)
    story.run(until=second + 1_000.0)
    sequences = [heard.sequence for heard in story.heard("vnfm-red")]
    assert sequences == list(range(1, toggles + 1))
