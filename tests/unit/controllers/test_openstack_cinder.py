"""What is asked of Cinder for volumes that are attached; those that are not are tried on a real Cinder, in tests/openstack."""

from typing import Any

import msgspec

from doctor.drivers.controllers.openstack.cinder import Cinder
from doctor.model.instruction import Action, Command, Stage
from doctor.model.resource import STORAGE
from doctor.testing.contracts.controller import carry_out

START = Command(Action.START, "volume-1", None, {}, kind=STORAGE)


class Session:
    """A Cinder with one volume, which takes what it is told."""

    def __init__(self, **volume: Any) -> None:
        self.volume = {"id": "volume-1", **volume}
        self.told: list[Any] = []

    async def get(self, service: str, path: str, answer: Any, **more: Any) -> Any:
        return msgspec.convert({"volume": self.volume}, answer)

    async def act(self, service: str, path: str, body: Any) -> None:
        self.told.append(body)
        self.volume |= body["os-reset_status"]


def cinder(session: Session) -> Cinder:
    return Cinder(session, 100)  # type: ignore[arg-type]  # of a session it uses these two methods


async def test_a_volume_in_error_that_is_attached_is_in_use_again() -> None:
    session = Session(status="error", attachments=[{"server_id": "vm-1"}])
    done = await carry_out(cinder(session), START)  # type: ignore[arg-type]  # as a controller looks and tells
    assert done.stage is Stage.SUCCEEDED
    assert session.volume["status"] == "in-use"


async def test_a_volume_that_serves_is_left_as_it_is() -> None:
    for status in ("in-use", "available", "maintenance"):
        session = Session(status=status)
        assert (await cinder(session).look(START)).stage is Stage.UNTOUCHED
        await cinder(session).tell(START)
        assert (await cinder(session).look(START._replace(since=status))).stage is Stage.SUCCEEDED
        assert session.told == []
