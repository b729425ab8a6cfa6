"""What the silence of an agent means: its host is dead, or only the agent is, or only we do not hear it.

Comes in that the heartbeats of a host stay away or come again, whether the host answers to a ping meanwhile, and whether its
peers hear it; goes out what is to be said of it. All of them are asked when a host misses a heartbeat, so the answer is mostly
there before it is needed.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import Enum, auto

import msgspec

from doctor.drivers.monitors.ping.judging import Change, Status

UNDECIDED = 1.0  # seconds after which a host is dead of which nobody could find out whether it answers


class Said(Enum):
    """What was said of a host last."""

    ALIVE = auto()
    DEAD = auto()
    WITHOUT_AGENT = auto()
    UNREACHABLE = auto()


class AgentSilent(msgspec.Struct, frozen=True):
    """The host answers, and its agent says nothing, or speaks again."""

    host: str
    is_silent: bool
    heard: float | None


class Unreachable(msgspec.Struct, frozen=True):
    """We hear nothing of the host, and its peers do; or we hear it again, or they do not either."""

    host: str
    is_unreachable: bool


Verdict = Change | AgentSilent | Unreachable


class Verdicts:
    """What was said of each host, and what is known of those that are silent.

    ``patience`` is how many seconds an agent may be silent on a host that answers before that is said.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._said: dict[str, Said] = {}
        self._silent: dict[str, tuple[Change, float]] = {}
        self._answers: dict[str, Status] = {}
        self._peers: dict[str, Status] = {}
        self._waiting: frozenset[str] = frozenset()

    @property
    def silent(self) -> set[str]:
        """Return the hosts whose heartbeats stay away."""
        return set(self._silent)

    def forget(self, host: str) -> None:
        """Forget a host of which nothing is expected any more."""
        self._said.pop(host, None)
        self._silent.pop(host, None)
        self._answers.pop(host, None)
        self._peers.pop(host, None)

    def peers(self, said: Mapping[str, Status], waiting: Collection[str]) -> None:
        """Take note of what the peers of hosts say, and of which hosts they may say something soon."""
        self._peers, self._waiting = dict(said), frozenset(waiting)

    def answers(self, host: str, status: Status) -> None:
        """Take note of whether a host answers; UNKNOWN when it is asked no more."""
        self._answers[host] = status

    def hears(self, host: str) -> bool:
        """Tell whether we hear a silent host ourselves, by ping."""
        return self._answers.get(host) is Status.UP

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
        yield from self._no_longer(change)
        if self._said.get(host) is not Said.ALIVE:
            yield change
        self._said[host] = Said.ALIVE

    def look(self, now: float) -> Iterator[Verdict]:
        """Say what has become clear of the silent hosts."""
        for host in list(self._silent):
            yield from self._of(host, now)

    def _of(self, host: str, now: float) -> Iterator[Verdict]:
        change, since = self._silent[host]
        match self._answers.get(host, Status.UNKNOWN):
            case Status.UP:
                yield from self._there(change, Said.WITHOUT_AGENT, is_said=now >= since + self._patience)
            case Status.UNKNOWN if now < since + UNDECIDED:
                pass
            case _ if self._peers.get(host) is Status.UP:
                yield from self._there(change, Said.UNREACHABLE, is_said=True)
            case _ if host in self._waiting and self._said.get(host) is not Said.DEAD:
                pass
            case _:
                if self._said.get(host) is not Said.DEAD:
                    yield from self._no_longer(change)
                    self._said[host] = Said.DEAD
                    yield change

    def _there(self, change: Change, what: Said, *, is_said: bool) -> Iterator[Verdict]:
        """Say of a host that is there what is wrong with it, and that it is not dead if that was said."""
        host = change.host
        if self._said.get(host) is Said.DEAD:
            self._said[host] = Said.ALIVE
            yield msgspec.structs.replace(change, status=Status.UP, missed=None)
        if is_said and self._said.get(host) is not what:
            yield from self._no_longer(change)
            self._said[host] = what
            yield (
                AgentSilent(host, True, change.heard)
                if what is Said.WITHOUT_AGENT
                else Unreachable(host, True)
            )

    def _no_longer(self, change: Change) -> Iterator[Verdict]:
        """Take back what was said of a host that was not dead."""
        match self._said.get(change.host):
            case Said.WITHOUT_AGENT:
                yield AgentSilent(change.host, False, change.heard)
            case Said.UNREACHABLE:
                yield Unreachable(change.host, False)
            case _:
                pass
