"""What a cloud answers is looked at before it is believed."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest

from doctor.drivers.controllers.openstack.session import (
    COMPUTE,
    NETWORK,
    CloudSession,
    LateError,
    _Answer,
)
from doctor.drivers.controllers.openstack.settings import OpenStackSettings
from doctor.model.errors import PermanentError, Reason, RejectedError, TransientError


class Thing(msgspec.Struct):
    id: str


class Things(msgspec.Struct):
    things: list[Thing]


class Session(CloudSession):
    """A session with a cloud that has its answers ready, the last of them for ever."""

    def __init__(self) -> None:
        super().__init__(OpenStackSettings(cloud="here"))
        self.answers: list[_Answer | TransientError] = []
        self.asked: list[str] = []
        self.timeouts: set[float] = set()

    def _send(
        self, service: str, method: str, path: str, body: Any, version: str | None, timeout: float
    ) -> _Answer:
        self.asked.append(path)
        self.timeouts.add(timeout)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TransientError):
            raise answer
        return answer


def listing(*ids: str) -> _Answer:
    return _Answer(200, msgspec.json.encode(Things([Thing(one) for one in ids])), None)


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    session = Session()
    yield session
    await session.close()


async def all_things(session: CloudSession) -> list[str]:
    pages = session.pages(COMPUTE, "/things?limit=2", Things, lambda answer: answer.things)
    return [one.id async for page in pages for one in page]


async def test_a_listing_is_read_page_by_page_to_the_end(session: Session) -> None:
    session.answers = [listing("a", "b"), listing("c"), listing()]
    assert await all_things(session) == ["a", "b", "c"]
    assert session.asked == ["/things?limit=2", "/things?limit=2&marker=b", "/things?limit=2&marker=c"]


async def test_a_listing_that_does_not_go_on_is_no_listing(session: Session) -> None:
    session.answers = [listing("a", "b")]
    with pytest.raises(TransientError, match="the same page twice"):
        await all_things(session)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"things": 5}', b"\xff", b""])
async def test_what_is_no_answer_to_the_question_is_none(content: bytes, session: Session) -> None:
    session.answers = [_Answer(200, content, None)]
    with pytest.raises(TransientError, match="compute answered what it should not"):
        await session.get(COMPUTE, "/things", Things)
    with pytest.raises(TransientError):
        await session.put(COMPUTE, "/things", {}, Things)


async def test_who_has_nothing_to_say_to_an_action_says_nothing(session: Session) -> None:
    session.answers = [_Answer(202, b"", None), _Answer(200, b"<html>back at noon</html>", None)]
    await session.act(COMPUTE, "/things/a/action", {})
    with pytest.raises(TransientError, match="back at noon"):
        await session.act(COMPUTE, "/things/a/action", {})


async def failures(session: CloudSession, service: str, times: int) -> Iterable[str]:
    found = []
    for _ in range(times):
        with pytest.raises(TransientError) as caught:
            await session.get(service, "/things", Things)
        found.append(str(caught.value))
    return found


async def test_a_service_that_wishes_to_be_left_alone_is(session: Session) -> None:
    session.answers = [_Answer(429, b'{"overLimit": {"message": "slow down"}}', 7.0), listing("a")]
    assert await failures(session, COMPUTE, 2) == [
        "compute answered 429: slow down",
        "compute is left alone for 7 s more",
    ]
    assert (await session.get(NETWORK, "/things", Things)).things == [Thing("a")]
    assert session.trouble == "not answering: compute"


async def test_who_has_little_patience_says_nothing_against_a_service(session: Session) -> None:
    session.answers = [LateError("no answer")]
    for _ in range(9):
        with pytest.raises(LateError):
            await session.put(COMPUTE, "/things", {}, Things, patience=0.5)
    assert session.trouble == ""
    assert session.timeouts == {0.5}
    await failures(session, COMPUTE, 5)
    assert session.trouble == "not answering: compute"


async def test_a_service_that_fails_is_left_alone_after_a_while(session: Session) -> None:
    session.answers = [_Answer(503, b"", None)]
    await failures(session, COMPUTE, 9)
    assert len(session.asked) == 5


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, PermanentError), (403, PermanentError), (404, RejectedError), (409, RejectedError)],
)
async def test_what_is_refused_is_no_failure_of_the_service(
    status: int, error: type[Exception], session: Session
) -> None:
    session.answers = [_Answer(status, b'{"fault": {"message": "no"}}', None)]
    for _ in range(9):
        with pytest.raises(error, match="no"):
            await session.put(COMPUTE, "/things", {}, Things)
    assert session.trouble == ""


async def test_what_is_gone_is_told_from_what_is_busy(session: Session) -> None:
    session.answers = [_Answer(404, b"", None), _Answer(409, b"", None)]
    reasons = []
    for _ in range(2):
        with pytest.raises(RejectedError) as caught:
            await session.get(COMPUTE, "/things", Things)
        reasons.append(caught.value.reason)
    assert reasons == [Reason.NOT_FOUND, Reason.CONFLICT]
