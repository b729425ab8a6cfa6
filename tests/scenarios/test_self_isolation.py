"""Silence may be our own: one fault of the monitor instead of many of hosts [I-13]."""

import re
from typing import Any

import pytest

from doctor.flows.alarm import AlarmAction
from doctor.inspector.catalogue import default_catalogue, default_policy_text
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.inspector.vantage import MONITOR_ISOLATED
from doctor.ports.store import StoredPolicy
from doctor.testing.scenario import Scenario, host_down, up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS
from tests.scenarios.pinging import CANARIES, Network, racks

ALL = tuple(f"compute-{number}" for number in range(1, 7))
RED = (1, 3, 5)


def shipped(**instead: str) -> str:
    """Return the policy that ships, with some of its lines written otherwise."""
    text = default_policy_text()
    for name, said in instead.items():
        text = re.sub(f"^{name}: .*$", f"{name}: {said}", text, flags=re.MULTILINE)
    return text


CALM = shipped(storm="off")  # two dead hosts behind one switch are two dead hosts
OFF = shipped(storm="off", self_isolation="off")


def set_up(
    *, canaries: tuple[str, ...] = CANARIES, hosts: dict[str, Any] | None = None, **more: Any
) -> tuple[Scenario, Network]:
    """Return a story in which everything can be seen from second 1 on."""
    story = Scenario(more.pop("resources", racks()), **{"policy": CALM, **more})
    network = Network(story, canaries=list(canaries), hosts=hosts or {})
    story.at(0.0).subscribe("noc", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm-red", project="red")
    network.watch(0.5)
    return story, network


def told(story: Scenario, name: str) -> list[tuple[int, str, frozenset[str]]]:
    return [(round(one.at), str(one.kind), one.says) for one in story.heard(name)]


BLIND = frozenset({"ping is normal"})


def says_that(number: int, *, state: str = "down") -> tuple[str, str]:
    return f"compute-{number} is {state}", f"vm-{number} is {'error' if state == 'down' else 'normal'}"


# --- with canaries ---


@pytest.mark.requirement("C14")
@pytest.mark.parametrize("policy", [CALM, shipped()], ids=["no-storms", "as-it-ships"])
def test_a_cable_cut_at_doctor_is_one_fault_of_the_monitor_and_none_of_a_host(policy: str) -> None:
    story, network = set_up(policy=policy)
    network.cut(2.0, *ALL, *CANARIES)
    network.mend(16.0, *ALL, *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.want("vnfm-red").hears_nothing()
    story.play(until=24.0)
    (info,) = story.heard("noc")[0].message["physical_resource_info"]
    (fault,) = info["faults"]
    assert (fault["fault_type"], fault["perceived_severity"]) == (MONITOR_ISOLATED, "critical")
    assert fault["fault_details"] == {
        "silent_hosts": 6,
        "seen_hosts": 0,
        "silent_canaries": list(CANARIES),
    }


def test_what_is_still_dead_when_the_canaries_are_back_is_told_then() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    network.mend(16.0, *ALL[:4], *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.want("noc").between(18.0, 18.6).gets(*says_that(5))
    story.want("noc").between(18.0, 18.6).gets(*says_that(6))
    story.want("vnfm-red").between(18.0, 18.6).gets("vm-5 is error")
    story.play(until=24.0)


@pytest.mark.requirement("B5")
@pytest.mark.parametrize("number", [1, 2, 6])
def test_one_dead_host_is_told_without_any_waiting(number: int) -> None:
    """The others prove that we see; what it costs is nothing."""
    story, network = set_up()
    network.cut(2.0, f"compute-{number}")
    story.want("noc").between(2.2, 2.35).gets(*says_that(number))
    if number in RED:
        story.want("vnfm-red").between(2.2, 2.35).gets(f"vm-{number} is error")
    story.play(until=9.0)


def test_whoever_sees_a_canary_sees_and_a_dead_data_centre_is_told_as_that() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL)
    for number in range(1, 7):
        story.want("noc").between(2.2, 2.4).gets(*says_that(number))
        if number in RED:
            story.want("vnfm-red").between(2.2, 2.4).gets(f"vm-{number} is error")
    story.run(until=9.0)
    heard = [one.says for one in story.heard("noc")]
    assert set(heard) == {frozenset(says_that(number)) for number in range(1, 7)}
    assert {round(one.at, 1) for one in story.heard("noc")} <= {2.2, 2.3, 2.4}


def test_canaries_that_are_gone_alone_say_nothing() -> None:
    """It is their network then; and a host that dies after that is told at once, since the others answer."""
    story, network = set_up()
    network.cut(2.0, *CANARIES)
    network.cut(9.0, "compute-1")
    story.want("noc").between(9.2, 9.4).gets(*says_that(1))
    story.want("vnfm-red").between(9.2, 9.4).gets("vm-1 is error")
    story.play(until=16.0)


def test_canaries_that_were_silent_long_before_are_no_witnesses() -> None:
    """Without them it takes more than a small site to doubt oneself."""
    story, network = set_up(resources=racks(hosts=2, behind=False))
    network.cut(2.0, *CANARIES)
    network.cut(16.0, "compute-1", "compute-2")
    story.run(until=20.0)
    assert {one.says for one in story.heard("noc")} == {frozenset(says_that(n)) for n in (1, 2)}
    assert all(one.at < 17.2 for one in story.heard("noc"))


def test_a_blink_of_the_network_is_told_to_nobody() -> None:
    """Too short for a canary to be missed, long enough for hosts to be: they have answered before it is clear."""
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    network.mend(2.33, *ALL, *CANARIES)
    story.want("noc").hears_nothing()
    story.want("vnfm-red").hears_nothing()
    story.play(until=16.0)


def test_a_single_host_is_doubted_if_a_canary_went_with_it_and_only_then() -> None:
    story, network = set_up(resources=racks(hosts=1, behind=False))
    network.cut(2.0, "compute-1", *CANARIES)
    network.mend(6.0, *CANARIES)
    network.mend(11.0, "compute-1")
    network.cut(14.0, "compute-1")
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(8.0, 8.6).gets_clear("ping is normal")
    for begin, end in ((8.0, 8.6), (14.2, 14.4)):
        story.want("noc").between(begin, end).gets(*says_that(1))
        story.want("vnfm-red").between(begin, end).gets("vm-1 is error")
    story.want("noc").between(11.0, 11.5).gets_clear(*says_that(1, state="normal"))
    story.want("vnfm-red").between(11.0, 11.5).gets_clear("vm-1 is normal")
    story.play(until=22.0)


# --- what others say ---


def test_what_others_report_of_a_host_stands_while_we_are_cut_off() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    story.at(5.0).push(host_down("compute-3", source="ipmi"))
    network.mend(16.0, *ALL, *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(5.0, 5.1).gets(*says_that(3))
    story.want("vnfm-red").between(5.0, 5.1).gets("vm-3 is error")
    story.run(until=24.0)
    assert told(story, "vnfm-red")[0] == (5, "fault", frozenset({"vm-3 is error"}))
    assert [says for _, _, says in told(story, "noc")][:2] == [BLIND, frozenset(says_that(3))]


def test_what_was_dead_before_stays_told() -> None:
    """And ends when it answers, as ever."""
    story, network = set_up()
    network.cut(2.0, "compute-1")
    network.cut(9.0, *ALL, *CANARIES)
    network.mend(16.0, *ALL, *CANARIES)
    story.run(until=22.0)
    assert told(story, "vnfm-red") == [
        (2, "fault", frozenset({"vm-1 is error"})),
        (16, "fault_cleared", frozenset({"vm-1 is normal"})),
    ]


# --- without canaries ---


def test_without_canaries_most_hosts_of_unrelated_racks_say_it() -> None:
    story, network = set_up(canaries=())
    network.cut(2.0, *ALL[:5])
    network.mend(16.0, *ALL[:4])
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.want("noc").between(18.0, 18.6).gets(*says_that(5))
    story.want("vnfm-red").between(18.0, 18.6).gets("vm-5 is error")
    story.play(until=24.0)


@pytest.mark.requirement("B5")
def test_without_canaries_a_rack_that_dies_is_that_rack() -> None:
    story, network = set_up(canaries=())
    network.cut(2.0, "compute-1", "compute-2")
    story.run(until=9.0)
    assert {one.says for one in story.heard("noc")} == {frozenset(says_that(n)) for n in (1, 2)}
    assert all(one.at < 2.4 for one in story.heard("noc"))


def test_without_canaries_two_racks_of_three_are_doubted_and_then_us() -> None:
    """[C14] Two thirds of hosts and of racks at once: it is likelier that we do not see them."""
    story, network = set_up(canaries=())
    network.cut(2.0, *ALL[:4])
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.play(until=9.0)


def test_without_canaries_a_small_site_is_believed_at_once() -> None:
    story, network = set_up(canaries=(), resources=racks(hosts=2, behind=False))
    network.cut(2.0, "compute-1", "compute-2")
    story.run(until=9.0)
    assert {one.says for one in story.heard("noc")} == {frozenset(says_that(n)) for n in (1, 2)}
    assert all(one.at < 2.4 for one in story.heard("noc"))


# --- people, time, restarts ---


def test_whoever_knows_better_ends_the_fault_and_is_believed_until_we_see_again() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    story.at(5.0).act(AlarmAction.CLEAR, "ping")
    network.mend(16.0, *ALL, *CANARIES)
    network.cut(22.0, *ALL, *CANARIES)
    story.run(until=24.0)
    assert [at for at, _, says in told(story, "noc") if says == BLIND] == [3, 5, 23]
    red = [(at, kind) for at, kind, _ in told(story, "vnfm-red")]
    assert red == [(5, "fault")] * 3 + [(16, "fault_cleared")] * 3


def test_doctor_dies_while_it_is_cut_off_and_still_tells_only_what_is_dead() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    story.at(6.0).crash()
    story.at(9.0).start()
    network.watch(9.5)
    network.mend(16.0, *ALL[:5], *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.want("noc").between(18.0, 18.6).gets(*says_that(6))
    story.play(until=24.0)


def test_connections_return_while_doctor_is_away() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    story.at(6.0).crash()
    network.mend(7.0, *ALL, *CANARIES)
    story.at(9.0).start()
    network.watch(9.5)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(11.0, 13.0).gets_clear("ping is normal")
    story.play(until=16.0)


def test_a_monitor_that_is_there_no_more_is_not_isolated_for_ever() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    story.at(6.0).crash()
    story.at(9.0).start()
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(69.0, 69.1).gets_clear("ping is normal")
    story.play(until=72.0)


def test_doctor_that_starts_without_a_network_says_so_and_nothing_else() -> None:
    story = Scenario(racks())
    network = Network(story, canaries=list(CANARIES))
    story.at(0.0).subscribe("noc", project=None, asked=FAULTS)
    network.cut(0.0, *ALL, *CANARIES)
    network.watch(0.5)
    network.mend(9.0, *ALL, *CANARIES)
    story.want("noc").between(1.5, 3.0).gets("ping is normal")
    story.want("noc").between(11.0, 11.6).gets_clear("ping is normal")
    story.play(until=16.0)


def test_a_network_that_comes_and_goes_ends_nothing_too_soon() -> None:
    """It must be there for two seconds before what is silent is believed."""
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)
    network.mend(9.0, *ALL, *CANARIES)
    network.cut(10.5, *ALL, *CANARIES)
    network.mend(16.0, *ALL, *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.play(until=22.0)


@pytest.mark.parametrize("second", [2.9, 17.5], ids=["when-it-begins", "when-it-ends"])
def test_a_full_disk_loses_nothing(second: float) -> None:
    store = FallibleStore()
    story, network = set_up(store=store)
    network.cut(2.0, *ALL, *CANARIES)
    story.at(second).do(lambda: setattr(store, "breaks", 1))
    network.mend(16.0, *ALL[:5], *CANARIES)
    story.run(until=22.0)
    assert [one[1:] for one in told(story, "noc")] == [
        ("fault", BLIND),
        ("fault_cleared", BLIND),
        ("fault", frozenset(says_that(6))),
    ]


# --- the policy ---


def test_by_a_policy_without_it_everything_is_believed() -> None:
    story, network = set_up(policy=OFF)
    network.cut(2.0, *ALL, *CANARIES)
    story.run(until=9.0)
    assert {one.says for one in story.heard("noc")} == {frozenset(says_that(n)) for n in range(1, 7)}


def test_another_policy_lets_go_of_what_was_held() -> None:
    story, network = set_up()
    network.cut(2.0, *ALL, *CANARIES)

    def apply() -> None:
        selector = Selector(parse_policy(OFF, default_catalogue()).policy)
        stored = StoredPolicy(version=1, applied=story.clock.now(), user="root", text=OFF)
        story.doctor.situation.judge_by(selector, stored)

    story.at(9.0).do(apply)
    story.run(until=16.0)
    noc = told(story, "noc")
    assert noc[0] == (3, "fault", BLIND)
    assert (9, "fault_cleared", BLIND) in noc
    assert {says for at, kind, says in noc if (at, kind) == (9, "fault")} == {
        frozenset(says_that(n)) for n in range(1, 7)
    }


# --- who is expected to speak ---

HEARD = (
    CALM
    + """
absence:
  - {name: beat, expect: {type: compute.heartbeat}, every: PT4S, same: resource, raise: compute.host.down}
"""
)


def beating(*silent: tuple[float, float]) -> tuple[Scenario, Network]:
    """Return a story in which an agent on compute-6, which nobody pings, speaks every second but in some spans."""
    story, network = set_up(policy=HEARD, hosts={"compute-6": {"enabled": False}})
    for second in range(1, 60):
        if not any(since <= second < until for since, until in silent):
            story.at(second + 0.5).push(up("compute.heartbeat", "compute-6", seen=second + 0.5))
    return story, network


@pytest.mark.requirement("C12")
def test_nobody_is_missed_while_doctor_is_cut_off() -> None:
    """He has his whole time once Doctor sees again."""
    story, network = beating((2.0, 21.0))
    network.cut(2.0, *ALL, *CANARIES)
    network.mend(16.0, *ALL, *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.play(until=24.0)


def test_who_is_silent_when_doctor_sees_again_is_missed_then() -> None:
    story, network = beating((2.0, 60.0))
    network.cut(2.0, *ALL, *CANARIES)
    network.mend(16.0, *ALL, *CANARIES)
    story.want("noc").between(2.3, 3.3).gets("ping is normal")
    story.want("noc").between(18.0, 18.6).gets_clear("ping is normal")
    story.want("noc").between(22.0, 22.6).gets(*says_that(6))
    story.play(until=26.0)


def test_who_is_silent_while_doctor_sees_is_missed_at_once() -> None:
    """Also when some of what it looks at is gone."""
    story, network = beating((12.0, 60.0))
    network.cut(2.0, *CANARIES)
    story.want("noc").between(15.4, 15.6).gets(*says_that(6))
    story.play(until=22.0)
