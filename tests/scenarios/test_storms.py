"""Evidence runs upwards: what several failures have in common is suspected, and a storm is one fault of the domain."""

import pytest

from doctor.model.map_news import MapDelta
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import Scenario, down, host_down, host_up, switch_down, up

INSTANCE = "compute.instance.down"
SUSPECT = """
suspect:
  - {of: host, kind: hosts, at_least: 3, share: 0.5, within: PT30S, severity: major}
"""
STORM = """
storm: {hosts: 3, share: 0.3, within: PT10S, calm: PT60S}
"""
POLICY = f"""
version: 1
faults:
  - {{name: host-down, when: {{type: compute.host.down}}}}
  - {{name: switch-down, when: {{type: network.switch.down}}}}
  - {{name: instance-down, when: {{type: compute.instance.down}}}}
propagate:
  - {{from: host, kind: hosts, state: down, to_state: error}}
  - {{from: switch, kind: connects, state: down, when_all: true, to_state: error, severity: critical}}
  - {{from: host, kind: hosts, state: error, to_state: error}}
{SUSPECT}
{STORM}"""


def site() -> ResourceMap:
    """Two racks with a switch each and five hosts behind it, with four machines of two owners on each, on one feed."""
    racks = ("a", "b")
    hosts = [f"{rack}-{n}" for rack in racks for n in range(1, 6)]
    return ResourceMap(
        [
            PhysicalResource(id="feed", type="power"),
            *(PhysicalResource(id=f"tor-{rack}", type="switch") for rack in racks),
            *(PhysicalResource(id=host, type="host") for host in hosts),
        ],
        [
            VirtualResource(id=f"{host}-vm-{n}", host=host, owner="red" if n % 2 else "blue")
            for host in hosts
            for n in range(1, 5)
        ],
        [
            *(Relation(f"tor-{host[0]}", "connects", host) for host in hosts),
            *(Relation("feed", "powers", f"tor-{rack}") for rack in racks),
        ],
    )


def story(policy: str = POLICY) -> Scenario:
    """Begin a story with a site; the operator and an owner listen."""
    told = Scenario(site(), policy=policy)
    told.at(0.0).subscribe("operator", project=None)
    told.at(0.0).subscribe("red", project="red")
    return told


def faults(told: Scenario, name: str = "operator") -> list[tuple[float, str, str, str]]:
    """Return second, type of notification, faulty resource and fault type of what somebody was told."""
    found = []
    for heard in told.heard(name):
        if heard.message["notification_type"] == "capacity":
            continue
        infos = [
            *heard.message.get("physical_resource_info", []),
            *heard.message.get("virtual_resource_info", []),
        ]
        first = infos[0]
        resource = first.get("physical_resource_id") or first["virtual_resource_id"]
        found.append(
            (heard.at, heard.message["notification_type"], resource, first["faults"][0]["fault_type"])
        )
    return found


# --- latent faults ---


def test_several_failing_machines_point_at_their_host() -> None:
    """[D 3.3.3, HA 5.3] The third of four makes it; those before it hang under the suspicion from then on."""
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{second:.0f}"))
    told.run()
    assert faults(told)[3:] == [
        (3.0, "fault", "a-1", "suspected host fault"),
        (3.0, "fault_changed", "a-1-vm-1", "instance down"),
        (3.0, "fault_changed", "a-1-vm-2", "instance down"),
        (3.0, "fault_changed", "a-1-vm-3", "instance down"),
    ]


def test_a_suspicion_takes_nothing_down() -> None:
    """[HA 5.2] The host answers: machines that work are told nothing."""
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{second:.0f}"))
    told.run()
    assert {resource for _, kind, resource, _ in faults(told, "red") if kind == "fault"} == {
        "a-1-vm-1",
        "a-1-vm-3",
    }


def test_a_suspicion_is_over_when_too_few_are_left() -> None:
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{second:.0f}"))
    told.at(4.0).push(up(INSTANCE, "a-1-vm-2"))
    told.run()
    assert (4.0, "fault_cleared", "a-1", "suspected host fault") in faults(told)


@pytest.mark.parametrize("by_delta", [True, False], ids=["a-machine-moved", "another-map"])
def test_a_suspicion_is_over_when_the_map_does_not_bear_it_out_any_more(by_delta: bool) -> None:
    """[I-24] One of three failing machines was elsewhere: two are too few."""
    elsewhere = VirtualResource(id="a-1-vm-2", host="b-1", owner="blue")
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{second:.0f}"))
    if by_delta:
        told.at(4.0).change(MapDelta(virtual=(elsewhere,)))
    else:
        before = site()
        machines = [one for one in before.virtual.values() if one.id != elsewhere.id]
        told.at(4.0).load(ResourceMap(before.physical.values(), [*machines, elsewhere], before.relations))
    told.run()
    after = [one for one in faults(told) if one[0] == 4.0]
    assert (4.0, "fault_cleared", "a-1", "suspected host fault") in after
    assert not [one for one in after if one[1] == "fault_cleared" and one[3] == "instance down"]


def test_a_storm_is_over_when_the_map_does_not_bear_it_out_any_more() -> None:
    """[I-24] The hosts are not behind this switch; after the time of calm it is no storm."""
    told = story()
    for second in (1.0, 1.5, 2.0):
        told.at(second).push(host_down(f"a-{int(second * 2 - 1)}"))
    before = site()
    relations = [one for one in before.relations if one.dependent not in ("a-1", "a-2")]
    told.at(10.0).load(ResourceMap(before.physical.values(), before.virtual.values(), relations))
    told.run(until=100.0)
    assert (70.0, "fault_cleared", "tor-a", "failure of a domain") in faults(told)


def test_two_rules_that_suspect_the_same_end_it_once() -> None:
    """[I-5]"""
    again = SUSPECT.replace("suspect:\n", "").replace("{of", "{name: again, of")
    told = story(POLICY.replace(SUSPECT, SUSPECT.rstrip() + again))
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{second:.0f}"))
    told.at(4.0).push(up(INSTANCE, "a-1-vm-2"))
    told.run()
    assert [one for one in faults(told) if one[3] == "suspected host fault"] == [
        (3.0, "fault", "a-1", "suspected host fault"),
        (4.0, "fault_cleared", "a-1", "suspected host fault"),
    ]


def test_failures_that_are_far_apart_point_at_nothing() -> None:
    told = story()
    for second in (1.0, 2.0, 40.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{int(second) % 4 + 1}"))
    told.run()
    assert "suspected host fault" not in {fault for *_, fault in faults(told)}


def test_what_is_known_is_not_suspected() -> None:
    """The host is down: that its machines fail is no news of the host."""
    told = story()
    told.at(1.0).push(host_down("a-1"))
    for second in (2.0, 3.0, 4.0):
        told.at(second).push(down(INSTANCE, f"a-1-vm-{second - 1:.0f}"))
    told.run()
    assert "suspected host fault" not in {fault for *_, fault in faults(told)}


# --- storms ---


@pytest.mark.requirement("C14")
def test_many_hosts_of_a_domain_are_one_fault_of_it() -> None:
    """[I-11] The smallest domain that has them all in it; the root cause of each."""
    told = story()
    for second in (1.0, 1.5, 2.0):
        told.at(second).push(host_down(f"a-{int(second * 2 - 1)}"))
    told.run()
    assert (2.0, "fault", "tor-a", "failure of a domain") in faults(told)
    assert [one for one in faults(told) if one[1] == "fault_changed"] == [
        (2.0, "fault_changed", f"a-{n}", "host down") for n in (1, 2, 3)
    ]


def test_owners_are_told_at_once_and_nothing_later() -> None:
    """[I-11] Telling goes on in a storm; that it is one changes nothing for those who were told."""
    told = story()
    for second in (1.0, 2.0, 3.0, 4.0):
        told.at(second).push(host_down(f"a-{second:.0f}"))
    told.run()
    assert [(at, kind) for at, kind, *_ in faults(told, "red")] == [
        (1.0, "fault"),
        (2.0, "fault"),
        (3.0, "fault"),
        (4.0, "fault"),
    ]


def test_hosts_that_follow_join_the_storm() -> None:
    """[I-11] They are symptoms from the start."""
    told = story()
    for second in (1.0, 2.0, 3.0, 4.0):
        told.at(second).push(host_down(f"a-{second:.0f}"))
    roots: dict[str, str | None] = {}

    def look() -> None:
        book = told.doctor.situation.book
        for record in book:
            root = book.root_cause(record.fault)
            roots[record.fault.resource_id] = root.fault.resource_id if root else None

    told.at(5.0).do(look)
    told.run()
    assert roots == {"tor-a": None, "a-1": "tor-a", "a-2": "tor-a", "a-3": "tor-a", "a-4": "tor-a"}


def test_a_storm_over_two_racks_is_one_of_what_they_share() -> None:
    """[HA 6.1.2] Two hosts behind each switch are too few for either, and enough for the feed of both."""
    told = story()
    for second, host in ((1.0, "a-1"), (2.0, "b-1"), (3.0, "a-2")):
        told.at(second).push(host_down(host))
    told.run()
    assert {resource for _, kind, resource, fault in faults(told) if fault == "failure of a domain"} == {
        "feed"
    }


def test_a_storm_is_over_when_it_has_been_calm_for_long_enough() -> None:
    """[I-11] A minute after the last but two hosts are back."""
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(host_down(f"a-{second:.0f}"))
    told.at(10.0).push(host_up("a-1"))
    told.run(until=100.0)
    assert (70.0, "fault_cleared", "tor-a", "failure of a domain") in faults(told)


def test_hosts_that_fail_again_keep_the_storm_up() -> None:
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(host_down(f"a-{second:.0f}"))
    told.at(10.0).push(host_up("a-1"))
    told.at(40.0).push(host_down("a-1", seen=40.0))
    told.run(until=200.0)
    assert "fault_cleared" not in {
        kind for _, kind, _, fault in faults(told) if fault == "failure of a domain"
    }


def test_the_end_of_a_storm_survives_a_restart() -> None:
    """[I-7]"""
    told = story()
    for second in (1.0, 2.0, 3.0):
        told.at(second).push(host_down(f"a-{second:.0f}"))
    told.at(10.0).push(host_up("a-1"))
    told.at(20.0).crash()
    told.at(30.0).start()
    told.run(until=120.0)
    assert (90.0, "fault_cleared", "tor-a", "failure of a domain") in faults(told)


@pytest.mark.parametrize(
    ("rule", "resource", "fault_type", "symptom"),
    [
        pytest.param(SUSPECT, "a-1", "suspected host fault", "a-1-vm-1", id="suspect"),
        pytest.param(STORM, "tor-b", "failure of a domain", "b-1", id="storm"),
    ],
)
def test_what_no_rule_stands_behind_any_more_is_over(
    rule: str, resource: str, fault_type: str, symptom: str
) -> None:
    """[D 3.3.3, I-11] Only that, and at once; what hung under it is a root cause again."""
    told = story()
    for number in (1, 2, 3):
        told.at(float(number)).push(down(INSTANCE, f"a-1-vm-{number}"), host_down(f"b-{number}"))
    told.at(5.0).apply_policy(POLICY.replace(rule, ""))
    causes: list[set[str | None]] = []

    def look() -> None:
        causes.append({one.fault.cause for one in told.doctor.situation.book.rooted_in(symptom)})

    told.at(4.0).do(look)
    told.at(6.0).do(look)
    told.run(until=20.0)
    assert [one for one in faults(told) if one[1] == "fault_cleared"] == [
        (5.0, "fault_cleared", resource, fault_type)
    ]
    assert causes[0] != {None}
    assert causes[1] == {None}


def test_a_switch_that_is_known_to_be_down_is_no_storm() -> None:
    """[D 3.3.3] Its hosts are its symptoms."""
    told = story()
    told.at(1.0).push(switch_down("tor-a"))
    for second in (2.0, 3.0, 4.0):
        told.at(second).push(host_down(f"a-{second - 1:.0f}"))
    told.run()
    assert "failure of a domain" not in {fault for *_, fault in faults(told)}


def test_hosts_of_nothing_in_common_are_no_storm() -> None:
    told = Scenario(
        ResourceMap([PhysicalResource(id=f"lone-{n}", type="host") for n in range(5)]), policy=POLICY
    )
    told.at(0.0).subscribe("operator", project=None)
    for n in range(5):
        told.at(1.0).push(host_down(f"lone-{n}"))
    told.run()
    assert {fault for *_, fault in faults(told)} == {"host down"}
