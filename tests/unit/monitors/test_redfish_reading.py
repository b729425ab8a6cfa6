"""What a service that speaks Redfish answers, as findings."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.bmc.findings import Finding, printable
from doctor.drivers.monitors.redfish.reading import Answers, read
from doctor.model.fault import Severity

SAMPLES = Path(__file__).parents[2] / "samples" / "redfish"
SYSTEM = json.loads((SAMPLES / "system.json").read_text())
THERMAL = json.loads((SAMPLES / "thermal.json").read_text())
PATH = SYSTEM["@odata.id"]
BAD, GOOD = {"State": "Enabled", "Health": "Critical"}, {"State": "Enabled", "Health": "OK"}


def found(**more: Any) -> list[Finding]:
    answers = Answers(PATH, **{"system": SYSTEM, **more})
    return list(read(answers).findings)


def hot(celsius: float | None, **more: Any) -> dict[str, Any]:
    one = {"Name": "Inlet", "MemberId": "0", "Status": GOOD, "ReadingCelsius": celsius}
    limits = {"UpperThresholdNonCritical": 70, "UpperThresholdCritical": 90, "UpperThresholdFatal": 96}
    return {"Temperatures": [{**one, **limits, **more}]}


def test_a_host_that_is_well_has_nothing() -> None:
    look = read(Answers(PATH, SYSTEM, thermal=[THERMAL]))
    assert (list(look.findings), look.flaws) == ([], 0)


def test_power_that_is_off_is_a_host_that_is_down() -> None:
    (finding,) = found(system={**SYSTEM, "PowerState": "Off"})
    assert (finding.type, finding.part, finding.severity) == ("compute.host.down", "power", Severity.CRITICAL)


@pytest.mark.parametrize("state", ["On", "PoweringOff", "PoweringOn", "Paused", None])
def test_only_off_is_off(state: str | None) -> None:
    assert found(system={**SYSTEM, "PowerState": state}) == []


@pytest.mark.parametrize(
    ("celsius", "severity"),
    [
        pytest.param(69.9, None, id="well"),
        pytest.param(70, Severity.WARNING, id="non-critical"),
        pytest.param(92, Severity.MAJOR, id="critical"),
        pytest.param(96, Severity.CRITICAL, id="fatal"),
        pytest.param(None, None, id="no-reading"),
    ],
)
def test_a_temperature_is_as_bad_as_the_limit_that_it_has_crossed(
    celsius: float | None, severity: Severity | None
) -> None:
    findings = found(thermal=[hot(celsius)])
    assert [one.severity for one in findings] == ([] if severity is None else [severity])
    assert all(
        (one.type, one.part) == ("compute.chassis.degraded", "temperature Inlet 0") for one in findings
    )


def test_what_is_stated_and_what_is_crossed_both_count() -> None:
    (finding,) = found(thermal=[hot(75, Status=BAD)])
    assert finding.severity is Severity.MAJOR
    (finding,) = found(thermal=[hot(20, Status=BAD)])
    assert finding.details["threshold"] is None


def test_a_limit_of_zero_is_none() -> None:
    """Some BMCs write that where a sensor has no limit."""
    assert found(thermal=[hot(40, UpperThresholdNonCritical=0, UpperThresholdFatal=0)]) == []


def test_an_empty_slot_is_no_failure() -> None:
    absent = {"State": "Absent", "Health": "Critical"}
    assert found(thermal=[hot(99, Status=absent)], power=[{"PowerSupplies": [{"Status": absent}]}]) == []


def test_what_is_of_another_system_in_the_same_chassis_is_not_ours() -> None:
    """The sample has a sensor for each of two systems."""
    thermal = {
        "Temperatures": [
            {**one, "ReadingCelsius": 60} if one["Name"] == "CPU Temp" else one
            for one in THERMAL["Temperatures"]
        ]
    }
    assert [one.part for one in found(thermal=[thermal])] == ["temperature CPU Temp 0"]


def test_parts_are_told_by_what_they_are() -> None:
    supply = {"Name": "PSU", "Status": BAD}
    findings = found(
        system={
            **SYSTEM,
            "MemorySummary": {"Status": BAD},
            "ProcessorSummary": {"Status": {"Health": "Warning"}},
        },
        thermal=[
            {
                "Fans": [{"FanName": "Fan", "MemberId": 7, "Reading": 100, "LowerThresholdCritical": 600}],
                "Redundancy": [{"Name": "Fans", "Status": BAD}],
            }
        ],
        power=[
            {
                "PowerSupplies": [{**supply, "MemberId": "0"}, {**supply, "MemberId": "1"}],
                "Voltages": [{"Name": "P12V", "ReadingVolts": 13.5, "UpperThresholdNonCritical": 13}],
                "Redundancy": [{"Name": "PSUs", "Status": {"Health": "Warning"}}],
            }
        ],
    )
    assert {(one.type, one.part, one.severity) for one in findings} == {
        ("compute.memory.failure", "memory", Severity.CRITICAL),
        ("compute.cpu.corrected", "processors", Severity.WARNING),
        ("compute.chassis.degraded", "fan Fan 7", Severity.MAJOR),
        ("compute.chassis.degraded", "cooling redundancy Fans", Severity.MAJOR),
        ("compute.power.degraded", "power supply PSU 0", Severity.MAJOR),
        ("compute.power.degraded", "power supply PSU 1", Severity.MAJOR),
        ("compute.power.degraded", "voltage P12V", Severity.WARNING),
        ("compute.power.degraded", "power redundancy PSUs", Severity.WARNING),
    }


def test_the_newer_way_has_each_part_for_itself() -> None:
    sensor = {
        "Name": "Inlet",
        "Id": "s1",
        "ReadingType": "Temperature",
        "Reading": 50,
        "ReadingUnits": "Cel",
        "Thresholds": {"UpperCaution": {"Reading": 45}},
    }
    findings = found(
        fans=[{"Name": "Fan 1", "Id": "1", "Status": BAD}],
        supplies=[{"Name": "PSU 1", "Id": "1", "Status": BAD}],
        sensors=[sensor, {**sensor, "ReadingType": "Power"}],
    )
    assert [(one.type, one.part) for one in findings] == [
        ("compute.chassis.degraded", "fan Fan 1 1"),
        ("compute.power.degraded", "power supply PSU 1 1"),
        ("compute.chassis.degraded", "temperature Inlet s1"),
    ]


def test_the_whole_is_told_only_if_no_part_is_known_to_be_the_cause() -> None:
    ill = {**SYSTEM, "Status": {"State": "Enabled", "Health": "Warning"}}
    assert [one.part for one in found(system=ill, chassis=[{"Status": BAD}])] == ["system", "chassis 0"]
    assert [one.part for one in found(system=ill, thermal=[hot(75)])] == ["temperature Inlet 0"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"system": {**SYSTEM, "PowerState": 1}}, id="power"),
        pytest.param({"system": {**SYSTEM, "Status": {"Health": "Superb"}}}, id="health"),
        pytest.param({"system": {**SYSTEM, "Status": "OK"}}, id="status"),
        pytest.param({"thermal": [{"Temperatures": 3}]}, id="no-list"),
        pytest.param({"thermal": [{"Temperatures": ["x"]}]}, id="no-sensor"),
        pytest.param({"thermal": [hot(10, UpperThresholdFatal="96")]}, id="a-limit-of-text"),
        pytest.param({"thermal": [hot(1e300)]}, id="no-temperature"),
    ],
)
def test_what_makes_no_sense_is_counted_and_wrong_is_nothing(more: dict[str, Any]) -> None:
    look = read(Answers(PATH, **{"system": SYSTEM, **more}))
    assert list(look.findings) == []
    assert look.flaws


def test_more_sensors_than_there_can_be_are_not_all_taken() -> None:
    look = read(Answers(PATH, SYSTEM, thermal=[{"Temperatures": [{}] * 600}]))
    assert look.flaws == 600 - 512


scalar = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "OK", "Critical", "\x00" * 9])
)
KEYS = [
    "PowerState",
    "Status",
    "Health",
    "State",
    "MemorySummary",
    "Temperatures",
    "Fans",
    "Name",
    "MemberId",
]
KEYS += ["ReadingCelsius", "Reading", "UpperThresholdFatal", "RelatedItem", "Thresholds", "ReadingType"]
flat = st.dictionaries(st.sampled_from(KEYS), scalar, max_size=4)
document = st.dictionaries(
    st.sampled_from(KEYS), scalar | flat | st.lists(flat | scalar, max_size=3), max_size=6
)


@given(document, document, document)
def test_nothing_that_is_answered_is_more_than_a_flaw(system: Any, thermal: Any, sensor: Any) -> None:
    for finding in read(
        Answers(PATH, system, [system], [thermal], [thermal], [sensor], [sensor], [sensor])
    ).findings:
        assert printable(finding.part).isprintable()
        assert finding.part == printable(finding.part, 400)
