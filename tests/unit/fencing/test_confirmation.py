"""The rule by which a host counts as off, the word of people, the room for its machines."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.fencing.confirmation import Confirmed, Contradicted, Unconfirmed, Wait, confirmation
from doctor.fencing.evidence import Judgement
from doctor.fencing.limits import Limits
from doctor.fencing.room import shortage
from doctor.fencing.vouching import flaws_of, is_enough
from doctor.model.fence_job import FenceJob, FenceState, Says, Statement, Word
from doctor.model.fencing import Doubt, Fenced, NotFenced, Seen, Supply, Unknown, Vantage
from doctor.model.resource import VirtualResource
from doctor.testing.clock import START

SEEN = Seen(Supply.OFF, START)
OFF = Fenced((SEEN, SEEN), frozenset({Vantage.OUT_OF_BAND}))
DEAD = Judgement((), frozenset({Vantage.IN_BAND, Vantage.OUT_OF_BAND}), ())
LIFE = Statement(host="c1", reporter="ping", says=Says.ALIVE, time=START, since=START)
JOB = FenceJob(
    host="c1",
    zone="az-1",
    generation=1,
    revision=4,
    state=FenceState.CONFIRMING,
    fault_key="f",
    since=START,
    changed=START,
)
THEN = START + timedelta(seconds=2)


def found(**more: Any) -> Any:
    given = {"outcome": OFF, "judgement": DEAD, "life": [], "fallen": [], "now": THEN, **more}
    return confirmation(JOB, limits=Limits(), **given)


def test_off_twice_and_silent_for_two_heartbeats_is_off() -> None:
    assert found() == Confirmed("read off 2 times, silent for 2 s, dead to in_band, out_of_band")


def test_it_has_to_be_silent_for_long_enough() -> None:
    assert found(now=START + timedelta(seconds=1.9)) == Wait(THEN)


def test_a_host_whose_zone_is_being_given_back_is_not_off() -> None:
    """[I-15] It may have its power back before anybody reads that."""
    assert found(returning="rack-0") == Unconfirmed("rack-0 is being given back, and it is in it")


@pytest.mark.requirement("B22")
@pytest.mark.parametrize(
    "outcome",
    [
        NotFenced(Doubt.REFUSED, "it reads on"),
        NotFenced(Doubt.WRONG_MACHINE, "it is somebody else"),
        Unknown(Doubt.UNREACHABLE, "it does not answer"),
        Unknown(Doubt.LATE, "it did not answer in time"),
    ],
)
def test_what_the_devices_do_not_say_is_not_so(outcome: Any) -> None:
    """[I-16] A device that cannot be reached confirms nothing, and neither does time."""
    for hours in (0, 1):
        assert isinstance(found(outcome=outcome, now=THEN + timedelta(hours=hours)), Unconfirmed)


def test_a_sign_of_life_contradicts_the_device() -> None:
    """[I-16] A BMC that lies."""
    assert found(life=[LIFE]) == Contradicted("ping has seen it alive after it read off")


def test_another_host_that_went_silent_by_it_contradicts_the_device() -> None:
    """[I-16] A BMC that is behind another host."""
    assert isinstance(found(fallen=["c2"]), Contradicted)


def test_silence_is_no_sign_where_nobody_would_see_life() -> None:
    blind = Judgement((), frozenset({Vantage.OUT_OF_BAND}), ())
    assert isinstance(found(judgement=blind), Unconfirmed)


# --- the word of people ---


def word(by: str = "alice", account: str = "token-a", reason: str = "pulled both plugs") -> Word:
    return Word(by=by, account=account, reason=reason, time=START)


@pytest.mark.parametrize(
    ("typed", "said", "before", "life", "pointers"),
    [
        pytest.param("c1", word(), (), (), [], id="well said"),
        pytest.param("C1", word(), (), (), ["/host"], id="another name"),
        pytest.param("c1", word(by=" "), (), (), ["/by"], id="nobody"),
        pytest.param("c1", word(reason="a\nb"), (), (), ["/reason"], id="two lines"),
        pytest.param("c1", word(), (), (LIFE,), ["/host"], id="alive"),
        pytest.param("c1", word("Alice", "token-b"), (word(),), (), ["/by"], id="twice"),
        pytest.param("c1", word("bob"), (word(),), (), ["/by"], id="with the same token"),
        pytest.param("c1", word("bob", "token-b"), (word(),), (), [], id="a second person"),
    ],
)
def test_what_a_person_has_to_say(
    typed: str, said: Word, before: tuple[Word, ...], life: tuple[Statement, ...], pointers: list[str]
) -> None:
    flaws = flaws_of(replace(JOB, words=before), typed, said, life, Limits())
    assert [flaw.pointer for flaw in flaws] == pointers


def test_it_takes_two_people_unless_one_is_enough() -> None:
    alone = Limits(second_person=False)
    assert [is_enough((word(),) * count, Limits()) for count in (0, 1, 2)] == [False, False, True]
    assert [is_enough((word(),) * count, alone) for count in (0, 1)] == [False, True]
    assert flaws_of(replace(JOB, words=(word(),)), "c1", word(), (), alone) == []


# --- the room for its machines ---


def machine(
    sal: int | str | None = None, vcpus: int | None = 4, memory_mb: int | None = 1024
) -> VirtualResource:
    return VirtualResource(id="vm", owner="red", sal=sal, vcpus=vcpus, memory_mb=memory_mb)


@pytest.mark.parametrize(
    ("machines", "missing"),
    [
        ((), None),
        ((machine(),), None),
        ((machine(), machine(), machine()), "12 vcpus are needed and 8 left"),
        ((machine("1A"), machine(2), machine(3)), None),
        ((machine(vcpus=None, memory_mb=9000),), "9000 MB are needed and 8000 left"),
        ((machine(vcpus=None, memory_mb=None),) * 99, None),
    ],
)
def test_the_most_important_machines_have_to_fit(
    machines: tuple[VirtualResource, ...], missing: str | None
) -> None:
    assert shortage(machines, 8, 8000) == missing
