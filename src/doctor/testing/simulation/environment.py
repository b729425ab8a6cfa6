"""What the flows take from the process around them, under control: random numbers, logs, memory.

Everything here stands outside of the decisions that the simulation is about. Ids made by chance come from the seed; a
policy is compiled once for many runs; the collector of garbage is not asked to run.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

import structlog

from doctor.flows import policy as policy_flow
from doctor.flows import resource_map as resource_map_flow
from doctor.flows import subscription as subscription_flow
from doctor.flows import tokens as tokens_flow
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import PolicyReport, parse_policy
from doctor.inspector.selection import Selector
from doctor.model.policy import FailurePolicy


@cache
def _read(text: str) -> PolicyReport:
    return parse_policy(text, default_catalogue())


_compiled: dict[int, Selector] = {}


def _compile(policy: FailurePolicy) -> Selector:
    """Compile each policy that `_read` keeps once; a selector remembers nothing of the events."""
    if id(policy) not in _compiled:
        _compiled[id(policy)] = Selector(policy)
    return _compiled[id(policy)]


class Patch:
    """Replaces attributes, and puts them back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute of a module or a class."""
        self._before.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    def undo(self) -> None:
        """Put everything back."""
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)


@contextmanager
def controlled(seed: int) -> Iterator[Patch]:
    """Take control of chance and of what costs time; all is as before afterwards."""
    rng = random.Random(f"{seed}/ids")
    patch = Patch()
    chance = random.getstate()
    logging = structlog.get_config()

    def uuid() -> UUID:
        return UUID(int=rng.getrandbits(128), version=4)

    try:
        random.seed(f"{seed}/jitter")
        structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
        patch.set(subscription_flow, "uuid4", uuid)
        patch.set(tokens_flow, "uuid4", uuid)
        patch.set(resource_map_flow, "settle_memory", lambda: None)
        patch.set(policy_flow, "parse_policy", lambda text, _catalogue: _read(text))
        patch.set(policy_flow, "Selector", _compile)
        yield patch
    finally:
        patch.undo()
        structlog.configure(**logging)
        random.setstate(chance)


def _drop(_logger: Any, _method: str, _event: Any) -> NoReturn:
    raise structlog.DropEvent
