"""The logs of a service that speaks Redfish: what is new in them, and what it means."""

from typing import Any

import pytest

from doctor.drivers.monitors.redfish.log import LogReader, News, records


def entry(number: int, **more: Any) -> dict[str, Any]:
    said = {
        "Id": str(number),
        "Severity": "Critical",
        "Created": "1970-01-01T00:15:44Z",
        "Message": "it failed",
    }
    return {**said, **more}


def test_what_was_there_before_is_history() -> None:
    assert LogReader().read([entry(1), entry(2)]) == News((), 0)


def test_what_is_new_is_news_once() -> None:
    log = LogReader()
    log.read([])
    assert log.read([entry(1)]).entries == [entry(1)]
    assert log.read([entry(1)]).entries == []
    assert log.read([entry(1), entry(2), entry(3)]).entries == [entry(2), entry(3)]


def test_a_log_that_wraps_loses_what_nobody_has_read() -> None:
    log = LogReader()
    log.read([entry(1), entry(2), entry(3)])
    assert log.read([entry(3), entry(4)]) == News([entry(4)], 0)
    assert log.read([entry(9), entry(10)]) == News([entry(9), entry(10)], 4)


def test_a_log_that_was_cleared_begins_anew() -> None:
    log = LogReader()
    log.read([entry(1), entry(2)])
    assert log.read([]) == News([], 0)
    again = entry(1, Message="it failed again")
    assert log.read([again]) == News([again], 0)


def test_a_log_that_was_cleared_between_two_looks_begins_anew() -> None:
    log = LogReader()
    log.read([entry(1), entry(2)])
    other = entry(1, Message="another")
    assert log.read([other]) == News([other], 0)


def test_an_entry_that_is_resolved_is_news() -> None:
    log = LogReader()
    log.read([entry(1)])
    assert log.read([entry(1, Resolved=True)]).entries == [entry(1, Resolved=True)]


@pytest.mark.parametrize("number", ["", "x", "9" * 400, "²"])
def test_numbers_that_are_none_are_no_trouble(number: str) -> None:
    log = LogReader()
    log.read([entry(1)])
    assert log.read([{**entry(2), "Id": number}]).lost == 0


@pytest.mark.parametrize(
    ("said", "kind", "is_over"),
    [
        pytest.param({"SensorType": "Memory"}, "compute.memory.failure", False, id="memory"),
        pytest.param({"SensorType": "Memory", "Severity": "Warning"}, "bmc.log", False, id="corrected"),
        pytest.param(
            {"SensorType": "Memory", "EntryCode": "Deassert", "Severity": "OK"},
            "compute.memory.failure",
            True,
            id="deasserted",
        ),
        pytest.param({"SensorType": "Fan"}, "bmc.log", False, id="what-sensors-show"),
        pytest.param({"MessageId": "StorageDevice.1.1.DriveFailure"}, "compute.disk.crash", False, id="disk"),
        pytest.param(
            {"MessageId": "StorageDevice.1.1.DriveFailureCleared", "Severity": "OK"},
            "compute.disk.crash",
            True,
            id="disk-again",
        ),
        pytest.param(
            {"MessageId": "StorageDevice.1.1.DrivePredictiveFailure", "Severity": "Warning"},
            "compute.disk.aging",
            False,
            id="disk-soon",
        ),
        pytest.param({"MessageId": "Vendor.9.Odd", "SensorType": ["?"]}, "bmc.log", False, id="unknown"),
    ],
)
def test_an_entry_is_of_a_kind(said: dict[str, Any], kind: str, is_over: bool) -> None:
    (record,) = records([entry(1, **said)])
    assert (record.finding.type, record.is_over) == (kind, is_over)


def test_what_ends_it_is_about_the_same() -> None:
    disk = {"Links": {"OriginOfCondition": {"@odata.id": "/redfish/v1/Systems/1/Storage/1/Drives/3"}}}
    began, over = records(
        [
            entry(1, MessageId="StorageDevice.1.1.DriveFailure", **disk),
            entry(2, MessageId="StorageDevice.1.1.DriveFailureCleared", Severity="OK", **disk),
        ]
    )
    assert began.finding.part == over.finding.part == "log /redfish/v1/Systems/1/Storage/1/Drives/3"


def test_what_is_no_trouble_is_left_out() -> None:
    assert list(records([entry(1, Severity="OK"), entry(2, Severity=None), {}])) == []
