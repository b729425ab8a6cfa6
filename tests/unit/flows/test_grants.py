"""Tokens of the cloud: asked for once, remembered for a while, and what happens when nobody can be asked."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from doctor.flows import grants as module
from doctor.flows.grants import AWAY_FOR, GrantFlow
from doctor.model.errors import PermanentError, Reason, RejectedError, TransientError, UnavailableError
from doctor.model.grant import DEFAULT_RULES, Grant
from doctor.model.identity import Identity, Role
from doctor.testing.clock import START, ManualClock

MEMBER = Identity(name="ann@Default", role=Role.CONSUMER, project="p-1")


class FakeValidator:
    """An identity service. What it answers is written beforehand: a grant, nothing, or an error."""

    challenge = 'Keystone uri="http://keystone/v3"'

    def __init__(self) -> None:
        self.answers: dict[str, Grant | Exception | None] = {}
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None
        self.closed = False

    def knows(self, token: str, *roles: str, scope: str | None = "p-1", seconds: float = 3600) -> None:
        self.answers[token] = Grant(
            user="ann@Default",
            scope=scope,
            roles=frozenset(roles or ("member",)),
            expires=START + timedelta(seconds=seconds),
        )

    async def validate(self, token: str) -> Grant | None:
        self.asked.append(token)
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answers.get(token)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


class Door:
    """A `GrantFlow` with its identity service and its clock."""

    def __init__(self, kept_for: float = 60, timeout: float = 5) -> None:
        self.clock = ManualClock()
        self.keystone = FakeValidator()
        self.flow = GrantFlow(
            self.keystone,
            DEFAULT_RULES,
            self.clock,
            kept_for=timedelta(seconds=kept_for),
            timeout=timedelta(seconds=timeout),
        )

    async def identify(self, token: str) -> Identity | None:
        found = self.flow.identify(token)
        return await found if isinstance(found, Awaitable) else found

    @property
    def asked(self) -> int:
        return len(self.keystone.asked)


@pytest.mark.parametrize(
    ("kept_for", "expires", "seconds", "asked"),
    [
        pytest.param(60, 3600, 59.9, 1, id="remembered-for-a-minute"),
        pytest.param(60, 3600, 60, 2, id="and-no-longer"),
        pytest.param(3600, 3600, 60, 2, id="whatever-was-wished"),
        pytest.param(10, 3600, 10, 2, id="or-shorter-as-was-wished"),
    ],
)
async def test_a_token_is_asked_for_once_in_a_while(
    kept_for: float, expires: float, seconds: float, asked: int
) -> None:
    door = Door(kept_for)
    door.keystone.knows("t", seconds=expires)
    assert await door.identify("t") == MEMBER
    door.clock.advance(seconds)
    assert await door.identify("t") == MEMBER
    assert door.asked == asked


async def test_what_is_remembered_is_answered_at_once() -> None:
    """The hot path waits for nobody."""
    door = Door()
    door.keystone.knows("t")
    await door.identify("t")
    assert door.flow.identify("t") == MEMBER


async def test_a_token_is_never_good_beyond_its_end() -> None:
    """[F27] Neither by memory, nor when the identity service says so with a clock of its own."""
    door = Door()
    door.keystone.knows("t", seconds=30)
    assert await door.identify("t") == MEMBER
    door.clock.advance(30)
    assert await door.identify("t") is None
    assert door.asked == 2


async def test_a_wall_clock_that_goes_back_does_not_keep_a_revoked_token() -> None:
    door = Door()
    door.keystone.knows("t")
    await door.identify("t")
    door.keystone.answers.clear()
    door.clock.advance(60)
    door.clock.set_wall(START - timedelta(hours=1))
    assert await door.identify("t") is None


async def test_a_revoked_token_is_refused_after_a_minute_at_most() -> None:
    door = Door()
    door.keystone.knows("t")
    await door.identify("t")
    door.keystone.answers.clear()
    door.clock.advance(60)
    assert await door.identify("t") is None


async def test_a_token_that_nobody_knows_is_remembered_too_but_briefly() -> None:
    door = Door()
    assert await door.identify("x") is None
    door.clock.advance(4.9)
    assert door.flow.identify("x") is None
    assert door.asked == 1
    door.clock.advance(0.1)
    assert await door.identify("x") is None
    assert door.asked == 2


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("doctor_abc", id="one-of-our-own"),
        pytest.param("a" * 8193, id="too-long"),
        pytest.param("a b", id="two-words"),
        pytest.param("a\tb", id="control-characters"),
        pytest.param("é", id="not-ascii"),
    ],
)
async def test_what_cannot_be_a_token_of_the_cloud_is_not_asked_for(token: str) -> None:
    door = Door()
    assert door.flow.identify(token) is None
    assert door.asked == 0


@pytest.mark.requirement("B20")
@pytest.mark.parametrize(
    ("scope", "words"),
    [pytest.param("p-1", "reader in p-1", id="role"), pytest.param(None, "no project", id="scope")],
)
async def test_a_good_token_without_a_role_here_is_forbidden(scope: str | None, words: str) -> None:
    """Not nobody: somebody who may not. It is said with what he has, and remembered."""
    door = Door()
    door.keystone.knows("t", "reader", scope=scope)
    for _ in range(2):
        with pytest.raises(RejectedError, match=words) as refused:
            await door.identify("t")
        assert refused.value.reason is Reason.FORBIDDEN
    assert door.asked == 1


async def test_many_with_one_token_make_one_question() -> None:
    door = Door()
    door.keystone.knows("t")
    door.keystone.hold = asyncio.Event()
    everybody = asyncio.gather(*(door.identify("t") for _ in range(50)))
    await asyncio.sleep(0.01)
    door.keystone.hold.set()
    assert await everybody == [MEMBER] * 50
    assert door.asked == 1


async def test_who_goes_away_takes_nobody_along() -> None:
    """The one who asked first hangs up; the other still gets an answer."""
    door = Door()
    door.keystone.knows("t")
    door.keystone.hold = asyncio.Event()
    first, second = (asyncio.create_task(door.identify("t")) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    door.keystone.hold.set()
    assert await second == MEMBER
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_flood_of_made_up_tokens_pushes_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNKNOWN_TOKENS", 10)
    door = Door()
    door.keystone.knows("t")
    await door.identify("t")
    for number in range(30):
        await door.identify(f"x{number}")
    assert door.flow.identify("t") == MEMBER
    assert door.flow.identify("x29") is None
    assert door.asked == 31
    await door.identify("x0")
    assert door.asked == 32


async def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest gives way; a token that is asked for anew is young again."""
    monkeypatch.setattr(module, "KNOWN_TOKENS", 2)
    door = Door()
    for token in ("a", "b", "c"):
        door.keystone.knows(token)
        await door.identify(token)
    assert door.flow.identify("c") == door.flow.identify("b") == MEMBER
    await door.identify("a")
    assert door.keystone.asked == ["a", "b", "c", "a"]


async def test_not_too_many_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    door = Door()
    door.keystone.hold = asyncio.Event()
    waiting = asyncio.gather(*(door.identify(f"x{number}") for number in range(2)))
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too many"):
        await door.identify("y")
    door.keystone.hold.set()
    assert await waiting == [None, None]
    assert await door.identify("y") is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(TransientError("Keystone answered 500"), id="failing"),
        pytest.param(PermanentError("may not validate tokens"), id="refusing"),
    ],
)
async def test_while_the_identity_service_is_away_what_is_remembered_holds(error: Exception) -> None:
    """[F27] Others are told to come back; nobody asks it again at once."""
    door = Door()
    door.keystone.knows("known")
    await door.identify("known")
    door.keystone.answers["new"] = error
    with pytest.raises(UnavailableError) as refused:
        await door.identify("new")
    assert refused.value.retry_after == AWAY_FOR
    with pytest.raises(UnavailableError):
        await door.identify("another")
    assert door.asked == 2
    assert await door.identify("known") == MEMBER

    door.clock.advance(AWAY_FOR)
    door.keystone.knows("new")
    assert await door.identify("new") == MEMBER
    assert await door.identify("another") is None


async def test_who_waits_while_it_fails_is_told_at_once_too() -> None:
    """Not one timeout after the other."""
    door = Door()
    door.keystone.answers["t"] = TransientError("Keystone answered 500")
    door.keystone.hold = asyncio.Event()
    everybody = asyncio.gather(*(door.identify("t") for _ in range(5)), return_exceptions=True)
    await asyncio.sleep(0.01)
    door.keystone.hold.set()
    assert {type(one) for one in await everybody} == {UnavailableError}
    assert door.asked == 1


async def test_a_slow_identity_service_is_not_waited_for_longer_than_was_said() -> None:
    door = Door(timeout=0.02)
    door.keystone.hold = asyncio.Event()
    with pytest.raises(UnavailableError):
        await door.identify("t")


async def test_it_closes_what_it_asks() -> None:
    door = Door()
    await door.flow.close()
    assert door.keystone.closed
    assert door.flow.challenge == 'Keystone uri="http://keystone/v3"'
