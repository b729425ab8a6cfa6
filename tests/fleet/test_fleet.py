"""Hosts that fail, BMCs that lie and Doctors that die, all of them real: no machine runs twice, no healthy host is cut off.

A seed decides what happens. ``DOCTOR_FLEET=17,23,100-199 pytest tests/fleet`` plays some, ``DOCTOR_RACKS`` so many at a time.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from doctor.testing.fence import Mode
from doctor.testing.running import RunningDoctor
from tests.figures import Figures
from tests.fleet import planted
from tests.fleet.episode import Episode
from tests.fleet.fleet import Fleet
from tests.fleet.plan import IPMI, Fault, Plan, Recovery, Return
from tests.fleet.planted import Bug
from tests.fleet.tally import table

pytestmark = pytest.mark.needs("root", "netns", "ipmi_sim")

USUAL = "0-999" if os.environ.get("DOCTOR_SOAK") else "0-49"
RACKS = int(os.environ.get("DOCTOR_RACKS", "8"))


def seeds(text: str) -> list[int]:
    """Return the seeds of a list such as 17,23,100-199."""
    parts = [part.partition("-") for part in text.split(",")]
    return [seed for first, _, last in parts for seed in range(int(first), int(last or first) + 1)]


PLANS = [Plan.of(seed) for seed in seeds(os.environ.get("DOCTOR_FLEET") or USUAL)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(min(RACKS, len(PLANS)), tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.mark.requirement("B22")
def test_no_machine_runs_twice_and_no_healthy_host_is_cut_off(fleet: Fleet, figures: Figures) -> None:
    """[I-12, I-13, I-15, I-16, I-17]"""
    results = fleet.play_all(PLANS)
    figures(table(results))
    wrong = [one.wrong for one in results if one.wrong]
    assert not wrong, "\n\n".join(wrong)


def with_bug(bug: Bug) -> type[Episode]:
    """Return episodes whose Doctor has a bug."""
    doctor = type("BuggyDoctor", (RunningDoctor,), {"program": (planted.__file__, bug.value)})
    return type("BuggyEpisode", (Episode,), {"doctor_class": doctor})


FROZEN = Plan(seed=-1, fault=Fault.FREEZE, levels=(IPMI,), recovery=Recovery.OWNER_AT_ONCE)
HASTY = replace(FROZEN, returns=Return.AT_ONCE)
PLANTED = {
    Bug.TRUSTS_THE_ACKNOWLEDGEMENT: (replace(FROZEN, mode=Mode.STUCK), {"I-16"}),
    # Who looks away for a moment misses that it counted as isolated, and sees what came of it.
    Bug.TRUSTS_THE_READING: (replace(FROZEN, mode=Mode.LYING), {"I-15", "I-16"}),
    Bug.DOES_NOT_WAIT: (FROZEN, {"I-15"}),
    Bug.ONE_SENSOR: (replace(FROZEN, fault=Fault.SLANDER), {"I-12"}),
    Bug.POWER_BEFORE_RECONCILIATION: (HASTY, {"I-15"}),
    Bug.NONE_IN_A_SLOW_CLOUD: (HASTY, {""}),  # what the bug before needs to be seen is not the bug
}


def test_every_planted_bug_is_found(fleet: Fleet, figures: Figures) -> None:
    """The mutation gate: a fleet that does not see a bug proves nothing about it."""
    plans = [plan for plan, _ in PLANTED.values()]
    results = fleet.play_all(plans, map(with_bug, PLANTED))
    figures("\n".join(f"  {bug}: {one.headline}" for bug, one in zip(PLANTED, results, strict=True)))
    for one, (bug, (_, promises)) in zip(results, PLANTED.items(), strict=True):
        assert one.promise in promises, f"{bug}: {one.wrong or 'nothing was wrong'}"
        assert bool(one.promise) is bool(one.wrong), one.wrong
