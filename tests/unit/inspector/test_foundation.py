"""Whether the policy has a rule behind what was concluded."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from doctor.inspector.foundation import is_founded, unfounded
from doctor.inspector.suspicion import DOMAIN_FAULT, suspected_type
from doctor.inspector.vantage import MONITOR_ISOLATED
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault, ResourceState, Severity
from doctor.model.policy import Aggregation, FailurePolicy, RecommendedAction, SelfIsolation, Storm, Suspicion
from tests.unit.model.nfvis import fault_on

MINUTE = timedelta(minutes=1)
AGGREGATE = Aggregation(
    name="three",
    within=MINUTE,
    fault_type="host degraded",
    severity=Severity.CRITICAL,
    state=ResourceState.ERROR,
    probable_cause="indeterminate",
    recommended_action=RecommendedAction.NONE,
)
SUSPECT = Suspicion(name="hosts", supplier_type="host", kind="hosts", within=MINUTE, severity=Severity.MAJOR)

EMPTY = FailurePolicy(version=1, self_isolation=None)
FULL = replace(
    EMPTY, aggregate=(AGGREGATE,), suspect=(SUSPECT,), storm=Storm(), self_isolation=SelfIsolation()
)
DERIVED = [
    pytest.param("host degraded", replace(EMPTY, aggregate=(AGGREGATE,)), id="aggregate"),
    pytest.param(suspected_type("host"), replace(EMPTY, suspect=(SUSPECT,)), id="suspect"),
    pytest.param(DOMAIN_FAULT, replace(EMPTY, storm=Storm()), id="storm"),
    pytest.param(MONITOR_ISOLATED, replace(EMPTY, self_isolation=SelfIsolation()), id="self-isolation"),
]


def derived(fault_type: str) -> Fault:
    return replace(fault_on("compute-1"), fault_type=fault_type, is_derived=True)


@pytest.mark.parametrize(("fault_type", "its_own"), DERIVED)
def test_a_derived_fault_stands_by_the_rule_for_its_type(fault_type: str, its_own: FailurePolicy) -> None:
    fault = derived(fault_type)
    assert is_founded(fault, its_own)
    assert is_founded(fault, FULL)
    assert not is_founded(fault, EMPTY)


def test_a_rule_for_another_type_does_not_hold_it() -> None:
    assert not is_founded(derived("rack degraded"), FULL)
    assert not is_founded(derived(suspected_type("switch")), FULL)


def test_what_an_event_has_raised_needs_no_rule() -> None:
    """An event ends it."""
    assert is_founded(fault_on("compute-1"), EMPTY)


def test_of_the_open_faults_only_the_unfounded_are_named() -> None:
    lone = AlarmedFault(fault=replace(derived(DOMAIN_FAULT), fault_key="lone"), alarms={})
    book = AlarmBook([lone, AlarmedFault(fault=fault_on("compute-1"), alarms={})])
    assert unfounded(book, EMPTY) == [lone]
    assert unfounded(book, FULL) == []
