"""Symptoms hang under their root cause, whichever is known first, and come loose when the guess was wrong."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.inspector import correlation
from doctor.inspector.catalogue import default_policy_text
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import Scenario, down, host_down, host_up, switch_down, switch_up, up
from tests.unit.model.nfvis import long_lists, nfvis

INSTANCE = "compute.instance.down"
NIC = "compute.host.nic.error"


def rack() -> ResourceMap:
    """A switch, two hosts behind it, and two machines on each."""
    hosts = [PhysicalResource(id=f"compute-{n}", type="host") for n in (1, 2)]
    machines = [
        VirtualResource(id=f"{owner}-{n}", host=f"compute-{n}", owner=owner)
        for n in (1, 2)
        for owner in ("red", "blue")
    ]
    switch = PhysicalResource(id="tor", type="switch")
    return ResourceMap([switch, *hosts], machines, [Relation("tor", "connects", host.id) for host in hosts])


def faults(story: Scenario, name: str, resource: str) -> list[tuple[str, str, bool, int]]:
    """Return what was told of the faults of a resource: type, alarm state, is it a root cause, how many causes."""
    return [
        (fault["fault_type"], fault["alarm_state"], fault["is_root_cause"], len(fault["correlated_fault_id"]))
        for heard in story.heard(name)
        for info in _infos(heard.message)
        if info.get("virtual_resource_id", info.get("physical_resource_id")) == resource
        for fault in info["faults"]
    ]


def _infos(message: Any) -> list[Any]:
    return [*message.get("physical_resource_info", []), *message.get("virtual_resource_info", [])]


def test_an_instance_that_fails_with_its_host_is_a_symptom() -> None:
    """[D 3.3.3, 5.4] Told as a fault of its own, with the root cause as its owner knows it."""
    story = Scenario(rack())
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(down(INSTANCE, "red-1"))
    story.run()
    assert faults(story, "red", "red-1") == [
        ("host down", "raised", False, 0),
        ("instance down", "raised", False, 1),
    ]
    first, second = story.heard("red")
    (cause,) = second.message["virtual_resource_info"][0]["faults"][0]["correlated_fault_id"]
    assert cause == first.message["virtual_resource_info"][0]["faults"][0]["fault_id"]


def test_a_root_cause_that_comes_late_adopts_what_was_told_already() -> None:
    """[D 3.3.3] The symptom is told to have changed: it is no root cause any more."""
    story = Scenario(rack())
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(down(INSTANCE, "red-1"))
    story.at(2.0).push(host_down("compute-1"))
    story.run()
    assert faults(story, "red", "red-1") == [
        ("instance down", "raised", True, 0),
        ("host down", "raised", False, 0),
        ("instance down", "changed", False, 1),
    ]


def test_a_symptom_outlives_its_cause() -> None:
    """Nothing is lost when the guess was wrong: what is still broken is a root cause again."""
    story = Scenario(rack())
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(down(INSTANCE, "red-1"))
    story.at(3.0).push(host_up("compute-1"))
    story.at(4.0).push(up(INSTANCE, "red-1"))
    story.run()
    assert faults(story, "red", "red-1") == [
        ("host down", "raised", False, 0),
        ("instance down", "raised", False, 1),
        ("host down", "cleared", False, 0),
        ("instance down", "changed", True, 0),
        ("instance down", "cleared", True, 0),
    ]


@pytest.mark.requirement("C14")
def test_only_who_is_hit_by_the_cause_hears_of_it() -> None:
    """[D 3.3.4] And each owner knows it by an id of his own."""
    story = Scenario(rack())
    for name in ("red", "blue"):
        story.at(0.0).subscribe(name, project=name)
    story.at(1.0).push(down(INSTANCE, "red-1"), down(INSTANCE, "blue-1"), host_down("compute-1"))
    story.run()
    causes = {
        name: {
            cause
            for heard in story.heard(name)
            for info in heard.message["virtual_resource_info"]
            for fault in info["faults"]
            for cause in fault["correlated_fault_id"]
        }
        for name in ("red", "blue")
    }
    assert [len(ids) for ids in causes.values()] == [1, 1]
    assert causes["red"] != causes["blue"]


def test_a_chain_of_causes_leads_to_its_root() -> None:
    """[D 3.3.3] The instance fails, then its host, then the switch before it: one root cause in the end."""
    story = Scenario(rack())
    story.at(0.0).subscribe("operator", project=None)
    story.at(1.0).push(down(INSTANCE, "red-1"))
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(switch_down("tor"))
    links: dict[str, tuple[str | None, bool]] = {}

    def look() -> None:
        book = story.doctor.situation.book
        for record in book:
            root = book.root_cause(record.fault)
            own = record.alarms[record.fault.resource_id]
            links[record.fault.fault_type] = (root.fault.fault_type if root else None, own.is_root_cause)

    story.at(4.0).do(look)
    story.run()
    assert links == {
        "switch down": (None, True),
        "host down": ("switch down", False),
        "instance down": ("switch down", False),
    }


def test_a_degraded_way_explains_nothing() -> None:
    """A switch that is down beside another one has put nothing out of service."""
    resources = rack()
    redundant = ResourceMap(
        [*resources.physical.values(), PhysicalResource(id="tor-2", type="switch")],
        resources.virtual.values(),
        [*resources.relations, *(Relation("tor-2", "connects", f"compute-{n}") for n in (1, 2))],
    )
    story = Scenario(redundant)
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(switch_down("tor"))
    story.at(2.0).push(down(INSTANCE, "red-1"))
    story.run()
    assert ("instance down", "raised", True, 0) in faults(story, "red", "red-1")


def test_causes_survive_a_restart() -> None:
    """[I-7] What was a symptom before a crash is one after it."""
    story = Scenario(rack())
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(down(INSTANCE, "red-1"))
    story.at(3.0).crash()
    story.at(4.0).start()
    story.at(5.0).push(host_up("compute-1"))
    story.run()
    assert faults(story, "red", "red-1")[-1] == ("instance down", "changed", True, 0)


EVENTS = st.tuples(
    st.sampled_from([down, down, up]),
    st.sampled_from(["compute.host.down", "network.switch.down", INSTANCE, NIC, "compute.power.failure"]),
    st.integers(0, 40),
)


@settings(deadline=None, max_examples=60)
@given(nfvis(), long_lists(EVENTS, 14))
def test_causes_are_those_of_deciding_anew(resources: ResourceMap, events: list[Any]) -> None:
    """Deciding step by step comes to the same as asking every open fault for its cause again; none runs in a circle."""
    names = [*resources.physical, *resources.virtual]
    story = Scenario(resources)
    wrong: list[str] = []

    def compare() -> None:
        book = story.doctor.situation.book
        for record in book:
            keys = list(book.chain(record.fault))
            if len(keys) != len(set(keys)) or len(keys) > len(book):
                wrong.append(f"{record.fault.resource_id} is in a circle: {keys}")
            if record.fault.cause is not None:
                cause = book.fault(record.fault.cause)
                if cause is None or (
                    record.fault.resource_id not in cause.alarms
                    and record.fault.fault_key not in cause.fault.explains
                ):
                    wrong.append(
                        f"{record.fault.resource_id} has a cause that neither reaches nor explains it"
                    )
            elif correlation.cause_of(record.fault, book) is not None:
                wrong.append(f"{record.fault.resource_id} has a cause and does not know it")

    for second, (report, event_type, number) in enumerate(events, 1):
        story.at(float(second)).push(report(event_type, names[number % len(names)], seen=float(second)))
        story.at(second + 0.5).do(compare)
    story.run()
    assert wrong == []


def test_a_switch_that_returns_lets_go_of_what_it_explained() -> None:
    """[I-5] Hosts behind it that are still silent are root causes again."""
    story = Scenario(rack())
    story.at(0.0).subscribe("operator", project=None)
    story.at(1.0).push(switch_down("tor"))
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(switch_up("tor"))
    story.run()
    assert faults(story, "operator", "compute-1")[-1][:3] == ("host down", "changed", True)


@pytest.mark.requirement("B11")
def test_a_volume_that_is_lost_takes_the_machine_along_that_uses_it() -> None:
    """[D 3.3.3] From one virtual resource to another, by a rule that the operator adds."""
    rule = "  - {from: virtual storage, kind: attaches, state: error, to_state: error, severity: same}\n"
    policy = default_policy_text().replace("propagate:\n", "propagate:\n" + rule, 1)
    resources = ResourceMap(
        [PhysicalResource(id="compute-1")],
        [
            VirtualResource(id="volume", type="virtual storage", owner="red"),
            VirtualResource(id="user", host="compute-1", owner="red"),
            VirtualResource(id="neighbour", host="compute-1", owner="red"),
        ],
        [Relation("volume", "attaches", "user")],
    )
    story = Scenario(resources, policy=policy)
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(down("compute.instance.error", "volume"))
    story.at(2.0).push(up("compute.instance.error", "volume"))
    red = story.want("red")
    red.between(1.0, 1.5).gets("volume is error", "user is error")
    red.between(2.0, 2.5).gets_clear("volume is normal", "user is normal")
    story.play()
