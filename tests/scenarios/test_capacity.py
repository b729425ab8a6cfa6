"""Who is told what the pool can still take [D 3.3.4]."""

import pytest

from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import EventKind, SubscribeFilter
from doctor.testing.scenario import Scenario, down, host_down, host_up, up
from tests.scenarios.nfvi import FAULTS

CAPACITY = SubscribeFilter(event=frozenset({EventKind.CAPACITY}))


def nfvi(vcpus: int = 8) -> ResourceMap:
    """Two zones, three hosts."""
    return ResourceMap(
        [
            PhysicalResource(id="c1", zone_id="az1", metadata={"vcpus": vcpus, "memory_mb": 100}),
            PhysicalResource(id="c2", zone_id="az1", metadata={"vcpus": 4}),
            PhysicalResource(id="c3", zone_id="az2", metadata={"vcpus": 2}),
        ],
        [VirtualResource(id="vm-1", host="c1", owner="red", vcpus=3, memory_mb=10)],
    )


@pytest.mark.requirement("B16", "D2", "E24")
def test_a_host_that_goes_and_comes_back_changes_its_zone() -> None:
    """The zone is told with the fault that changed it, right behind the fault itself; other zones are not."""
    story = Scenario(nfvi())
    story.at(0.0).subscribe("operator", project=None)
    story.at(1.0).push(host_down("c1"))
    story.want("operator").between(1.0, 2.0).gets("c1 is down", "vm-1 is error")
    story.want("operator").between(1.0, 2.0).gets_capacity("az1 has 1 of 2 hosts, 4 of 12 vcpus")
    story.at(5.0).push(host_up("c1"))
    story.want("operator").between(5.0, 6.0).gets_clear("c1 is normal", "vm-1 is normal")
    story.want("operator").between(5.0, 6.0).gets_capacity("az1 has 2 of 2 hosts, 9 of 12 vcpus")
    story.play()
    fault, capacity, _, _ = story.heard("operator")
    root = fault.message["physical_resource_info"][0]["faults"][0]["fault_id"]
    assert [zone["changed_by"] for zone in capacity.message["capacity"]] == [root]
    assert capacity.message["capacity"][0]["memory_mb"] == {"total": 100, "available": 0}


@pytest.mark.requirement("B16")
def test_what_leaves_the_host_working_changes_nothing() -> None:
    story = Scenario(nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=CAPACITY)
    story.at(1.0).push(down("compute.power.degraded", "c1"))
    story.at(2.0).push(up("compute.power.degraded", "c1"))
    story.want("operator").hears_nothing()
    story.play()


def test_a_second_fault_on_a_dead_host_changes_nothing_and_the_last_to_end_counts() -> None:
    story = Scenario(nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=CAPACITY)
    story.at(1.0).push(host_down("c3"))
    story.want("operator").between(1.0, 2.0).gets_capacity("az2 has 0 of 1 hosts, 0 of 2 vcpus")
    story.at(2.0).push(down("compute.power.failure", "c3"))
    story.at(3.0).push(host_up("c3"))
    story.at(4.0).push(up("compute.power.failure", "c3"))
    story.want("operator").between(4.0, 5.0).gets_capacity("az2 has 1 of 1 hosts, 2 of 2 vcpus")
    story.play()


@pytest.mark.requirement("B19", "F3")
def test_an_owner_is_told_if_it_asks_and_then_without_the_physical_side() -> None:
    story = Scenario(nfvi())
    story.at(0.0).subscribe("red-asks", project="red", asked=CAPACITY)
    story.at(0.0).subscribe("red", project="red")
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(1.0).push(host_down("c1"))
    story.want("red-asks").between(1.0, 2.0).gets_capacity("az1 has 4 of 12 vcpus")
    story.want("red").between(1.0, 2.0).gets("vm-1 is error")
    story.want("operator").between(1.0, 2.0).gets("c1 is down", "vm-1 is error")
    story.play()
    (told,) = story.heard("red-asks")
    assert [sorted(zone) for zone in told.message["capacity"]] == [["memory_mb", "vcpus", "zone_id"]]


@pytest.mark.requirement("B16", "E24")
def test_a_new_map_is_told_where_it_makes_a_difference() -> None:
    story = Scenario(nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=CAPACITY)
    story.at(1.0).load(nfvi())
    story.at(2.0).load(nfvi(vcpus=16))
    story.want("operator").between(2.0, 3.0).gets_capacity("az1 has 2 of 2 hosts, 17 of 20 vcpus")
    story.at(3.0).push(host_down("c2"))
    story.want("operator").between(3.0, 4.0).gets_capacity("az1 has 1 of 2 hosts, 13 of 20 vcpus")
    story.play()


def test_what_was_down_at_a_restart_is_counted_down() -> None:
    story = Scenario(nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=CAPACITY)
    story.at(1.0).push(host_down("c2"))
    story.want("operator").between(1.0, 2.0).gets_capacity("az1 has 1 of 2 hosts, 5 of 12 vcpus")
    story.at(3.0).crash()
    story.at(4.0).start()
    story.at(5.0).push(host_down("c1"))
    story.want("operator").between(5.0, 6.0).gets_capacity("az1 has 0 of 2 hosts, 0 of 12 vcpus")
    story.play()
