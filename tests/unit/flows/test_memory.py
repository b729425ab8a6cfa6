from datetime import timedelta

from doctor.flows.memory import Folded, Key, Memory
from doctor.inspector.damping import Flapping, changed
from doctor.model.policy import Damping
from doctor.ports.store import Change
from tests.unit.model.nfvis import at

RULES = Damping(changes=3, within=timedelta(seconds=60), hold=timedelta(seconds=10))


def told(memory: Memory, key: Key, second: float) -> Flapping:
    flapping = changed(memory.flapping(key), RULES, at(second))
    memory.tell(key, flapping, RULES.within)
    return flapping


def test_what_is_longer_ago_than_it_counts_is_forgotten_whatever_else_happened() -> None:
    memory = Memory()
    for second, host in enumerate(["compute-1", "compute-2", "compute-1"]):
        told(memory, (host, "host down"), second)
    told(memory, ("compute-3", "host down"), 61.5)
    assert memory.flapping(("compute-1", "host down")).changes == (at(0), at(2))
    assert memory.flapping(("compute-2", "host down")) == Flapping()


def test_what_is_folded_is_not_forgotten_and_begins_anew_when_it_was_told() -> None:
    memory, key = Memory(), ("compute-1", "host down")
    flapping = told(memory, key, 0)
    folded = Flapping(changes=flapping.changes, folded=1, last=at(1))
    memory.fold(key, Folded(flapping=folded), Change())
    told(memory, ("compute-2", "host down"), 500)
    assert memory.flapping(key) == folded
    memory.fold(key, None, Change())
    assert memory.flapping(key) == Flapping()
