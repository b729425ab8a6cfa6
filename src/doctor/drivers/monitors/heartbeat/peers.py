"""What the agents of other hosts say of one that is missed: whether they hear it where we do not.

In come who was asked and what they answered, with times of the monotonic clock; out goes what that comes to. One peer that
hears a host is enough to know that it is there. That it is dead is said by two at least, or by the one where nobody else was
asked, and only those count who have heard it where they are asked to, shortly before it was missed (`vouching`): that somebody
hears nothing says nothing if he never could.
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from doctor.drivers.monitors.ping.judging import Status

ON_THE_WAY = 0.05  # seconds that an answer is waited for beyond the time in which the peer asks
AGAIN_AFTER = 5.0  # seconds: as long as a host is missed its peers are asked anew
AT_ONCE = (
    50  # hosts of which somebody is asked at the same time: with more than that the trouble is not theirs
)
ENOUGH = 2
LOOK_AT = 20  # hosts, to find some that can be asked


class Voucher(NamedTuple):
    """A peer, and the address of the host at which it is asked to listen."""

    peer: str
    address: str


class Inquiry:
    """What was asked of one host last: whom, and what they said. ``number`` marks the questions.

    ``before`` is what they said when they were asked the time before, which holds until they have answered. ``able`` are
    those whose silence counts.
    """

    __slots__ = ("able", "asked", "at", "before", "heard", "number", "unheard", "until")

    def __init__(
        self, number: int, asked: Iterable[str], able: Iterable[str], at: float, until: float, before: Status
    ) -> None:
        self.before = before
        self.number = number
        self.asked = frozenset(asked)
        self.able = frozenset(able)
        self.at = at
        self.until = until
        self.heard: set[str] = set()
        self.unheard: set[str] = set()

    @property
    def status(self) -> Status:
        """Return what the answers come to so far."""
        if self.heard:
            return Status.UP
        is_enough = self.asked and len(self.unheard & self.able) >= min(ENOUGH, len(self.asked))
        return Status.DOWN if is_enough else Status.UNKNOWN


class Peers:
    """All inquiries that are under way, and what came of the last one of each host."""

    def __init__(self) -> None:
        self._inquiries: dict[str, Inquiry] = {}
        self._hosts: dict[int, str] = {}

    def is_due(self, host: str, now: float) -> bool:
        """Tell whether somebody is to be asked about a host now."""
        known = self._inquiries.get(host)
        if known is None:
            return len(self._inquiries) < AT_ONCE
        return now >= known.at + AGAIN_AFTER

    def begin(
        self, host: str, asked: Collection[str], able: Collection[str], now: float, within: float
    ) -> int:
        """Take note that peers are asked, who ask for so long, and return the number of the question.

        ``able`` are those of them who could hear the host when it was well.
        """
        before = self.status(host, now)
        self.forget(host)
        number = random.getrandbits(63)
        self._inquiries[host] = Inquiry(number, asked, able, now, now + within + ON_THE_WAY, before)
        self._hosts[number] = host
        return number

    def answered(self, peer: str, number: int, *, is_heard: bool) -> str | None:
        """Take note of an answer; return the host that it is about, None if nobody has asked that peer for it."""
        host = self._hosts.get(number)
        inquiry = self._inquiries.get(host) if host is not None else None
        if inquiry is None or peer not in inquiry.asked:
            return None
        (inquiry.heard if is_heard else inquiry.unheard).add(peer)
        return host

    def status(self, host: str, now: float) -> Status:
        """Return what the peers of a host say; UNKNOWN when nobody was asked, or too few have answered in time."""
        inquiry = self._inquiries.get(host)
        if inquiry is None:
            return Status.UNKNOWN
        is_early = inquiry.status is Status.UNKNOWN and now < inquiry.until
        return inquiry.before if is_early else inquiry.status

    def asked(self, host: str) -> frozenset[str]:
        """Return who was asked about a host last."""
        inquiry = self._inquiries.get(host)
        return frozenset() if inquiry is None else inquiry.asked

    def is_open(self, host: str, now: float) -> bool:
        """Tell whether answers that would matter may still come."""
        inquiry = self._inquiries.get(host)
        return (
            inquiry is not None
            and inquiry.status is Status.UNKNOWN
            and now < inquiry.until
            and bool(inquiry.asked)
        )

    def forget(self, host: str) -> None:
        """Forget what was asked about a host."""
        known = self._inquiries.pop(host, None)
        if known is not None:
            del self._hosts[known.number]


def chosen(
    able: Iterable[Voucher],
    others: Iterable[Sequence[str]],
    addresses: Sequence[str],
    is_there: Callable[[str], bool],
    count: int,
    rng: random.Random,
) -> list[Voucher]:
    """Return whom to ask about a host at which of its ``addresses``: those first who are able to hear it.

    ``others`` are sets of hosts, nearer ones before those that are farther away; of a large one only some are looked at.
    """
    found: dict[str, Voucher] = {}
    for voucher in sorted(able):
        if voucher.address in addresses and is_there(voucher.peer):
            found.setdefault(voucher.peer, voucher)
    for group in others:
        for peer in rng.sample(group, min(len(group), LOOK_AT)):
            if len(found) >= count:
                break
            if peer not in found and is_there(peer):
                found[peer] = Voucher(peer, addresses[len(found) % len(addresses)])
    return list(found.values())[:count]
