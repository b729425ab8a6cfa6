"""What each action asks of the machine and its host: the table, and what is known when it is held against it."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import NamedTuple

from doctor.model.fault import ResourceState
from doctor.model.instruction import Action
from doctor.model.resource import NIC, STORAGE, VIRTUAL_MACHINE, Isolation, VirtualResource


class HostMust(Enum):
    """How the host of the machine has to be."""

    WORK = "work"
    BE_OUT = "be out"
    BE_ANYHOW = "be anyhow"


class Rule(NamedTuple):
    """What an action asks for.

    ``interrupts`` is how long a machine that serves is away at least, None if that is no concern. ``is_word`` actions
    say something, and nothing is done for them. ``parameters`` are what can be said with it.
    """

    host: HostMust
    interrupts: timedelta | None = None
    is_word: bool = False
    parameters: frozenset[str] = frozenset()


TARGET = "target"  # the host on which a machine is to be started
_SECOND = timedelta(seconds=1)
RULES: Mapping[Action, Rule] = {
    Action.EVACUATE: Rule(HostMust.BE_OUT, parameters=frozenset({TARGET})),
    Action.MIGRATE: Rule(HostMust.WORK, interrupts=30 * _SECOND, parameters=frozenset({TARGET})),
    Action.LIVE_MIGRATE: Rule(HostMust.WORK, interrupts=_SECOND, parameters=frozenset({TARGET})),
    Action.REBUILD: Rule(HostMust.BE_ANYHOW, interrupts=30 * _SECOND, parameters=frozenset({"image"})),
    Action.REBOOT: Rule(HostMust.WORK, interrupts=10 * _SECOND, parameters=frozenset({"type"})),
    Action.STOP: Rule(HostMust.WORK),
    Action.START: Rule(HostMust.WORK),
    Action.UPDATE: Rule(HostMust.BE_ANYHOW, parameters=frozenset({"name", "metadata"})),
    Action.TERMINATE: Rule(HostMust.BE_ANYHOW),
    Action.LEAVE: Rule(HostMust.BE_ANYHOW, is_word=True),
    Action.SWITCHED_OVER: Rule(HostMust.BE_ANYHOW, is_word=True),
    Action.REPAIR: Rule(HostMust.BE_ANYHOW, is_word=True, parameters=frozenset({"cause"})),
}

# What else can be told to do something, and what. A port is cut off and given back, a volume that is in error put into
# service again [D 3.1, 3.3.5]. Where its machine is, or whether that runs, is no concern of theirs.
_ANYHOW = Rule(HostMust.BE_ANYHOW)
_NAMED = Rule(HostMust.BE_ANYHOW, parameters=frozenset({"name"}))
_OF_OTHERS: Mapping[str, Mapping[Action, Rule]] = {
    NIC: {Action.STOP: _ANYHOW, Action.START: _ANYHOW, Action.UPDATE: _NAMED},
    STORAGE: {Action.START: _ANYHOW, Action.UPDATE: _NAMED},
}

# What starts a machine elsewhere, or frees its volumes and addresses for another one: were the host still running it,
# there would be two.
_FREEING = frozenset((Action.EVACUATE, Action.REBUILD, Action.TERMINATE))


class Facts(NamedTuple):
    """What is known of a machine when it is decided on.

    ``isolation`` is of its host by Doctor's own proof, whatever anybody else has said of it; ``can_isolate`` is whether
    somebody has said how it is cut off. ``others_away`` is how many others of its group are out or under way.
    ``occupied_by`` is the instruction that is under way for it already.
    """

    machine: VirtualResource
    state: ResourceState
    host_state: ResourceState
    isolation: Isolation
    can_isolate: bool
    has_controller: bool
    others_away: int = 0
    occupied_by: str = ""

    @property
    def serves(self) -> bool:
        """Tell whether the machine does its work, as far as anybody knows."""
        return not (self.state.is_out or self.host_state.is_out)


def rule_of(action: Action, kind: str) -> Rule | None:
    """Return what an action asks for where a resource of a kind is told to do it, None where it cannot be."""
    rule = RULES[action]
    return rule if kind == VIRTUAL_MACHINE or rule.is_word else _OF_OTHERS.get(kind, {}).get(action)


def actions_of(kind: str) -> list[Action]:
    """Return what a resource of a kind can be told to do."""
    return [one for one in Action if not RULES[one].is_word and rule_of(one, kind) is not None]


def needs_isolation(action: Action, facts: Facts) -> bool:
    """Tell whether an action must not begin before the host is proven to be cut off [I-15]."""
    return action in _FREEING and facts.host_state.is_out


def in_effect(action: Action, facts: Facts) -> Action:
    """Return what a controller is asked for: what is rebuilt on a dead host is built anew elsewhere."""
    is_elsewhere = action is Action.REBUILD and facts.host_state.is_out
    return Action.EVACUATE if is_elsewhere else action
