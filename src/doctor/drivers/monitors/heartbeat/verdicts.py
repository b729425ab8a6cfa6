"""What the silence of an agent means: its host is dead, or only the agent is.

Comes in that the heartbeats of a host stay away or come again, and whether the host answers to a ping meanwhile; goes out what
is to be said of it. A host that misses a heartbeat is asked at once, so the answer is mostly there before it is needed.
"""

from collections.abc import Iterator
from enum import Enum, auto

import msgspec

from doctor.drivers.monitors.ping.judging import Change, Status

UNDECIDED = 1.0  # seconds after which a host is dead of which nobody could find out whether it answers


class Said(Enum):
    """What was said of a host last."""

    ALIVE = auto()
    DEAD = auto()
    WITHOUT_AGENT = auto()


class AgentSilent(msgspec.Struct, frozen=True):
    """The host answers, and its agent says nothing, or speaks again."""

    host: str
    is_silent: bool
    heard: float | None


Verdict = Change | AgentSilent


class Verdicts:
    """What was said of each host, and what is known of those that are silent.

    ``patience`` is how many seconds an agent may be silent on a host that answers before that is said.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._said: dict[str, Said] = {}
        self._silent: dict[str, tuple[Change, float]] = {}
        self._answers: dict[str, Status] = {}

    @property
    def silent(self) -> set[str]:
        """Return the hosts whose heartbeats stay away."""
        return set(self._silent)

    def forget(self, host: str) -> None:
        """Forget a host of which nothing is expected any more."""
        self._said.pop(host, None)
        self._silent.pop(host, None)
        self._answers.pop(host, None)

    def answers(self, host: str, status: Status) -> None:
        """Take note of whether a host answers; UNKNOWN when it is asked no more."""
        self._answers[host] = status

    def beats(self, change: Change, now: float, *, can_ask: bool) -> Iterator[Verdict]:
        """Take note that the heartbeats of a host stay away, or come again; without a way to ask it that is all there is."""
        host = change.host
        if change.status is Status.DOWN:
            self._silent[host] = (change, now)
            if not can_ask:
                self._answers[host] = Status.DOWN
            yield from self._of(host, now)
            return
        self._silent.pop(host, None)
        if self._said.get(host) is Said.WITHOUT_AGENT:
            yield AgentSilent(host, False, change.heard)
        if self._said.get(host) is not Said.ALIVE:
            yield change
        self._said[host] = Said.ALIVE

    def look(self, now: float) -> Iterator[Verdict]:
        """Say what has become clear of the silent hosts."""
        for host in list(self._silent):
            yield from self._of(host, now)

    def _of(self, host: str, now: float) -> Iterator[Verdict]:
        change, since = self._silent[host]
        said = self._said.get(host)
        match self._answers.get(host, Status.UNKNOWN):
            case Status.UP:
                if said is Said.DEAD:
                    yield msgspec.structs.replace(change, status=Status.UP, missed=None)
                    self._said[host] = Said.ALIVE
                if said is not Said.WITHOUT_AGENT and now >= since + self._patience:
                    self._said[host] = Said.WITHOUT_AGENT
                    yield AgentSilent(host, True, change.heard)
            case Status.UNKNOWN if now < since + UNDECIDED:
                pass
            case _:
                yield from self._dead(change)

    def _dead(self, change: Change) -> Iterator[Verdict]:
        said = self._said.get(change.host)
        if said is Said.WITHOUT_AGENT:
            yield AgentSilent(change.host, False, change.heard)
        if said is not Said.DEAD:
            self._said[change.host] = Said.DEAD
            yield change
