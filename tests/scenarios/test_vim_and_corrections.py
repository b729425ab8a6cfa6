"""Failures of the VIM itself, told to whoever asks, and what was told by a resource map that was wrong."""

from typing import Any

import msgspec
import pytest

from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Acknowledge, Aggregate, EventKind, SubscribeFilter, When
from doctor.testing.scenario import Report, Scenario, down, host_down, host_up, up
from tests.scenarios.nfvi import FAULTS, small_nfvi

VIM = SubscribeFilter(event=frozenset({EventKind.VIM}))
BOTH = SubscribeFilter(event=frozenset({EventKind.VIM, EventKind.FAULT}))
CONTROL = PhysicalResource(id="control-1", type="control_node", zone_id="zone-1")


def vim_down(service: str = "nova-api", *, status: str = "down") -> Report:
    said = {"service": service, "resource_type": "vim_service"}
    return Report(
        "vim.service.failure", "control-9", status=status, resource_type="vim_service", details=said
    )


@pytest.mark.requirement("C18", "G23", "G24")
def test_a_failure_of_the_vim_is_told_to_everybody_who_asked_for_it() -> None:
    """[HA 5.2] What failed, what it means, since when, and its end; nothing of where it runs."""
    story = Scenario(small_nfvi())
    for name, project in (("red", "red"), ("nobody", "without-machines")):
        story.at(0.0).subscribe(name, project=project, asked=VIM)
    story.at(0.0).subscribe("other", project="red")
    story.at(1.0).push(vim_down())
    story.at(2.0).push(vim_down(status="up"))
    for name in ("red", "nobody"):
        story.want(name).between(1.0, 1.5).gets_vim("nova-api is major")
        story.want(name).between(2.0, 2.5).gets_vim("nova-api is cleared")
    story.play()
    told = story.heard("red")[0].message
    assert told["vim"]["alarm_state"] == "raised"
    assert told["vim"]["since"] == told["event_time"]
    assert "goes on running" in told["vim"]["meaning"]
    assert b"control-9" not in story.heard("red")[0].notification.body
    assert told["vim"]["alarm_id"] != story.heard("nobody")[0].message["vim"]["alarm_id"]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        pytest.param("neutron-l3-agent", "neutron-l3-agent", id="a-service"),
        pytest.param("nova-compute@compute-1", "VIM service", id="with-a-place"),
        pytest.param("compute-1", "VIM service", id="a-host"),
        pytest.param("10.0.0.1", "VIM service", id="an-address"),
    ],
)
def test_a_service_is_named_unless_that_names_a_place(service: str, said: str) -> None:
    """[D 3.3.4] No host names."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("red", project="red", asked=VIM)
    story.at(1.0).push(vim_down(service))
    story.want("red").between(1.0, 1.5).gets_vim(f"{said} is major")
    story.play()


@pytest.mark.requirement("G24")
def test_a_control_node_that_dies_is_of_the_vim() -> None:
    story = Scenario(ResourceMap([CONTROL]))
    story.at(0.0).subscribe("red", project="red", asked=VIM)
    story.at(0.0).subscribe("patient", project="red", asked=BOTH, when=When.ISOLATED)
    story.at(0.0).subscribe("operator", project=None, asked=BOTH)
    story.at(1.0).push(host_down("control-1"))
    for name in ("red", "patient"):
        story.want(name).between(1.0, 1.5).gets_vim("control node is critical")
    story.want("operator").between(1.0, 1.5).gets("control-1 is down")
    story.play()
    assert b"control-1" not in story.heard("red")[0].notification.body


@pytest.mark.requirement("G30")
def test_a_silent_agent_on_a_host_that_answers_is_no_dead_host() -> None:
    """[HA 5.2] The compute node has failed as a part of the VIM: machines run on, and nobody has to be isolated."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("red", project="red", asked=BOTH)
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    silent = {"service": "nova-compute"}
    story.at(1.0).push(down("vim.service.failure", "compute-1", details=silent))
    story.want("red").between(1.0, 1.5).gets("vm-1 is normal (warning)")
    story.want("red").between(1.0, 1.5).gets_vim("nova-compute is warning")
    story.want("operator").between(1.0, 1.5).gets(
        "compute-1 is normal (warning)", "vm-1 is normal (warning)", "vm-3 is normal (warning)"
    )
    story.at(60.0).push(host_down("compute-1"))
    story.want("red").between(60.0, 60.5).gets("vm-1 is error")
    story.want("operator").between(60.0, 60.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.play()
    node, host = (heard.message["virtual_resource_info"][0] for heard in story.heard("operator"))
    assert (node["host_status"], node["isolation"]) == ("UP", "not_required")
    assert (host["host_status"], host["isolation"]) == ("UNKNOWN", "pending")


def test_filters_hold_for_the_vim_too() -> None:
    story = Scenario(small_nfvi())
    asked = {
        "type": msgspec.structs.replace(VIM, fault_type=frozenset({"host down"})),
        "cause": msgspec.structs.replace(VIM, probable_cause=frozenset({"timeout expired"})),
        "severity": msgspec.structs.replace(VIM, min_severity=5),
    }
    for name, wish in asked.items():
        story.at(0.0).subscribe(name, project="red", asked=wish)
    story.at(0.0).subscribe("no-ends", project="red", asked=VIM, clear=False)
    story.at(1.0).push(vim_down())
    story.at(2.0).push(vim_down(status="up"))
    story.want("no-ends").between(1.0, 1.5).gets_vim("nova-api is major")
    story.play()


# --- corrections ---


def moved(host: str | None, owner: str = "red", **more: Any) -> ResourceMap:
    """One machine, vm-1, on this host of two; None is that it is gone."""
    machines = [VirtualResource(id="vm-1", host=host, owner=owner, **more)] if host else []
    return ResourceMap([PhysicalResource(id=f"compute-{n}") for n in (1, 2)], machines)


@pytest.mark.requirement("A9", "C1")
def test_a_machine_that_was_not_there_is_corrected_and_one_that_was_is_told() -> None:
    """[I-24] The map comes late: the machine had moved before its host died."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("red", project="red", clear=False)
    story.at(0.0).subscribe("blue", project="blue")
    story.at(1.0).push(host_down("compute-1"))
    story.want("red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("blue").between(1.0, 1.5).gets("vm-3 is error")
    hosts = [PhysicalResource(id=f"compute-{n}", zone_id="zone-1") for n in (1, 2)]
    machines = [
        VirtualResource(id="vm-1", host="compute-2", owner="red"),
        VirtualResource(id="vm-2", host="compute-1", owner="red"),
        VirtualResource(id="vm-3", host="compute-1", owner="blue"),
    ]
    story.at(2.0).load(ResourceMap(hosts, machines))
    story.want("red").between(2.0, 2.5).gets("vm-2 is error")
    story.want("red").between(2.0, 2.5).gets_correction("vm-1 is normal")
    story.play()
    (told,) = story.heard("red")[2].message["virtual_resource_info"]
    assert told["faults"][0]["alarm_state"] == "cleared"
    first, new = (one.message["virtual_resource_info"][0]["faults"][0] for one in story.heard("red")[:2])
    assert first["alarm_id"] == told["faults"][0]["alarm_id"] != new["alarm_id"]


def test_the_same_map_once_more_says_nothing() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("red", project="red")
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(1.0).push(host_down("compute-1"))
    story.want("red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("operator").between(1.0, 1.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.at(2.0).load(small_nfvi())
    story.play()


def test_a_fault_of_a_machine_that_is_gone_is_over() -> None:
    story = Scenario(moved("compute-1"))
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(down("compute.instance.down", "vm-1", details={"resource_id": "vm-1"}))
    story.want("red").between(1.0, 1.5).gets("vm-1 is down")
    story.at(2.0).load(moved(None))
    story.want("red").between(2.0, 2.5).gets_correction("vm-1 is normal")
    story.at(3.0).push(up("compute.instance.down", "vm-1"))
    story.at(3.5).do(lambda: len(story.doctor.situation.book) == 0 or pytest.fail("still open"))
    story.play()


def test_what_was_never_told_is_not_corrected() -> None:
    """It waited for its host to be isolated, or for more of its group."""
    story = Scenario(moved("compute-1", group="vnf"))
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(0.0).subscribe("group", project="red", aggregate=Aggregate(group="vnf"))
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).load(moved("compute-2", group="vnf"))
    story.at(3.0).isolate("compute-1")
    for name in ("patient", "group"):
        story.want(name).hears_nothing()
    story.play()


def test_what_a_redundant_way_means_is_weighed_by_the_new_map() -> None:
    """A host with one switch more is degraded where it was cut off."""
    switches = [PhysicalResource(id=f"switch-{n}", type="switch") for n in "ab"]

    def wired(*ways: str) -> ResourceMap:
        return ResourceMap(
            [PhysicalResource(id="compute-1"), *switches],
            [VirtualResource(id="vm-1", host="compute-1", owner="red")],
            [Relation(f"switch-{way}", "connects", "compute-1") for way in ways],
        )

    story = Scenario(wired("a"))
    story.at(0.0).subscribe("red", project="red")
    story.at(1.0).push(down("network.switch.down", "switch-a"))
    story.want("red").between(1.0, 1.5).gets("vm-1 is error")
    story.at(2.0).load(wired("a", "b"))
    story.want("red").between(2.0, 2.5).gets_change("vm-1 is normal (warning)")
    story.play()


def test_a_correction_is_acknowledged_like_anything_else() -> None:
    story = Scenario(moved("compute-1"))
    story.at(0.0).subscribe("red", project="red", acknowledge=Acknowledge.EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).load(moved("compute-1", owner="blue"))
    story.at(3.0).acknowledge("red", 1)
    story.at(40.0).acknowledge("red", 2)
    story.want("red").between(1.0, 1.5).gets("vm-1 is error")
    for second in (2.0, 32.0):
        story.want("red").between(second, second + 0.5).gets_correction("vm-1 is normal")
    story.at(50.0).push(host_up("compute-1"))
    story.play()
