"""How long the past is kept [HA 5.2]."""

from datetime import timedelta

from doctor.model.ageing import AGEING_SEVERITIES, Ageing, Keep, Limit, all_of
from doctor.model.fault import Severity
from tests.unit.model.nfvis import at


def test_days_and_numbers_become_limits() -> None:
    ageing = Ageing(
        {
            Severity.CRITICAL: Keep(days=2, count=7),
            Severity.MAJOR: Keep(),
            Severity.MINOR: Keep(days=1e9),  # longer than there is time
        }
    )
    assert ageing.limits(at(0)) == {
        Severity.CRITICAL: Limit(at(0) - timedelta(days=2), 7),
        Severity.MAJOR: Limit(None, None),
        Severity.MINOR: Limit(None, None),
    }


def test_all_that_can_be_is_aged_and_the_end_of_a_fault_is_no_severity() -> None:
    assert [severity.perceived for severity in AGEING_SEVERITIES] == [
        "critical",
        "major",
        "minor",
        "warning",
        "indeterminate",
    ]
    assert all_of(at(0)) == dict.fromkeys(Severity, Limit(at(0), None))
