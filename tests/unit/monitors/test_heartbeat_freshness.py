"""A recording of heartbeats is worth nothing, whenever it is played [D functest; HA 2.1]."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.heartbeat.freshness import MOST_NETWORKS, Sender, Worth
from doctor.kit.beat import NO_CHALLENGE, Beat, Kind


def sender() -> Sender:
    numbers = itertools.count(1)
    return Sender(lambda: next(numbers).to_bytes(8, "big"))


def beat(sequence: int, *, boot: bytes = b"A" * 16, session: int = 1, network: str = "mgmt") -> Beat:
    return Beat(Kind.BEAT, "c1", network, boot, session, sequence)


def proven(known: Sender, one: Beat) -> Beat:
    return one._replace(challenge=known.challenge_for(one))


def test_who_was_not_challenged_is_not_believed() -> None:
    known = sender()
    assert known.weigh(beat(1)) is Worth.UNPROVEN
    assert known.weigh(proven(known, beat(2))) is Worth.LIFE
    assert known.weigh(beat(3)) is Worth.UNPROVEN


def test_a_heartbeat_counts_once_on_each_network() -> None:
    known = sender()
    for network in ("mgmt", "storage"):
        one = proven(known, beat(5, network=network))
        assert known.weigh(one) is Worth.LIFE
        assert known.weigh(one) is Worth.REPLAYED
    assert known.weigh(proven(known, beat(4))) is Worth.REPLAYED


def test_a_restart_is_noticed() -> None:
    known = sender()
    known.weigh(proven(known, beat(9)))
    assert known.weigh(proven(known, beat(1, session=2))) is Worth.LIFE
    assert (known.restarts, known.boot) == (2, b"A" * 16)
    known.weigh(proven(known, beat(1, boot=b"B" * 16, session=1)))
    assert (known.restarts, known.boot) == (3, b"B" * 16)


def test_networks_are_bounded() -> None:
    known = sender()
    worths = [known.weigh(proven(known, beat(1, network=str(number)))) for number in range(MOST_NETWORKS + 2)]
    assert worths.count(Worth.LIFE) == MOST_NETWORKS
    assert worths[-1] is Worth.TOO_MANY_NETWORKS


class Recorder:
    """An agent with restarts of host and agent, and somebody who records all that it sends."""

    def __init__(self) -> None:
        self.known = sender()
        self.recorded: list[Beat] = []
        self._boot, self._session, self._sequence = b"A" * 16, 1, 0

    def send(self) -> Worth:
        self._sequence += 1
        one = beat(self._sequence, boot=self._boot, session=self._session)
        worth = Worth.UNPROVEN
        for challenge in (NO_CHALLENGE, self.known.challenge_for(one)):
            self._sequence += 1
            sent = one._replace(sequence=self._sequence, challenge=challenge)
            self.recorded.append(sent)
            worth = self.known.weigh(sent)
        return worth

    def restart(self, *, host: bool) -> None:
        self._session += 1
        if host:
            self._boot = bytes([self._boot[0] + 1]) * 16
            self._sequence = 0


@given(st.lists(st.sampled_from(["send", "agent", "host"]), max_size=12))
def test_whatever_was_recorded_is_worth_nothing_later(story: list[str]) -> None:
    recorder = Recorder()
    for step in story:
        if step == "send":
            assert recorder.send() is Worth.LIFE
        else:
            recorder.restart(host=step == "host")
    for recording in recorder.recorded:
        assert recorder.known.weigh(recording) is not Worth.LIFE
    for recording in recorder.recorded:
        assert Sender().weigh(recording) is Worth.UNPROVEN, (
            "a Doctor that has just started believes no recording"
        )
