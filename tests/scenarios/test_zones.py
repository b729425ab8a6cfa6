"""Failure impact zones: parts that fail too often make their zone fail, asked about or at once [HA 6.1.2.2, 6.1.2.3]."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.flows.ageing import AgeingFlow
from doctor.inspector.escalation import Move
from doctor.model.ageing import Keep
from doctor.model.errors import RejectedError, StoreError
from doctor.model.escalation import EscalationState
from doctor.model.fault import Severity
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Audience, SilenceMatcher
from doctor.testing.clock import START
from doctor.testing.scenario import Scenario, down, host_down, host_up, switch_down, switch_up, up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS
from tests.unit.model.nfvis import long_lists

INSTANCE = "compute.instance.down"
POLICY = """
version: 1
damping: off
faults:
  - {name: host-down, when: {type: compute.host.down}}
  - {name: switch-down, when: {type: network.switch.down}}
  - {name: instance-down, when: {type: compute.instance.down}}
  - {name: crash, when: {type: compute.os.crash}}
propagate:
  - {from: host, kind: hosts, state: down, to_state: error}
  - {from: host, kind: hosts, state: normal, min_severity: warning, to_state: normal}
  - {from: switch, kind: connects, state: down, to_state: error, severity: critical}
  - {from: rack, kind: contains, state: normal, min_severity: warning, to_state: normal}
  - {from: rack, kind: contains, state: down, to_state: down}
zones:
"""
ASK = "  - {type: rack, probation: PT60S, frequency: 3, deadline: PT120S}\n"
AUTOMATIC = "  - {type: rack, probation: PT60S, frequency: 3, escalate: automatic, isolation: fence}\n"


def site() -> ResourceMap:
    """Two racks on one feed, with a switch and four hosts each; one machine on every host, by turns red's and blue's."""
    hosts = [f"{rack}-{n}" for rack in "ab" for n in range(1, 5)]
    return ResourceMap(
        [
            PhysicalResource(id="feed", type="power"),
            *(PhysicalResource(id=f"rack-{rack}", type="rack") for rack in "ab"),
            *(PhysicalResource(id=f"tor-{rack}", type="switch") for rack in "ab"),
            *(PhysicalResource(id=host) for host in hosts),
        ],
        [
            VirtualResource(id=f"vm-{host}", host=host, owner="red" if host[-1] in "13" else "blue")
            for host in hosts
        ],
        [
            *(Relation(f"rack-{host[0]}", "contains", host) for host in hosts),
            *(Relation(f"tor-{host[0]}", "connects", host) for host in hosts),
            *(Relation("feed", "powers", f"rack-{rack}") for rack in "ab"),
        ],
    )


def story(zones: str) -> Scenario:
    told = Scenario(site(), policy=POLICY + zones)
    told.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    told.at(0.0).subscribe("red", project="red", asked=FAULTS)
    return told


def fail(told: Scenario, *moments: tuple[float, str]) -> None:
    """Let hosts fail and return five seconds later."""
    for second, host in moments:
        told.at(second).push(host_down(host, seen=second))
        told.at(second + 5).push(host_up(host, seen=second + 5))


def of_zones(told: Scenario, name: str = "operator") -> list[tuple[float, str, str, str]]:
    """Return second, type of notification, zone and fault type of what was told of zones."""
    found = []
    for heard in told.heard(name):
        for info in (
            *heard.message.get("physical_resource_info", ()),
            *heard.message.get("virtual_resource_info", ()),
        ):
            resource = info.get("physical_resource_id") or info["virtual_resource_id"]
            for fault in info["faults"]:
                if "zone" in fault["fault_type"]:
                    kind = str(heard.kind)
                    found.append((round(heard.at, 3), kind, resource, fault["fault_type"]))
    return found


def details(told: Scenario, fault_type: str) -> dict[str, Any]:
    """Return the details of the first fault of a type that the operator was told of."""
    for heard in told.heard("operator"):
        for info in heard.message.get("physical_resource_info", ()):
            for fault in info["faults"]:
                if fault["fault_type"] == fault_type:
                    found: dict[str, Any] = fault
                    return found
    raise AssertionError(f"nobody heard of {fault_type}")


THREE = ((1.0, "a-1"), (20.0, "a-2"), (40.0, "a-3"))


# --- automatic ---


@pytest.mark.requirement("G51", "G53")
def test_failures_within_the_probation_period_are_a_failure_of_the_zone() -> None:
    """[HA 6.1.2.3] The third host in a minute: told to the Administrator alone, over after a minute without another."""
    told = story(AUTOMATIC)
    fail(told, *THREE)
    told.run(until=200.0)
    assert of_zones(told) == [
        (40.0, "fault", "rack-a", "failure of a zone"),
        (100.0, "fault_cleared", "rack-a", "failure of a zone"),
    ]
    assert of_zones(told, "red") == []


@pytest.mark.requirement("G51")
def test_what_is_to_be_done_about_the_zone_is_told_as_advice() -> None:
    """[HA 6.1.2.2] Isolated before anything is recovered."""
    told = story(AUTOMATIC)
    fail(told, *THREE)
    told.run()
    fault = details(told, "failure of a zone")
    assert fault["perceived_severity"] == "critical"
    assert fault["probable_cause"] == "repeated failures within the zone"
    known = fault["fault_details"]
    assert (known["escalation"], known["isolation"], known["failures"]) == ("automatic", "fence", 3)
    assert known["parts"] == ["a-1", "a-2", "a-3"]
    assert known["advice"] == "isolate rack-a before anything within it is recovered"


@pytest.mark.requirement("G51")
def test_owners_are_told_if_the_policy_says_so() -> None:
    """[HA 6.1.2.2] The machines work: what they are told is a warning with a recommended action, and no more."""
    told = story(
        "  - {type: rack, probation: 60, escalate: automatic, raise: {tell: owners, severity: warning}}\n"
    )
    fail(told, *THREE)
    told.run(until=200.0)
    zone = "failure of a zone"
    assert of_zones(told, "red") == [
        (40.0, "fault", "vm-a-1", zone),
        (40.0, "fault", "vm-a-3", zone),
        (100.0, "fault_cleared", "vm-a-1", zone),
        (100.0, "fault_cleared", "vm-a-3", zone),
    ]
    (heard,) = [one for one in told.heard("red") if "vm-a-1 is normal (warning)" in one.says]
    fault = heard.message["virtual_resource_info"][0]["faults"][0]
    assert (fault["recommended_action"], fault["fault_details"]) == ("live_migrate", {})


@pytest.mark.requirement("G51")
def test_a_zone_may_count_as_out_of_service() -> None:
    told = story("  - {type: rack, probation: 60, escalate: automatic, raise: {tell: owners, state: down}}\n")
    fail(told, *THREE)
    told.run(until=50.0)
    (heard,) = [one for one in told.heard("red") if len(one.says) == 2]
    assert heard.at == 40.0
    assert heard.says == {"vm-a-1 is error", "vm-a-3 is error"}


@pytest.mark.requirement("G53")
def test_failures_hang_under_the_zone_that_they_are_failures_of() -> None:
    """[HA 6.1.2.3] Failures within a probation period are correlated: those that last, and those to come."""
    told = story(AUTOMATIC)
    for second, host in (*THREE, (50.0, "a-4")):
        told.at(second).push(host_down(host))
    causes: dict[str, str | None] = {}

    def look() -> None:
        book = told.doctor.situation.book
        for record in book:
            root = book.root_cause(record.fault)
            causes[record.fault.resource_id] = root.fault.resource_id if root else None

    told.at(60.0).do(look)
    told.run()
    assert causes == {
        "rack-a": None,
        "a-1": "rack-a",
        "a-2": "rack-a",
        "a-3": "rack-a",
        "a-4": "rack-a",
    }


@pytest.mark.requirement("G48", "G53")
def test_a_zone_that_fails_counts_in_the_next_one() -> None:
    """[HA 6.1.2.2] Two racks, and so their feed, in the same step."""
    told = story(AUTOMATIC + "  - {type: power, probation: PT5M, frequency: 2, escalate: automatic}\n")
    fail(told, *THREE, (101.0, "b-1"), (102.0, "b-2"), (103.0, "b-3"))
    told.run(until=120.0)
    assert [one for one in of_zones(told) if one[1] == "fault"] == [
        (40.0, "fault", "rack-a", "failure of a zone"),
        (103.0, "fault", "rack-b", "failure of a zone"),
        (103.0, "fault", "feed", "failure of a zone"),
    ]


@pytest.mark.requirement("G48")
def test_machines_that_fail_again_and_again_are_a_failure_of_their_host() -> None:
    """[HA 6.1.2.2] Any element may be a zone."""
    told = story("  - {type: host, probation: 60, frequency: 2, escalate: automatic}\n")
    for second in (1.0, 10.0):
        told.at(second).push(down(INSTANCE, "vm-a-1", seen=second))
        told.at(second + 2).push(up(INSTANCE, "vm-a-1", seen=second + 2))
    told.run()
    assert of_zones(told) == [(10.0, "fault", "a-1", "failure of a zone")]


def test_one_cause_is_one_failure() -> None:
    """A switch that takes three hosts along with it is no three failures of their rack, late as it may be told."""
    told = story(AUTOMATIC)
    told.at(1.0).push(host_down("a-1"))
    told.at(1.1).push(host_down("a-2"))
    told.at(1.2).push(switch_down("tor-a"))
    told.at(1.3).push(host_down("a-3"))
    for n in (1, 2, 3):
        told.at(10.0).push(host_up(f"a-{n}"))
    told.at(10.0).push(switch_up("tor-a"))
    fail(told, (30.0, "a-4"))
    told.run(until=50.0)
    assert of_zones(told) == []


def test_a_host_that_stays_down_when_its_switch_is_back_has_failed_itself() -> None:
    told = story("  - {type: rack, probation: 60, frequency: 1, escalate: automatic}\n")
    told.at(1.0).push(switch_down("tor-a"))
    told.at(2.0).push(host_down("a-1"))
    told.at(10.0).push(switch_up("tor-a"))
    told.run()
    assert of_zones(told) == [(10.0, "fault", "rack-a", "failure of a zone")]


def test_a_storm_over_a_zone_is_its_fault_already() -> None:
    """[I-11] One fault of the domain, which counts as one failure in the next."""
    told = story(
        "  - {type: switch, probation: 60, frequency: 3, escalate: automatic, next: [power]}\n"
        "  - {type: power, probation: 60, frequency: 1, escalate: automatic, relations: [powers, contains, connects]}\n"
        "storm: {hosts: 3, share: 0.3, within: PT10S}\n"
    )
    told.resources = ResourceMap(
        [*site().physical.values()],
        [],
        [
            *(one for one in site().relations if one.kind != "contains"),
            Relation("feed", "powers", "tor-a"),
        ],
    )
    for n in (1, 2, 3, 4):
        told.at(float(n)).push(host_down(f"a-{n}"))
    told.run()
    assert of_zones(told) == [(3.0, "fault", "feed", "failure of a zone")]


# --- ask ---


@pytest.mark.requirement("G51", "G53")
def test_the_administrator_is_asked_at_once() -> None:
    """[HA 6.1.2.3] A critical alarm, with what is to be decided and until when; owners hear nothing."""
    told = story(ASK)
    fail(told, *THREE)
    told.run()
    assert of_zones(told) == [(40.0, "fault", "rack-a", "escalation to a zone")]
    assert of_zones(told, "red") == []
    fault = details(told, "escalation to a zone")
    assert (fault["perceived_severity"], fault["fault_details"]["escalation"]) == ("critical", "pending")
    assert fault["fault_details"]["deadline"] == (START + timedelta(seconds=160)).isoformat().replace(
        "+00:00", "Z"
    )


@pytest.mark.requirement("G53")
def test_what_is_approved_takes_effect() -> None:
    told = story(ASK)
    fail(told, *THREE, (44.0, "a-4"))
    told.at(46.0).decide(Move.APPROVE, "rack-a", user="alice")
    told.run(until=200.0)
    assert of_zones(told) == [
        (40.0, "fault", "rack-a", "escalation to a zone"),
        (46.0, "fault_cleared", "rack-a", "escalation to a zone"),
        (46.0, "fault", "rack-a", "failure of a zone"),
        (104.0, "fault_cleared", "rack-a", "failure of a zone"),
    ]
    known = details(told, "failure of a zone")["fault_details"]
    assert (known["escalation"], known["user"], known["failures"]) == ("approved", "alice", 4)


@pytest.mark.requirement("G53")
def test_what_is_rejected_is_over_and_counts_no_more() -> None:
    """After it, it takes as many failures again."""
    told = story(ASK)
    fail(told, *THREE)
    told.at(46.0).decide(Move.REJECT, "rack-a")
    fail(told, (50.0, "a-1"), (60.0, "a-2"), (70.0, "a-3"))
    told.run(until=75.0)
    assert of_zones(told) == [
        (40.0, "fault", "rack-a", "escalation to a zone"),
        (46.0, "fault_cleared", "rack-a", "escalation to a zone"),
        (70.0, "fault", "rack-a", "escalation to a zone"),
    ]


def states(told: Scenario) -> list[tuple[EscalationState, str, bool]]:
    return [(one.state, one.user, one.is_over) for one in told.doctor.situation.zones.escalations.values()]


def test_a_question_that_nobody_answers_expires_and_stays_an_alarm() -> None:
    """Silence decides nothing, and hides nothing: the alarm is there as long as its reason."""
    told = story(ASK)
    for second, host in THREE:
        told.at(second).push(host_down(host))
    found: list[object] = []
    told.at(170.0).do(lambda: found.extend(states(told)))
    told.at(200.0).push(host_up("a-1"))
    told.at(201.0).do(lambda: found.extend(states(told)))
    told.run()
    assert found == [(EscalationState.EXPIRED, "", False), (EscalationState.EXPIRED, "", True)]
    assert of_zones(told) == [
        (40.0, "fault", "rack-a", "escalation to a zone"),
        (200.0, "fault_cleared", "rack-a", "escalation to a zone"),
    ]


def test_a_question_is_withdrawn_when_the_zone_is_well_again() -> None:
    told = story(ASK)
    fail(told, *THREE)
    found: list[object] = []
    told.at(110.0).do(lambda: found.extend(states(told)))
    told.run(until=115.0)
    assert found == [(EscalationState.WITHDRAWN, "", True)]
    assert of_zones(told)[1:] == [(100.0, "fault_cleared", "rack-a", "escalation to a zone")]


def test_a_question_is_withdrawn_when_the_reason_is_known() -> None:
    """The switch of the rack was it all the time."""
    told = story(ASK)
    for second, host in THREE:
        told.at(second).push(host_down(host))
    told.at(45.0).push(switch_down("tor-a"))
    told.run()
    assert of_zones(told)[1:] == [(45.0, "fault_cleared", "rack-a", "escalation to a zone")]


def test_a_question_may_be_cleared_by_hand() -> None:
    told = story(ASK)
    fail(told, *THREE)
    found: list[object] = []

    async def clear() -> None:
        asked = told.doctor.situation.zones.active("rack-a")
        assert asked is not None
        await told.doctor.faults.clear(asked.fault_key, user="bob")
        found.extend(states(told))

    told.note(46.0, clear)
    told.run()
    assert found == [(EscalationState.WITHDRAWN, "bob", True)]


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        pytest.param(Move.APPROVE, Move.REJECT, "approved already by alice", id="approved"),
        pytest.param(Move.REJECT, Move.APPROVE, "rejected already by alice", id="rejected"),
        pytest.param(Move.APPROVE, Move.APPROVE, None, id="approved-twice"),
        pytest.param(Move.REJECT, Move.REJECT, None, id="rejected-twice"),
    ],
)
def test_what_is_decided_is_decided(first: Move, then: Move, says: str | None) -> None:
    told = story(ASK)
    fail(told, *THREE)
    said: list[str] = []

    async def decide() -> None:
        faults, asked = told.doctor.faults, told.doctor.situation.zones.active("rack-a")
        assert asked is not None
        await faults.decide(asked.escalation_id, first, user="alice")
        try:
            await faults.decide(asked.escalation_id, then, user="bob")
        except RejectedError as error:
            said.append(error.detail)
        assert told.doctor.situation.is_ready

    told.note(46.0, decide)
    told.run()
    assert said == ([] if says is None else [f"the escalation is {says}"])


def test_nobody_decides_what_nobody_asks() -> None:
    told = story(ASK)
    said: list[str] = []

    async def decide() -> None:
        with pytest.raises(RejectedError) as caught:
            await told.doctor.faults.decide("none", Move.APPROVE, user="alice")
        said.append(caught.value.detail)

    told.note(1.0, decide)
    told.run()
    assert said == ["there is no such escalation"]


# --- restarts and other policies ---


@pytest.mark.parametrize("end", [30.0, 41.0, 99.0])
def test_a_restart_changes_nothing(end: float) -> None:
    """[I-7] Failures before it count, a question is asked still, and what is due is done."""
    told = story(ASK)
    fail(told, *THREE)
    told.at(end).crash()
    told.at(end + 0.5).start()
    told.run(until=200.0)
    assert of_zones(told) == [
        (40.0, "fault", "rack-a", "escalation to a zone"),
        (100.0, "fault_cleared", "rack-a", "escalation to a zone"),
    ]


HOST_NAMES = st.sampled_from([f"{rack}-{n}" for rack in "ab" for n in (1, 2, 3)])


@settings(deadline=None, max_examples=25)
@given(
    long_lists(st.tuples(st.integers(1, 30), HOST_NAMES), 20),
    st.lists(st.integers(0, 300), max_size=3, unique=True),
    st.sampled_from([ASK, AUTOMATIC]),
)
def test_restarts_at_any_time_change_nothing(
    changes: list[tuple[int, str]], crashes: list[int], zones: str
) -> None:
    """[I-7] The same is told in the same seconds, whatever of it Doctor had to remember."""
    zones += "  - {type: power, probation: PT5M, frequency: 2, distinct: 2, escalate: automatic}\n"
    heard = []
    for crashing in ((), crashes):
        told = story(zones)
        second, is_down = 0.0, set[str]()
        for gap, host in changes:
            second += gap
            told.at(second).push((host_up if host in is_down else host_down)(host, seen=second))
            is_down ^= {host}
        for moment in crashing:
            told.at(moment + 0.5).crash()
            told.at(moment + 0.6).start()
        told.run(until=second + 700.0)
        heard.append(of_zones(told))
    assert heard[0] == heard[1]


def test_what_was_due_while_doctor_was_away_is_done_at_its_return() -> None:
    told = story(AUTOMATIC)
    fail(told, *THREE)
    told.at(50.0).crash()
    told.at(500.0).start()
    told.run(until=505.0)
    assert of_zones(told)[1:] == [(500.0, "fault_cleared", "rack-a", "failure of a zone")]


def test_a_deadline_that_passed_while_doctor_was_away_has_passed() -> None:
    told = story(ASK)
    for second, host in THREE:
        told.at(second).push(host_down(host))
    told.at(50.0).crash()
    told.at(500.0).start()
    found: list[object] = []
    told.at(501.0).do(lambda: found.extend(states(told)))
    told.run()
    assert found == [(EscalationState.EXPIRED, "", False)]


def test_what_was_not_kept_does_not_count() -> None:
    """[I-29] The third failure cannot be kept; sent again it is the third still, and the question is asked once."""
    store = FallibleStore()
    told = Scenario(site(), policy=POLICY + ASK, store=store)
    told.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    for second, host in THREE[:2]:
        told.at(second).push(host_down(host))
    told.at(39.0).do(lambda: setattr(store, "breaks", 1))
    told.at(40.0).push(host_down("a-3", seen=40.0)).fails()
    told.at(45.0).push(host_down("a-3", seen=40.0))
    told.run()
    assert of_zones(told) == [(45.0, "fault", "rack-a", "escalation to a zone")]


def test_a_decision_that_was_not_kept_is_none() -> None:
    """[I-29] Asked again, and decided again."""
    store = FallibleStore()
    told = Scenario(site(), policy=POLICY + ASK, store=store)
    told.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    for second, host in THREE:
        told.at(second).push(host_down(host))
    told.at(45.0).do(lambda: setattr(store, "breaks", 1))

    async def decide() -> None:
        asked = told.doctor.situation.zones.active("rack-a")
        assert asked is not None
        with pytest.raises(StoreError):
            await told.doctor.faults.decide(asked.escalation_id, Move.APPROVE, user="alice")
        await told.doctor.situation.ready()
        assert told.doctor.situation.zones.active("rack-a") == asked

    told.note(46.0, decide)
    told.at(50.0).decide(Move.REJECT, "rack-a")
    told.run()
    assert of_zones(told)[1:] == [(50.0, "fault_cleared", "rack-a", "escalation to a zone")]


def test_what_a_policy_has_no_level_for_any_more_is_over() -> None:
    """And failures that counted in it are forgotten."""
    told = story(ASK)
    fail(told, *THREE)
    told.at(41.0).push(host_down("b-1", seen=41.0))
    told.at(50.0).apply_policy(POLICY)
    found: list[object] = []
    told.at(51.0).do(lambda: found.extend([states(told), dict(told.doctor.situation.zones.probations)]))
    told.run()
    assert found == [[(EscalationState.WITHDRAWN, "", True)], {}]
    assert of_zones(told)[1:] == [(50.0, "fault_cleared", "rack-a", "escalation to a zone")]


def test_escalations_are_forgotten_with_their_faults() -> None:
    """[HA 5.2] Those that are over; what is open is kept."""
    told = story(ASK)
    fail(told, *THREE, (41.0, "b-1"), (42.0, "b-2"), (43.0, "b-3"))
    told.at(46.0).decide(Move.REJECT, "rack-a")
    left: list[object] = []

    async def age() -> None:
        ageing = AgeingFlow(told.doctor.situation, told.clock, told.doctor.silences, days=30)
        await ageing.forget()
        left.append(len(told.doctor.situation.zones.escalations))
        await ageing.apply({Severity.CRITICAL: Keep(count=0)}, user="root")
        await ageing.forget()
        left.extend(one.resource_id for one in told.doctor.situation.zones.escalations.values())
        snapshot = await told.store.load(recent_events=0)
        left.append(len(snapshot.memos["escalation"]))

    told.note(50.0, age)
    told.run()
    assert left == [2, "rack-b", 1]


def test_a_zone_that_is_no_more_in_the_map_has_nothing_to_escalate() -> None:
    """[I-24] A machine is gone, and with it the failure that its parts have made."""
    process = PhysicalResource(id="process-1", type="process")
    before = ResourceMap(
        [*site().physical.values(), process],
        site().virtual.values(),
        [*site().relations, Relation("vm-a-1", "hosts", "process-1")],
    )
    policy = POLICY + "  - {type: virtual machine, probation: 60, frequency: 2, escalate: automatic}\n"
    told = Scenario(before, policy=policy)
    told.at(0.0).subscribe("red", project="red", asked=FAULTS)
    for second in (1.0, 2.0):
        told.at(second).push(down("compute.os.crash", "process-1", seen=second))
        told.at(second + 0.5).push(up("compute.os.crash", "process-1", seen=second + 0.5))
    told.at(10.0).load(ResourceMap([*site().physical.values()], [], site().relations))
    found: list[object] = []
    told.at(11.0).do(lambda: found.extend(states(told)))
    told.run(until=100.0)
    assert found == [(EscalationState.AUTOMATIC, "", True)]
    assert of_zones(told, "red")[0] == (2.0, "fault", "vm-a-1", "failure of a zone")


# --- planned work ---


def silence(told: Scenario, second: float, until: float, *hosts: str, **said: Any) -> None:
    told.at(second).silence(*hosts, until=until, **said)


@pytest.mark.requirement("G53")
@pytest.mark.parametrize(
    ("asked", "has_failed"),
    [
        pytest.param({}, False, id="a-host-at-a-time"),
        pytest.param({"audience": Audience.EVERYBODY}, False, id="for-everybody"),
        pytest.param({"matcher": SilenceMatcher(resource_type=("host",))}, False, id="by-a-type"),
        pytest.param({"matcher": SilenceMatcher(fault_type=("host d*",))}, False, id="by-a-fault"),
        pytest.param({"matcher": SilenceMatcher(project=("red",))}, True, id="an-owners-alarms-only"),
    ],
)
def test_planned_work_on_the_parts_of_a_zone_is_no_failure_of_it(
    asked: dict[str, Any], has_failed: bool
) -> None:
    told = story(AUTOMATIC)
    if "matcher" in asked:
        silence(told, 0.5, 50.0, **asked)
    else:
        silence(told, 0.5, 50.0, "a-1", "a-2", **asked)
    fail(told, *THREE)
    told.run(until=58.0)
    assert [one[1:3] for one in of_zones(told)] == [("fault", "rack-a")] * has_failed


def test_what_an_owner_silences_of_his_own_counts_all_the_same() -> None:
    """No tenant can keep the Administrator from seeing that a rack fails."""
    told = story("  - {type: host, probation: PT60S, frequency: 2, escalate: automatic}\n")
    silence(told, 0.5, 50.0, project="red", audience=Audience.PROJECT, everything=True)
    for second in (1.0, 20.0):
        told.at(second).push(down(INSTANCE, "vm-a-1", seen=second))
        told.at(second + 5).push(up(INSTANCE, "vm-a-1", seen=second + 5))
    told.run(until=30.0)
    assert [one[1:3] for one in of_zones(told)] == [("fault", "a-1")]


def test_what_began_as_planned_stays_so_and_what_began_before_stays_a_failure() -> None:
    """Also when the silence has ended meanwhile, was ended early, and Doctor has been away."""
    told = story(AUTOMATIC)
    told.at(1.0).push(host_down("a-1", seen=1.0))
    silence(told, 2.0, 100.0, "a-*", name="work")
    told.at(3.0).push(host_down("a-2", seen=3.0))
    told.at(10.0).end_silence("work")
    told.at(11.0).crash()
    told.at(12.0).start()
    told.at(13.0).push(down("compute.host.down", "a-2", severity="minor", seen=13.0))
    told.at(14.0).push(host_down("a-3", seen=14.0))
    told.at(20.0).do(lambda: found.append(states(told)))
    found: list[Any] = []
    told.at(25.0).push(host_down("a-4", seen=25.0))
    told.at(26.0).push(host_up("a-1", seen=26.0), host_down("a-1", seen=26.1))
    told.run(until=30.0)
    assert found == [[]]
    assert [one[:3] for one in of_zones(told)] == [(25.0, "fault", "rack-a")]
    assert details(told, "failure of a zone")["fault_details"]["parts"] == ["a-1", "a-3", "a-4"]


def test_a_failure_on_top_of_planned_work_counts() -> None:
    told = story("  - {type: rack, probation: PT60S, frequency: 1, escalate: automatic}\n")
    silence(told, 0.5, 50.0, "a-1", matcher=SilenceMatcher(resource_id=("a-1",), fault_type=("host down",)))
    told.at(1.0).push(host_down("a-1", seen=1.0))
    told.at(5.0).push(down("compute.os.crash", "a-1", seen=5.0))
    told.run(until=8.0)
    assert [one[:3] for one in of_zones(told)] == [(5.0, "fault", "rack-a")]


@settings(deadline=None, max_examples=25)
@given(
    long_lists(st.tuples(st.integers(1, 20), HOST_NAMES), 16),
    st.sets(HOST_NAMES, max_size=3),
    st.sampled_from([ASK, AUTOMATIC]),
)
def test_zones_take_planned_work_for_nothing_at_all(
    changes: list[tuple[int, str]], planned: set[str], zones: str
) -> None:
    """Zones fail and are well again as if nobody had worked on anything."""
    heard = []
    for is_left_out in (False, True):
        told = story(zones)
        if planned:
            told.at(0.5).silence(*sorted(planned), until=10_000.0)
        second, is_down = 0.0, set[str]()
        for gap, host in changes:
            second += gap
            if is_left_out and host in planned:
                continue
            told.at(second).push((host_up if host in is_down else host_down)(host, seen=second))
            is_down ^= {host}
        told.run(until=second + 200.0)
        heard.append(of_zones(told))
    assert heard[0] == heard[1]
