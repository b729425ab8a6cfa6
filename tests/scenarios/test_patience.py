"""Subscribers who do not want to hear of everything at once: N+M groups, and hosts that must be isolated first."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from doctor.model.errors import RejectedError
from doctor.model.resource import Isolation, PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Aggregate, SubscribeFilter, TellingPolicy, When
from doctor.testing.scenario import Scenario, down, host_down, host_up, up
from tests.scenarios.nfvi import FAULTS

STANDBYS = Aggregate(group="vnf", role="STBY", more_than=2)


def pool(standbys: int = 5) -> ResourceMap:
    """One machine of red per host: an active one on compute-0 and its standbys; blue has a group of the same name."""
    hosts = [PhysicalResource(id=f"compute-{number}") for number in range(standbys + 1)]
    machines = [
        VirtualResource(
            id=f"vm-{number}",
            host=f"compute-{number}",
            owner="red",
            group="vnf",
            role="STBY" if number else "ACT",
        )
        for number in range(standbys + 1)
    ]
    others = [
        VirtualResource(id=f"blue-{one.id}", host=one.id, owner="blue", group="vnf", role="STBY")
        for one in hosts[1:]
    ]
    return ResourceMap(hosts, [*machines, *others])


@pytest.mark.requirement("B12", "D4")
def test_standbys_are_told_of_when_more_than_two_are_out() -> None:
    """[D 3.3.3 N+M] Then all of them in one notification, each further one at once, and each end."""
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    for second, host in ((1.0, "compute-1"), (2.0, "compute-2"), (3.0, "compute-3"), (4.0, "compute-4")):
        story.at(second).push(host_down(host))
    story.want("vnfm").between(3.0, 3.5).gets("vm-1 is error", "vm-2 is error", "vm-3 is error")
    story.want("vnfm").between(4.0, 4.5).gets("vm-4 is error")
    story.at(5.0).push(host_up("compute-1"))
    story.want("vnfm").between(5.0, 5.5).gets_clear("vm-1 is normal")
    story.at(6.0).push(host_up("compute-2"))
    story.want("vnfm").between(6.0, 6.5).gets_clear("vm-2 is normal")
    story.at(7.0).push(host_down("compute-5"))
    story.want("vnfm").between(7.0, 7.5).gets("vm-5 is error")
    story.play()


@pytest.mark.requirement("B12")
def test_fewer_are_told_of_neither_when_they_fail_nor_when_they_return() -> None:
    """[D 3.3.3 N+M] Below the limit nothing; the same machine again and again is one machine."""
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    for round_ in range(4):
        story.at(1.0 + round_).push(host_down("compute-1"))
        story.at(1.2 + round_).push(down("compute.instance.error", "vm-2", details={"resource_id": "vm-2"}))
        story.at(1.5 + round_).push(host_up("compute-1"))
    story.want("vnfm").hears_nothing()
    story.play()


@pytest.mark.requirement("B12", "D4")
def test_the_others_of_the_owner_are_told_of_as_ever() -> None:
    """[design 5] Only faults of the group and role wait; somebody else's group of that name is another one."""
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    story.at(0.0).subscribe("blue", project="blue")
    story.at(1.0).push(host_down("compute-0"))
    story.want("vnfm").between(1.0, 1.5).gets("vm-0 is error")
    story.at(2.0).push(host_down("compute-1"))
    story.want("blue").between(2.0, 2.5).gets("blue-compute-1 is error")
    story.play()


@pytest.mark.requirement("B12", "A15", "E26")
def test_one_cause_that_takes_enough_down_is_one_notification() -> None:
    story = Scenario(
        ResourceMap(
            [PhysicalResource(id="compute-1")],
            [
                VirtualResource(id=f"vm-{n}", host="compute-1", owner="red", group="vnf", role=role)
                for n, role in enumerate(("ACT", "STBY", "STBY", "STBY"))
            ],
        )
    )
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm").between(1.0, 1.5).gets(*(f"vm-{n} is error" for n in range(4)))
    story.play()


def test_a_group_is_counted_on_after_a_restart() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    story.at(1.0).push(host_down("compute-1"), host_down("compute-2"))
    story.at(2.0).crash()
    story.at(3.0).start()
    story.at(4.0).push(host_down("compute-3"))
    story.want("vnfm").between(4.0, 4.5).gets("vm-1 is error", "vm-2 is error", "vm-3 is error")
    story.at(5.0).crash()
    story.at(6.0).start()
    story.at(7.0).push(host_up("compute-3"))
    story.want("vnfm").between(7.0, 7.5).gets_clear("vm-3 is normal")
    story.play()


def test_only_failures_of_the_last_minute_count() -> None:
    """[design 5] ``within``."""
    story = Scenario(pool())
    within = Aggregate(group="vnf", role="STBY", more_than=1, within=timedelta(seconds=60))
    story.at(0.0).subscribe("vnfm", project="red", aggregate=within)
    story.at(1.0).push(host_down("compute-1"))
    story.at(100.0).push(host_down("compute-2"))
    story.at(130.0).push(host_down("compute-3"))
    story.want("vnfm").between(130.0, 131.0).gets("vm-1 is error", "vm-2 is error", "vm-3 is error")
    story.play()


def test_a_warning_puts_nobody_out_until_it_is_more() -> None:
    """A machine of which a lesser fault becomes worse is a failure of the group from then on."""
    story = Scenario(pool())
    one = Aggregate(group="vnf", role="STBY", more_than=0)
    story.at(0.0).subscribe("vnfm", project="red", aggregate=one)
    story.at(1.0).push(down("compute.chassis.degraded", "compute-1"))
    story.at(2.0).push(host_down("compute-1"))
    story.want("vnfm").between(2.0, 2.5).gets("vm-1 is error")
    story.play()


def test_what_waited_for_more_of_a_group_is_told_when_that_is_given_up() -> None:
    """[design 5] As what waited for a host; who lowers the limit hears at once of too many."""
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    story.at(1.0).push(host_down("compute-1"))
    story.at(0.0).subscribe("bolder", project="red", aggregate=STANDBYS)
    story.at(2.0).update("vnfm", policy=TellingPolicy())
    story.want("vnfm").between(2.0, 2.5).gets("vm-1 is error")
    story.at(2.0).update("bolder", policy=TellingPolicy(aggregate=replace(STANDBYS, more_than=0)))
    story.want("bolder").between(2.0, 2.5).gets("vm-1 is error")
    story.at(3.0).push(host_down("compute-2"))
    story.want("vnfm").between(3.0, 3.5).gets("vm-2 is error")
    story.want("bolder").between(3.0, 3.5).gets("vm-2 is error")
    story.play()


def test_who_was_told_of_everything_is_not_told_again_by_the_group() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red")
    story.at(1.0).push(host_down("compute-1"), host_down("compute-2"))
    story.want("vnfm").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm").between(1.0, 1.5).gets("vm-2 is error")
    story.at(2.0).update("vnfm", policy=TellingPolicy(aggregate=STANDBYS))
    story.at(3.0).push(host_down("compute-3"))
    story.want("vnfm").between(3.0, 3.5).gets("vm-3 is error")
    story.at(4.0).push(host_up("compute-1"))
    story.want("vnfm").between(4.0, 4.5).gets_clear("vm-1 is normal")
    story.play()


@pytest.mark.requirement("B20")
@pytest.mark.parametrize(
    ("project", "wish", "pointer"),
    [
        pytest.param("red", Aggregate(group="other"), "/policy/aggregate/group", id="unknown-group"),
        pytest.param("green", Aggregate(group="vnf"), "/policy/aggregate/group", id="somebody-elses"),
        pytest.param(
            "red", Aggregate(group="vnf", role="SPARE"), "/policy/aggregate/role", id="unknown-role"
        ),
        pytest.param(None, Aggregate(group="vnf"), "/policy/aggregate/group", id="administrator"),
    ],
)
def test_a_group_that_is_not_mine_is_refused(project: str | None, wish: Aggregate, pointer: str) -> None:
    """[design 3, 5] 422, the same for somebody else's and for none."""
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project=project, aggregate=wish)
    with pytest.raises(ExceptionGroup) as failed:
        story.run()
    (error,) = failed.value.exceptions
    assert isinstance(error, RejectedError)
    assert [flaw.pointer for flaw in error.flaws] == [pointer]


# --- isolation ---


@pytest.mark.requirement("D4", "B19")
def test_who_waits_for_isolation_is_told_when_it_is_confirmed() -> None:
    """[design 2, 5] ``when: isolated``; others are told at once and do not wait for it."""
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(0.0).subscribe("quick", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("quick").between(1.0, 1.5).gets("vm-1 is error")
    story.at(3.0).isolate("compute-1")
    story.want("patient").between(3.0, 3.5).gets("vm-1 is error")
    story.want("quick").between(3.0, 3.5).gets_change("vm-1 is error")
    story.at(4.0).push(host_up("compute-1"))
    for name in ("quick", "patient"):
        story.want(name).between(4.0, 4.5).gets_clear("vm-1 is normal")
    story.play()
    (info,) = story.heard("patient")[0].message["virtual_resource_info"]
    assert (info["isolation"], info["host_status"]) == ("isolated", "DOWN")


def test_an_isolation_that_failed_does_not_release_anything() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).isolate("compute-1", Isolation.FAILED)
    story.at(3.0).isolate("compute-1", Isolation.ISOLATED)
    story.want("patient").between(3.0, 3.5).gets("vm-1 is error")
    story.play()


def test_what_is_over_before_the_host_was_isolated_is_never_told() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.at(3.0).isolate("compute-1")
    story.want("patient").hears_nothing()
    story.play()


def test_what_needs_no_isolation_is_told_at_once() -> None:
    """A machine that failed by itself, on a host that serves."""
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(down("compute.instance.down", "vm-1", details={"resource_id": "vm-1"}))
    story.want("patient").between(1.0, 1.5).gets("vm-1 is down")
    story.at(2.0).push(up("compute.instance.down", "vm-1"))
    story.want("patient").between(2.0, 2.5).gets_clear("vm-1 is normal")
    story.play()


def test_it_waits_on_through_a_restart() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).crash()
    story.at(3.0).start()
    story.at(4.0).isolate("compute-1")
    story.want("patient").between(4.0, 4.5).gets("vm-1 is error")
    story.play()


def test_who_does_not_want_to_wait_any_longer_is_told_at_once() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).update("patient", policy=TellingPolicy())
    story.want("patient").between(2.0, 2.5).gets("vm-1 is error")
    story.play()


def test_a_host_that_dies_again_has_to_be_isolated_again() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).isolate("compute-1")
    story.want("patient").between(2.0, 2.5).gets("vm-1 is error")
    story.at(3.0).push(host_up("compute-1"))
    story.want("patient").between(3.0, 3.5).gets_clear("vm-1 is normal")
    story.at(4.0).push(host_down("compute-1"))
    held: list[str] = []
    story.at(5.0).do(
        lambda: held.extend(
            host for one in story.doctor.situation.restraints.values() for host in one.held.values()
        )
    )
    story.play()
    assert held == ["compute-1"]


def test_a_group_on_hosts_that_must_be_isolated_is_told_host_by_host() -> None:
    """Both patiences together: counted when detected, told when isolated."""
    story = Scenario(pool())
    one = Aggregate(group="vnf", role="STBY", more_than=1)
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED, aggregate=one)
    story.at(1.0).push(host_down("compute-1"), host_down("compute-2"))
    story.at(2.0).isolate("compute-2")
    story.want("patient").between(2.0, 2.5).gets("vm-2 is error")
    story.at(3.0).isolate("compute-1")
    story.want("patient").between(3.0, 3.5).gets("vm-1 is error")
    story.play()


def test_a_filter_that_lets_nothing_through_holds_nothing_back() -> None:
    story = Scenario(pool())
    asked = SubscribeFilter(virtual_resource_id=frozenset({"vm-2"}))
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED, asked=asked)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).isolate("compute-1")
    story.want("patient").hears_nothing()
    story.play()


@pytest.mark.requirement("B19")
def test_a_patient_subscriber_too_may_want_neither_ends_nor_changes() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED, clear=False, change=False)
    story.at(1.0).push(down("compute.chassis.degraded", "compute-1", severity="warning"))
    story.want("patient").between(1.0, 1.5).gets("vm-1 is normal (warning)")
    story.at(2.0).push(up("compute.chassis.degraded", "compute-1"))
    story.at(3.0).push(down("compute.disk.aging", "compute-2", severity="warning"))
    story.run()
    assert {one.kind for one in story.heard("patient")} == {"fault"}


def test_an_administrator_may_wait_for_isolation_and_hears_of_a_switch_at_once() -> None:
    """Nobody isolates a switch."""
    resources = ResourceMap(
        [PhysicalResource(id="compute-1"), PhysicalResource(id="switch-a", type="switch")],
        [VirtualResource(id="vm-1", host="compute-1", owner="red")],
        [Relation("switch-a", "connects", "compute-1")],
    )
    story = Scenario(resources)
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS, when=When.ISOLATED)
    story.at(1.0).push(down("network.switch.down", "switch-a"))
    story.want("operator").between(1.0, 1.5).gets("switch-a is down (warning)")
    story.at(2.0).isolate("compute-1")
    story.want("operator").between(2.0, 2.5).gets("compute-1 is error", "vm-1 is error")
    story.play()


def test_what_changes_while_it_waits_is_told_as_it_is_then() -> None:
    """The switch comes back while the host, which is dead by now, still waits to be isolated."""
    resources = ResourceMap(
        [
            PhysicalResource(id="compute-1"),
            *(PhysicalResource(id=f"switch-{n}", type="switch") for n in "ab"),
        ],
        [VirtualResource(id="vm-1", host="compute-1", owner="red")],
        [Relation(f"switch-{n}", "connects", "compute-1") for n in "ab"],
    )
    story = Scenario(resources)
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(down("network.switch.down", "switch-a"))
    story.at(3.0).push(down("network.switch.down", "switch-b"))
    story.at(4.0).push(up("network.switch.down", "switch-b"))
    story.at(5.0).push(host_up("compute-1"))
    story.run()
    heard = story.heard("patient")
    assert heard
    assert heard[-1].at == 5.0
