"""How compute hosts are marked in a Nova that waits for others; the real Nova is in tests/openstack."""

from typing import Any

import msgspec
import pytest

from doctor.drivers.controllers.openstack.nova import Nova
from doctor.drivers.controllers.openstack.session import LateError
from doctor.model.errors import Reason, RejectedError, TransientError
from doctor.model.marking import Mark, MarkKind, Standing

DOWN, DISABLED = Mark(MarkKind.FORCED_DOWN, "compute-1"), Mark(MarkKind.DISABLED, "compute-1")


class Session:
    """A Nova with one compute host, which takes what it is told, and can forget to answer."""

    def __init__(self) -> None:
        self.service: dict[str, Any] = {"id": "1", "host": "compute-1", "forced_down": True}
        self.migrations: list[dict[str, Any]] = []
        self.is_late = self.is_slow = False
        self.told: list[Any] = []

    async def get(self, service: str, path: str, answer: Any, **more: Any) -> Any:
        if path.startswith("/os-migrations"):
            assert path == "/os-migrations?source_compute=compute-1&migration_type=evacuation"
            return msgspec.convert({"migrations": self.migrations}, answer)
        return msgspec.convert({"services": [self.service]}, answer)

    async def put(
        self, service: str, path: str, body: Any, answer: Any, *, version: str, patience: float | None
    ) -> Any:
        self.told.append(body)
        if not self.is_slow:
            self.service |= body
        if self.is_late and patience is not None:
            raise LateError("no answer")
        return msgspec.convert({"service": self.service}, answer)


def nova(session: Session) -> Nova:
    return Nova(session, 100)  # type: ignore[arg-type]  # of a session it uses these two methods


async def test_a_host_is_disabled_when_nova_has_written_it_down() -> None:
    """Nova then asks the host, and has no answer for us until that has one for it."""
    session = Session()
    session.is_late = True
    await nova(session).write(DISABLED, "compute-1", Standing("disabled", "doctor: host down"))
    assert session.service["disabled_reason"] == "doctor: host down"
    await nova(session).write(DISABLED, "compute-1", Standing("enabled"))
    assert session.service["status"] == "enabled"


async def test_a_host_is_not_disabled_before_nova_has_written_it_down() -> None:
    session = Session()
    session.is_late = session.is_slow = True
    with pytest.raises(TransientError, match="has it enabled"):
        await nova(session).write(DISABLED, "compute-1", Standing("disabled", "doctor: host down"))


@pytest.mark.requirement("F17")
@pytest.mark.parametrize("status", ["accepted", "pre-migrating"])
async def test_a_host_is_not_taken_for_up_while_anybody_evacuates_it(status: str) -> None:
    """[I-15] Nova would: it asks for those that are done only."""
    session = Session()
    session.migrations = [{"status": "completed"}, {"status": status, "instance_uuid": "vm-1"}]
    with pytest.raises(RejectedError, match="vm-1") as refused:
        await nova(session).write(DOWN, "compute-1", Standing("up"))
    assert (refused.value.reason, session.told) == (Reason.CONFLICT, [])
    session.migrations[1]["status"] = "failed"
    await nova(session).write(DOWN, "compute-1", Standing("up"))
    assert session.told == [{"forced_down": False}]


async def test_to_force_a_host_down_nothing_is_asked_before() -> None:
    session = Session()
    session.migrations = [{"status": "accepted"}]
    await nova(session).write(DOWN, "compute-1", Standing("down"))
    assert session.told == [{"forced_down": True}]
