"""What the policy that ships makes of several faults together."""

import pytest

from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import Report, Scenario, down, host_down, host_up, up
from tests.scenarios.nfvi import FAULTS

NIC, DISK, CHASSIS = "compute.host.nic.error", "compute.disk.aging", "compute.chassis.degraded"
POWER = "compute.power.degraded"
INSTANCE = "compute.instance.down"


def racks() -> ResourceMap:
    """Two racks of ten hosts; four machines of red's on each host."""
    hosts = [f"{rack}-{n}" for rack in "ab" for n in range(1, 11)]
    return ResourceMap(
        [*(PhysicalResource(id=f"rack-{rack}", type="rack") for rack in "ab"), *map(_host, hosts)],
        [VirtualResource(id=f"{host}-vm-{n}", host=host, owner="red") for host in hosts for n in range(1, 5)],
        [Relation(f"rack-{host[0]}", "contains", host) for host in hosts],
    )


def _host(name: str) -> PhysicalResource:
    return PhysicalResource(id=name)


def story() -> Scenario:
    told = Scenario(racks())
    told.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    told.at(0.0).subscribe("red", project="red", asked=FAULTS)
    return told


def raised(told: Scenario, name: str) -> list[tuple[float, str, str, str]]:
    """Return second, fault type, severity and first resource of what somebody was told has begun."""
    found = []
    for heard in told.heard(name):
        infos = [
            *heard.message.get("physical_resource_info", ()),
            *heard.message.get("virtual_resource_info", ()),
        ]
        fault = infos[0]["faults"][0]
        if heard.kind == "fault":
            resource = infos[0].get("physical_resource_id") or infos[0]["virtual_resource_id"]
            found.append((round(heard.at, 3), fault["fault_type"], fault["perceived_severity"], resource))
    return found


def report(told: Scenario, *reports: Report) -> None:
    for second, one in enumerate(reports, 1):
        told.at(float(second)).push(one)


@pytest.mark.requirement("B8")
def test_more_than_two_lesser_faults_of_a_host_make_it_unavailable() -> None:
    """[D 3.3.2] The third within five minutes: the host is in error, and its owners are told that their machines are."""
    told = story()
    report(told, down(DISK, "a-1"), down(CHASSIS, "a-1"), down(POWER, "a-1"))
    told.run()
    assert raised(told, "operator")[-1] == (3.0, "several lesser faults", "critical", "a-1")
    (last,) = [heard for heard in told.heard("red") if heard.at == 3.0 and "a-1-vm-1 is error" in heard.says]
    assert len(last.says) == 4


def test_two_lesser_faults_or_three_of_several_hosts_do_not() -> None:
    told = story()
    report(
        told, down(DISK, "a-1"), down(CHASSIS, "a-1"), down(POWER, "a-2"), up(DISK, "a-1"), down(POWER, "a-1")
    )
    told.run()
    assert "several lesser faults" not in {fault for _, fault, *_ in raised(told, "operator")}


@pytest.mark.requirement("G36")
def test_a_suspicion_is_the_administrators() -> None:
    """[HA 5.3] Machines that work are told nothing, although the policy tells owners of warnings on their host."""
    told = story()
    report(told, *(down(INSTANCE, f"a-1-vm-{n}") for n in (1, 2, 3)))
    told.run()
    assert raised(told, "operator")[-1] == (3.0, "suspected host fault", "major", "a-1")
    assert {resource for *_, resource in raised(told, "red")} == {"a-1-vm-1", "a-1-vm-2", "a-1-vm-3"}


def test_a_storm_has_no_further_victims() -> None:
    """[I-11] Two hosts of a rack in a second are one fault of the rack; owners on the other hosts hear nothing of it."""
    told = story()
    report(told, host_down("a-1"), host_down("a-2"))
    told.run()
    assert raised(told, "operator")[-1] == (2.0, "failure of a domain", "critical", "rack-a")
    assert {resource[:4] for *_, resource in raised(told, "red")} == {"a-1-", "a-2-"}


@pytest.mark.requirement("G51", "G53")
def test_hosts_of_a_rack_that_fail_one_after_the_other_are_a_question_to_the_administrator() -> None:
    """[HA 6.1.2.3] Three in a quarter of an hour, at least two of them; nothing else happens by it."""
    told = story()
    for second, host in ((0.0, "a-1"), (300.0, "a-2"), (600.0, "a-1")):
        told.at(1.0 + second).push(host_down(host, seen=second))
        told.at(9.0 + second).push(host_up(host, seen=second + 1))
    told.run()
    assert raised(told, "operator")[-1] == (601.0, "escalation to a zone", "critical", "rack-a")
    assert {fault for _, fault, *_ in raised(told, "red")} == {"host down"}


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([(1.0, "a-1"), (100.0, "a-1"), (200.0, "a-1"), (300.0, "a-1")], id="one-host"),
        pytest.param([(1.0, "a-1"), (100.0, "a-2"), (200.0, "b-1")], id="two-racks"),
        pytest.param([(1.0, "a-1"), (500.0, "a-2"), (1000.0, "a-3")], id="far-apart"),
    ],
)
def test_nobody_is_asked_about_less(moments: list[tuple[float, str]]) -> None:
    told = story()
    for second, host in moments:
        told.at(second).push(host_down(host, seen=second))
        told.at(second + 20).push(host_up(host, seen=second + 20))
    told.run()
    assert {fault for _, fault, *_ in raised(told, "operator")} == {"host down"}
