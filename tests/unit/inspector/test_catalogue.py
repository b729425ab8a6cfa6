"""The fault catalogue and the policy that ship say what the annex of the requirements says."""

from datetime import UTC, datetime

import pytest

from doctor.inspector.catalogue import default_catalogue, default_policy_text, parse_catalogue
from doctor.inspector.condition_text import CLEAR_WORDS
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Clear, Raise, Selector
from doctor.model.errors import RejectedError
from doctor.model.event import RawEvent
from doctor.model.fault import EventType, ResourceState, Severity
from doctor.model.policy import RecommendedAction, Ways

CATALOGUE = default_catalogue()
REPORT = parse_policy(default_policy_text(), CATALOGUE)
SELECTOR = Selector(REPORT.policy)

# X.733 (as X.721 lists them) and M.3100, which 3GPP TS 32.111 took over: those that the catalogue uses.
PROBABLE_CAUSES = {
    "adapter error",
    "application subsystem failure",
    "backplane failure",
    "communications subsystem failure",
    "disk failure",
    "equipment malfunction",
    "heating vent cooling system problem",
    "input output device error",
    "loss of redundancy",
    "loss of signal",
    "performance degraded",
    "power supply failure",
    "processor problem",
    "reinitialized",
    "software program abnormally terminated",
    "software program error",
    "threshold crossed",
    "timeout expired",
    "underlying resource unavailable",
}

SHIPPED_TYPES = [
    "compute.host.down",
    "compute.host.up",
    "compute.cpu.failure",
    "compute.memory.failure",
    "compute.host.nic.error",
    "compute.disk.crash",
    "compute.disk.aging",
    "compute.storage_controller.failure",
    "compute.power.failure",
    "compute.power.degraded",
    "compute.chassis.degraded",
    "compute.mainboard.failure",
    "compute.os.crash",
    "hypervisor.restarted",
    "hypervisor.failure",
    "hypervisor.unreachable",
    "network.controller.failure",
    "network.controller.degraded",
    "network.switch.down",
    "network.port.down",
    "storage.backend.degraded",
    "compute.instance.down",
    "compute.instance.error",
    "vim.service.failure",
    "vim.host.forced_down",
    "vim.host.disabled",
    "monitor.silent",
    "consumer.unreachable",
    "fencing.unready",
    "fencing.needs_human",
    "service.level.availability",
    "service.level.recovery",
    "service.level.impact",
    "service.level.failures",
]

# The rows of the annex: where, which type of event, which severities it has, which actions it asks for.
ANNEX = [
    ("D 7 compute hardware row 1", "compute.cpu.failure", "critical", "switch_to_hot_standby"),
    ("D 7 compute hardware row 2", "compute.memory.failure", "critical", "switch_to_hot_standby"),
    ("D 7 compute hardware row 3", "compute.host.nic.error", "critical", "switch_to_hot_standby"),
    ("D 7 compute hardware row 4", "compute.disk.crash", "indeterminate", "inform_oam"),
    (
        "D 7 compute hardware row 5",
        "compute.storage_controller.failure",
        "critical",
        "live_migrate switch_to_hot_standby",
    ),
    ("D 7 compute hardware row 6", "compute.power.failure", "critical", "switch_to_hot_standby"),
    ("D 7 compute hardware row 7", "compute.power.degraded", "warning", "live_migrate"),
    ("D 7 compute hardware row 8", "compute.chassis.degraded", "warning", "live_migrate"),
    ("D 7 compute hardware row 9", "compute.mainboard.failure", "critical", "switch_to_hot_standby"),
    ("D 7 compute hardware row 10", "compute.os.crash", "critical", "switch_to_hot_standby"),
    ("D 7 hypervisor row 1", "hypervisor.restarted", "critical", "switch_to_hot_standby"),
    ("D 7 hypervisor row 2", "hypervisor.failure", "warning critical", "evacuate switch_to_hot_standby"),
    ("D 7 hypervisor row 3", "hypervisor.unreachable", "warning", "rebuild"),
    ("D 7 network row 1", "network.controller.failure", "critical", "switch_to_hot_standby"),
    ("D 7 network row 1", "network.controller.degraded", "critical", "reconfigure_network"),
    ("D 7 network row 2", "network.switch.down", "warning critical", "live_migrate evacuate"),
    ("D draft table 1 disk aging", "compute.disk.aging", "indeterminate", "inform_oam"),
]


def event(event_type: str, **details: str) -> RawEvent:
    return RawEvent(
        time=datetime(2026, 3, 4, tzinfo=UTC),
        type=event_type,
        resource="compute-1",
        resource_type=details.get("resource_type", ""),
        status=details.get("status", ""),
        severity=details.get("severity", ""),
        raw_details=b"{%s}" % b",".join(b'"%s":"%s"' % (k.encode(), v.encode()) for k, v in details.items()),
    )


def raised(event_type: str, **details: str) -> Raise:
    selected = SELECTOR.select(event(event_type, **details))
    assert isinstance(selected, Raise)
    return selected


@pytest.mark.requirement(
    "C7",
    "E1",
    "E2",
    "E3",
    "E4",
    "E5",
    "E6",
    "E7",
    "E8",
    "E9",
    "E10",
    "E11",
    "E12",
    "E13",
    "E14",
    "E15",
    "E22",
)
@pytest.mark.parametrize(
    ("cite", "event_type", "severities", "actions"), ANNEX, ids=[row[1] for row in ANNEX]
)
def test_each_row_of_the_annex_is_there_with_its_severities_and_actions(
    cite: str, event_type: str, severities: str, actions: str
) -> None:
    row = CATALOGUE.rows[event_type]
    assert cite in row.cites
    assert {row.severity, *(grade.severity or row.severity for grade in row.grades)} == {
        Severity[name.upper()] for name in severities.split()
    }
    assert {
        row.recommended_action,
        *(grade.recommended_action or row.recommended_action for grade in row.grades),
    } == {RecommendedAction(action) for action in actions.split()}


@pytest.mark.requirement("C7")
def test_no_row_of_the_annex_is_forgotten() -> None:
    rows = {
        *(f"D 7 compute hardware row {number}" for number in range(1, 11)),
        *(f"D 7 hypervisor row {number}" for number in range(1, 4)),
        *(f"D 7 network row {number}" for number in range(1, 3)),
        "D draft table 1 disk aging",
    }
    assert rows <= {cite for row in CATALOGUE.rows.values() for cite in row.cites}


def test_every_shipped_type_of_event_is_there_and_no_other() -> None:
    assert sorted(CATALOGUE.types) == sorted(SHIPPED_TYPES)


@pytest.mark.requirement("D44")
@pytest.mark.parametrize("row", CATALOGUE.rows.values(), ids=lambda row: row.type)
def test_each_row_says_all_that_a_person_needs(row: object) -> None:
    found = CATALOGUE.rows[getattr(row, "type", "")]
    assert found.fault_type
    assert found.detection
    assert found.cites
    assert found.repair.endswith(".")
    assert found.probable_cause in PROBABLE_CAUSES
    assert all(grade.condition and grade.when for grade in found.grades)


@pytest.mark.requirement("D17")
def test_each_fault_type_means_one_thing() -> None:
    assert len({row.fault_type for row in CATALOGUE.rows.values()}) == len(CATALOGUE.rows)


def test_the_shipped_policy_has_a_rule_for_each_row_and_nothing_to_warn_of() -> None:
    assert REPORT.warnings == ()
    assert [rule.when.type for rule in REPORT.policy.faults] == [(name,) for name in CATALOGUE.rows]


def test_a_host_that_is_down_is_what_the_messages_of_the_interface_say() -> None:
    rule = raised("compute.host.down", status="down").rule
    assert (rule.name, rule.fault_type, rule.state) == ("host-down", "host down", ResourceState.DOWN)
    assert (rule.severity, rule.event_type) == (Severity.CRITICAL, EventType.EQUIPMENT)
    assert rule.probable_cause == "underlying resource unavailable"
    assert rule.recommended_action is RecommendedAction.SWITCH_TO_HOT_STANDBY
    assert rule.resource.type == "host"


@pytest.mark.requirement("D44", "E17")
@pytest.mark.parametrize(
    ("event_type", "details", "severity", "state", "action"),
    [
        pytest.param("hypervisor.failure", {}, "critical", "error", "switch_to_hot_standby", id="hypervisor"),
        pytest.param(
            "hypervisor.failure",
            {"status": "Degraded"},
            "warning",
            "normal",
            "evacuate",
            id="degraded-hypervisor",
        ),
        pytest.param(
            "hypervisor.failure",
            {"severity": "warn"},
            "warning",
            "normal",
            "evacuate",
            id="hypervisor-warning",
        ),
        pytest.param("network.switch.down", {}, "warning", "down", "live_migrate", id="switch"),
        pytest.param(
            "network.switch.down", {"redundancy": "lost"}, "critical", "down", "evacuate", id="only-switch"
        ),
        pytest.param(
            "compute.storage_controller.failure",
            {"storage_accessible": "true"},
            "critical",
            "error",
            "live_migrate",
            id="storage-accessible",
        ),
        pytest.param(
            "compute.host.nic.error", {}, "critical", "error", "switch_to_hot_standby", id="card-of-a-host"
        ),
        pytest.param(
            "compute.host.nic.error",
            {"resource_type": "nic"},
            "critical",
            "down",
            "switch_to_hot_standby",
            id="card-itself",
        ),
        pytest.param("network.port.down", {}, "warning", "normal", "live_migrate", id="port-of-something"),
        pytest.param(
            "network.port.down",
            {"resource_type": "virtual NIC"},
            "major",
            "down",
            "live_migrate",
            id="port-itself",
        ),
        pytest.param("storage.backend.degraded", {}, "warning", "normal", "inform_oam", id="storage"),
        pytest.param(
            "storage.backend.degraded",
            {"status": "HEALTH_ERR"},
            "critical",
            "error",
            "switch_to_hot_standby",
            id="storage-gone",
        ),
        pytest.param("vim.service.failure", {}, "major", "normal", "inform_oam", id="service-on-a-host"),
        pytest.param(
            "vim.service.failure",
            {"service": "nova-compute"},
            "warning",
            "normal",
            "inform_oam",
            id="agent-on-a-host",
        ),
        pytest.param(
            "vim.service.failure",
            {"resource_type": "vim_service"},
            "major",
            "error",
            "inform_oam",
            id="service-itself",
        ),
    ],
)
def test_one_type_of_event_means_different_things_by_condition(
    event_type: str, details: dict[str, str], severity: str, state: str, action: str
) -> None:
    found = raised(event_type, **details)
    assert found.severity.perceived == severity
    assert found.rule.state == state
    assert found.rule.recommended_action == action


@pytest.mark.parametrize("status", [*CLEAR_WORDS, "UP", "Ok"])
@pytest.mark.parametrize("event_type", CATALOGUE.rows)
def test_each_fault_clears_by_its_status(event_type: str, status: str) -> None:
    selected = SELECTOR.select(event(event_type, status=status, severity="critical"))
    assert isinstance(selected, Clear)
    assert {ended.fault_type for ended in selected.faults} == {CATALOGUE.rows[event_type].fault_type}


@pytest.mark.parametrize("severity", ["cleared", "OKAY", "0"])
def test_a_severity_that_means_cleared_clears(severity: str) -> None:
    selected = SELECTOR.select(event("compute.cpu.failure", status="weird", severity=severity))
    assert isinstance(selected, Clear)


@pytest.mark.parametrize("details", [{}, {"status": "up"}], ids=["bare", "with-status"])
def test_a_host_that_is_up_ends_its_being_down(details: dict[str, str]) -> None:
    selected = SELECTOR.select(event("compute.host.up", **details))
    assert isinstance(selected, Clear)
    assert [(ended.resource, ended.fault_type) for ended in selected.faults] == [("compute-1", "host down")]


@pytest.mark.requirement("E16")
def test_information_on_a_host_stays_with_the_administrator() -> None:
    [rule] = [
        rule
        for rule in REPORT.policy.propagate
        if (rule.supplier_type, rule.kind, rule.state) == ("host", "hosts", "normal")
    ]
    assert CATALOGUE.rows["compute.disk.crash"].severity < rule.min_severity
    assert CATALOGUE.rows["compute.chassis.degraded"].severity >= rule.min_severity
    assert (rule.to_state, rule.severity) == (ResourceState.NORMAL, None)


@pytest.mark.parametrize(("supplier_type", "kind"), [("switch", "connects"), ("power", "powers")])
def test_redundant_suppliers_count_when_all_are_lost(supplier_type: str, kind: str) -> None:
    rules = {
        rule.ways: rule
        for rule in REPORT.policy.propagate
        if (rule.supplier_type, rule.kind, rule.state) == (supplier_type, kind, "down")
    }
    assert rules.keys() == {Ways.ALL, Ways.SOME}
    assert rules[Ways.ALL].severity is Severity.CRITICAL
    assert rules[Ways.ALL].to_state is not ResourceState.NORMAL
    assert (rules[Ways.SOME].to_state, rules[Ways.SOME].severity) == (ResourceState.NORMAL, Severity.WARNING)


def test_a_catalogue_with_flaws_is_refused_with_their_places() -> None:
    with pytest.raises(RejectedError) as rejected:
        parse_catalogue("faults: [{type: a.b, severity: bad, state: dwn}]\nclearing: [{type: x}]")
    pointers = {flaw.pointer for flaw in rejected.value.flaws}
    assert {"/faults/0/severity", "/faults/0/state", "/faults/0/cites", "/clearing/0/clears"} <= pointers
