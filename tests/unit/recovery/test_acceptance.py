"""What is refused, and with which words: a table of machines and actions."""

from typing import Any

import pytest

from doctor.model.fault import ResourceState
from doctor.model.instruction import Action
from doctor.model.resource import NETWORK, NIC, STORAGE, Constraints, Isolation
from doctor.recovery.acceptance import flaws, objection, objection_to_target
from doctor.recovery.rules import Facts, in_effect
from tests.unit.recovery.machines import dead, facts, other

A = Action
NO_LIVE = Constraints(live_migration=False)
SHORT = Constraints(tolerated_interruption=5.0)
NOBODY = Constraints(max_out=0)


@pytest.mark.parametrize(
    ("action", "known", "says"),
    [
        pytest.param(A.EVACUATE, dead(), "", id="evacuate-from-a-dead-host"),
        pytest.param(A.EVACUATE, facts(), "migrate it", id="evacuate-from-a-working-host"),
        pytest.param(A.EVACUATE, dead(can_isolate=False), "has not set up a fence", id="no-fence"),
        pytest.param(A.EVACUATE, dead(Isolation.ISOLATED, can_isolate=False), "", id="fence-was-taken-away"),
        pytest.param(
            A.REBUILD, dead(can_isolate=False), "has not set up a fence", id="rebuild-without-fence"
        ),
        pytest.param(A.TERMINATE, dead(can_isolate=False), "has not set up a fence", id="free-without-fence"),
        pytest.param(A.UPDATE, dead(can_isolate=False), "", id="update-harms-nobody"),
        pytest.param(A.MIGRATE, facts(), "", id="migrate"),
        pytest.param(A.MIGRATE, dead(), "evacuate it", id="migrate-from-a-dead-host"),
        pytest.param(A.START, dead(), "evacuate it", id="start-on-a-dead-host"),
        pytest.param(A.LIVE_MIGRATE, facts(constraints=NO_LIVE), "forbid live migration", id="no-live"),
        pytest.param(A.MIGRATE, facts(constraints=NO_LIVE), "", id="but-cold"),
        pytest.param(A.LIVE_MIGRATE, facts(constraints=SHORT), "", id="short-enough"),
        pytest.param(A.MIGRATE, facts(constraints=SHORT), "30 s or more", id="too-long"),
        pytest.param(A.REBOOT, facts(constraints=SHORT), "tolerate 5 s", id="reboot-too-long"),
        pytest.param(A.STOP, facts(constraints=SHORT), "", id="whoever-stops-it-means-it"),
        pytest.param(A.EVACUATE, dead(constraints=SHORT), "", id="it-is-interrupted-already"),
        pytest.param(A.LIVE_MIGRATE, facts(constraints=NOBODY), "none of its group", id="none-may-be-away"),
        pytest.param(A.STOP, facts(has_controller=False), "no controller", id="no-controller"),
        pytest.param(A.STOP, facts(occupied_by="other"), "instruction other", id="occupied"),
        pytest.param(A.LEAVE, dead(occupied_by="other", has_controller=False), "", id="a-word-always"),
    ],
)
def test_what_is_refused(action: Action, known: Facts, says: str) -> None:
    refused = objection(action, known, {})
    assert says in refused
    assert bool(refused) is bool(says)


@pytest.mark.requirement("B1", "B23")
@pytest.mark.parametrize(
    ("action", "kind", "says"),
    [
        pytest.param(A.STOP, NIC, "", id="a-port-is-cut-off"),
        pytest.param(A.START, NIC, "", id="and-given-back"),
        pytest.param(A.UPDATE, NIC, "", id="and-renamed"),
        pytest.param(A.REBOOT, NIC, "it is a virtual NIC, which cannot be told to reboot", id="no-more"),
        pytest.param(A.EVACUATE, NIC, "only to stop, start, update", id="it-goes-with-its-machine"),
        pytest.param(A.START, STORAGE, "", id="a-volume-is-put-into-service"),
        pytest.param(A.UPDATE, STORAGE, "", id="a-volume-is-renamed"),
        pytest.param(A.STOP, STORAGE, "only to start, update", id="a-volume-does-not-stop"),
        pytest.param(A.STOP, NETWORK, "virtual network, which cannot be told to stop", id="nothing-at-all"),
        pytest.param(A.REPAIR, NETWORK, "", id="a-word-always"),
    ],
)
def test_what_ports_and_volumes_can_be_told(action: Action, kind: str, says: str) -> None:
    for known in (other(kind), other(kind, host_state=ResourceState.DOWN)):
        refused = objection(action, known, {"name": "a"} if action is A.UPDATE else {})
        assert says in refused
        assert bool(refused) is bool(says)


def test_what_is_not_told_of_ports_and_volumes() -> None:
    assert "no metadata" in objection(A.UPDATE, other(NIC), {"metadata": {"doctor:role": "ACT"}})
    assert "instruction x" in objection(A.STOP, other(NIC, occupied_by="x"), {})
    assert "no controller" in objection(A.STOP, other(NIC, has_controller=False), {})
    assert "does not allow" in objection(A.STOP, other(NIC), {}, forbidden={A.STOP})


def test_a_volume_whose_storage_has_failed_is_left_in_error() -> None:
    assert "stored on has failed" in objection(A.START, other(STORAGE, state=ResourceState.ERROR), {})
    assert objection(A.START, other(NIC, state=ResourceState.ERROR), {}) == ""


def test_what_the_operator_forbids_is_refused_to_everybody() -> None:
    assert "does not allow reboot" in objection(A.REBOOT, facts(), {}, forbidden={A.REBOOT})


def test_a_rebuild_on_a_dead_host_is_an_evacuation_from_the_image_it_has() -> None:
    assert (in_effect(A.REBUILD, dead()), in_effect(A.REBUILD, facts())) == (A.EVACUATE, A.REBUILD)
    assert "evacuate it first" in objection(A.REBUILD, dead(), {"image": "newer"})
    assert objection(A.REBUILD, facts(), {"image": "newer"}) == ""


@pytest.mark.parametrize(
    ("action", "parameters", "wrong"),
    [
        pytest.param(A.REBOOT, {"type": "hard"}, [], id="reboot-hard"),
        pytest.param(A.REBOOT, {"type": "warm"}, ["/parameters/type"], id="no-such-reboot"),
        pytest.param(A.EVACUATE, {"host": "compute-2"}, ["/parameters/host"], id="no-such-parameter"),
        pytest.param(A.EVACUATE, {"target": "compute-2"}, ["/parameters/target"], id="owners-name-no-host"),
        pytest.param(A.UPDATE, {}, ["/parameters"], id="update-of-nothing"),
        pytest.param(A.UPDATE, {"name": "new", "metadata": {"doctor:role": "ACT"}}, [], id="update"),
        pytest.param(A.UPDATE, {"name": 1}, ["/parameters/name"], id="no-name"),
        pytest.param(A.UPDATE, {"metadata": {}}, ["/parameters/metadata"], id="no-metadata"),
        pytest.param(A.UPDATE, {"metadata": {"a": 1}}, ["/parameters/metadata/a"], id="no-text"),
    ],
)
def test_parameters_are_looked_at(action: Action, parameters: dict[str, Any], wrong: list[str]) -> None:
    assert [flaw.pointer for flaw in flaws(action, parameters)] == wrong


@pytest.mark.parametrize("action", [A.EVACUATE, A.MIGRATE, A.LIVE_MIGRATE])
def test_the_administrator_may_name_the_host_that_a_machine_goes_to(action: Action) -> None:
    assert list(flaws(action, {"target": "compute-2"}, names_hosts=True)) == []
    assert [one.pointer for one in flaws(action, {"target": 2}, names_hosts=True)] == ["/parameters/target"]
    assert [one.pointer for one in flaws(A.REBOOT, {"target": "x"}, names_hosts=True)] == [
        "/parameters/target"
    ]


@pytest.mark.parametrize(
    ("target", "state", "says"),
    [
        pytest.param("compute-2", ResourceState.NORMAL, "", id="it-serves"),
        pytest.param("compute-1", ResourceState.NORMAL, "it is on compute-1 already", id="the-same"),
        pytest.param("compute-2", ResourceState.DOWN, "compute-2 is down", id="down"),
        pytest.param("compute-2", ResourceState.MAINTENANCE, "compute-2 is maintenance", id="maintenance"),
    ],
)
def test_a_host_that_takes_no_machine_is_no_target(target: str, state: ResourceState, says: str) -> None:
    refused = objection_to_target(target, "compute-1", state)
    assert says in refused
    assert bool(refused) is bool(says)
