"""What a level proves: a table of devices, and a second, deliberately simple version."""

import itertools
from datetime import UTC, datetime

import pytest

from doctor.fencing.levels import judge, objection
from doctor.model.fence_plan import DeviceFacts, Level, Rule, Step
from doctor.model.fencing import Cut, Doubt, Fenced, FenceOutcome, NotFenced, Seen, Supply, Unknown, Vantage

DEVICES = {
    "bmc": DeviceFacts("ipmi", Cut.POWER, Vantage.OUT_OF_BAND, partial=False),
    "pdu-a": DeviceFacts("snmp_pdu", Cut.POWER, Vantage.OUT_OF_BAND, partial=True),
    "pdu-b": DeviceFacts("snmp_pdu", Cut.POWER, Vantage.OUT_OF_BAND, partial=True),
    "port": DeviceFacts("switch_port", Cut.NETWORK, Vantage.SWITCH_PORT, partial=True),
    "ceph": DeviceFacts("fence_agent", Cut.STORAGE, Vantage.STORAGE, partial=False),
    "person": DeviceFacts("manual", Cut.POWER, Vantage.HUMAN, partial=False),
}


def level(rule: Rule, *names: str) -> Level:
    return Level(rule, tuple(Step(name) for name in names))


@pytest.mark.requirement("B23")
@pytest.mark.parametrize(
    ("rule", "names", "words"),
    [
        pytest.param(Rule.ALL_OF, ("bmc",), None, id="a-bmc"),
        pytest.param(Rule.ALL_OF, ("pdu-a", "pdu-b"), None, id="both-feeds"),
        pytest.param(Rule.ALL_OF, ("port", "ceph"), None, id="network-and-storage"),
        pytest.param(Rule.ALL_OF, ("bmc", "port"), None, id="power-and-network"),
        pytest.param(Rule.ANY_OF, ("bmc", "pdu-a"), None, id="a-bmc-or-the-only-feed"),
        pytest.param(Rule.ANY_OF, ("bmc", "person"), None, id="a-bmc-or-a-person"),
        pytest.param(Rule.ALL_OF, ("port",), "storage", id="network-alone"),
        pytest.param(Rule.ALL_OF, ("ceph",), "network", id="storage-alone"),
        pytest.param(Rule.ANY_OF, ("port", "ceph"), "all_of", id="network-or-storage"),
        pytest.param(Rule.ANY_OF, ("bmc", "port"), "all_of", id="power-or-network"),
        pytest.param(Rule.ANY_OF, ("pdu-a", "pdu-b"), "all_of", id="one-feed-of-two"),
    ],
)
def test_a_level_has_to_be_able_to_prove_it(rule: Rule, names: tuple[str, ...], words: str | None) -> None:
    found = objection(level(rule, *names), DEVICES)
    assert (found is None) is (words is None), found
    assert words is None or (found is not None and words in found)


READING = Seen(Supply.OFF, datetime(2026, 3, 4, tzinfo=UTC))
OUTCOMES: dict[str, FenceOutcome] = {
    "fenced": Fenced((READING, READING), frozenset({Vantage.OUT_OF_BAND})),
    "not": NotFenced(Doubt.REFUSED, "it reads on"),
    "unknown": Unknown(Doubt.LATE, "it does not answer"),
}


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("words", list(itertools.product(OUTCOMES, repeat=3)), ids="-".join)
def test_a_level_is_what_its_steps_are_together(rule: Rule, words: tuple[str, ...]) -> None:
    found = judge(level(rule, "bmc", "pdu-a", "pdu-b"), [OUTCOMES[word] for word in words])
    counts = words.count("fenced")
    if counts == 3 or (rule is Rule.ANY_OF and counts):
        assert isinstance(found, Fenced)
        assert len(found.readings) == 2 * counts
        assert found.vantages == {Vantage.OUT_OF_BAND}
    else:
        assert found == OUTCOMES["not" if "not" in words else "unknown"]


def test_every_vantage_that_saw_it_counts() -> None:
    seen = Fenced((READING,), frozenset({Vantage.SWITCH_PORT}))
    other = Fenced((READING,), frozenset({Vantage.STORAGE}))
    found = judge(level(Rule.ALL_OF, "port", "ceph"), [seen, other])
    assert isinstance(found, Fenced)
    assert found.vantages == {Vantage.SWITCH_PORT, Vantage.STORAGE}


def test_a_level_of_nothing_is_no_level() -> None:
    with pytest.raises(ValueError, match="at least one"):
        judge(Level(Rule.ANY_OF, ()), [])
