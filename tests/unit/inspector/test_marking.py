"""What is marked in a cloud, and how a mark goes on."""

from datetime import UTC, datetime

import pytest

from doctor.inspector.marking import (
    Begin,
    Done,
    Leave,
    Write,
    marking,
    opening,
    rank,
    reason_for,
    standing_in,
    unmarking,
    wanted,
)
from doctor.model.fault import ResourceState
from doctor.model.marking import ForceDown, Mark, MarkKind, MarkRecord, MarkState, Standing
from doctor.model.resource import Isolation, PhysicalResource, Resource, VirtualResource

FORCED, DISABLED, SERVER, PORT, VOLUME = MarkKind
NORMAL, ERROR, DOWN, WORK = (
    ResourceState.NORMAL,
    ResourceState.ERROR,
    ResourceState.DOWN,
    ResourceState.MAINTENANCE,
)
NOBODY, PENDING, ISOLATED, FAILED = (
    Isolation.NOT_REQUIRED,
    Isolation.PENDING,
    Isolation.ISOLATED,
    Isolation.FAILED,
)
AUTO, WAIT, NOW = ForceDown.AUTO, ForceDown.WHEN_ISOLATED, ForceDown.IMMEDIATELY
HOST = PhysicalResource(id="compute-1")


def virtual(kind: str, **more: object) -> VirtualResource:
    return VirtualResource(id="one", type=kind, owner="red", host="compute-1", **more)  # type: ignore[arg-type]


MACHINE, NIC, DISK = virtual("virtual machine"), virtual("virtual NIC"), virtual("virtual storage")


@pytest.mark.requirement("C8", "C9", "F11")
@pytest.mark.parametrize(
    ("resource", "state", "isolation", "force_down", "kinds"),
    [
        pytest.param(HOST, DOWN, NOBODY, AUTO, (FORCED, DISABLED), id="a dead host that nobody can isolate"),
        pytest.param(HOST, DOWN, PENDING, AUTO, (DISABLED,), id="a dead host that is being isolated"),
        pytest.param(HOST, DOWN, FAILED, AUTO, (DISABLED,), id="a dead host that could not be isolated"),
        pytest.param(HOST, DOWN, ISOLATED, AUTO, (FORCED, DISABLED), id="an isolated host"),
        pytest.param(HOST, DOWN, NOBODY, WAIT, (DISABLED,), id="waits for an isolation that never comes"),
        pytest.param(HOST, DOWN, ISOLATED, WAIT, (FORCED, DISABLED), id="waited for its isolation"),
        pytest.param(HOST, DOWN, PENDING, NOW, (FORCED, DISABLED), id="does not wait for the isolation"),
        pytest.param(HOST, ERROR, NOBODY, NOW, (DISABLED,), id="a broken host that runs takes nothing new"),
        pytest.param(HOST, WORK, NOBODY, NOW, (), id="a host in maintenance"),
        pytest.param(HOST, NORMAL, NOBODY, NOW, (), id="a host that is well"),
        pytest.param(MACHINE, ERROR, NOBODY, AUTO, (SERVER,), id="a machine in error"),
        pytest.param(MACHINE, DOWN, NOBODY, AUTO, (SERVER,), id="a machine that is down"),
        pytest.param(MACHINE, NORMAL, NOBODY, AUTO, (), id="a machine that is well"),
        pytest.param(NIC, ERROR, NOBODY, AUTO, (PORT,), id="a port that is cut off"),
        pytest.param(NIC, NORMAL, NOBODY, AUTO, (), id="a port with another way left"),
        pytest.param(DISK, ERROR, NOBODY, AUTO, (VOLUME,), id="a volume whose storage is gone"),
        pytest.param(virtual("virtual network"), ERROR, NOBODY, AUTO, (), id="nothing to mark of a network"),
        pytest.param(
            PhysicalResource(id="tor-1", type="switch"), DOWN, NOBODY, NOW, (), id="a cloud has no switches"
        ),
    ],
)
def test_what_is_marked_follows_from_how_a_resource_is(
    resource: Resource,
    state: ResourceState,
    isolation: Isolation,
    force_down: ForceDown,
    kinds: tuple[MarkKind, ...],
) -> None:
    assert wanted(resource, state, isolation, force_down) == kinds


def test_the_host_comes_first_then_servers_by_their_level_then_the_rest() -> None:
    marks = {
        "port": (Mark(PORT, "p"), NIC),
        "unknown": (Mark(SERVER, "gone"), None),
        "second": (Mark(SERVER, "b"), virtual("virtual machine", sal=2)),
        "first": (Mark(SERVER, "a"), virtual("virtual machine", sal="1A")),
        "disk": (Mark(VOLUME, "d"), DISK),
        "disabled": (Mark(DISABLED, "compute-1"), HOST),
        "down": (Mark(FORCED, "compute-1"), HOST),
        "odd": (Mark(SERVER, "c"), virtual("virtual machine", sal="gold")),
    }
    order = sorted(marks, key=lambda name: (rank(*marks[name]), name))
    assert order == ["down", "disabled", "first", "second", "odd", "unknown", "port", "disk"]


@pytest.mark.parametrize(
    ("resource", "kind", "standing"),
    [
        (PhysicalResource(id="c", vim_state="enabled up"), FORCED, "up"),
        (PhysicalResource(id="c", vim_state="disabled down"), FORCED, "down"),
        (PhysicalResource(id="c", vim_state="disabled up"), DISABLED, "disabled"),
        (PhysicalResource(id="c", vim_state="enabled down"), DISABLED, "enabled"),
        (PhysicalResource(id="c"), DISABLED, "enabled"),
        (virtual("virtual machine", vim_state="stopped"), SERVER, "stopped"),
        (virtual("virtual machine"), SERVER, "active"),
        (virtual("virtual NIC", vim_state="down"), PORT, "down"),
        (virtual("virtual storage"), VOLUME, "in-use"),
    ],
)
def test_the_map_knows_how_the_cloud_has_it(resource: Resource, kind: MarkKind, standing: str) -> None:
    assert standing_in(resource, kind) == standing


@pytest.mark.requirement("F14")
@pytest.mark.parametrize(
    ("kind", "now", "step"),
    [
        (FORCED, "up", Begin("up")),
        (FORCED, "down", Leave("it is down already, by somebody else")),
        (DISABLED, "disabled", Leave("it is disabled already, by somebody else")),
        (SERVER, "active", Begin("active")),
        (SERVER, "error", Leave("it is error already, by somebody else")),
        (SERVER, "deleted", Leave("it is deleted, and could not be put back to that")),
        (SERVER, "soft-delete", Leave("it is soft-delete, and could not be put back to that")),
        (SERVER, "resized", Leave("it is resized, and could not be put back to that")),
        (SERVER, "stopped", Leave("it is stopped, and could not be put back to that")),
        (SERVER, "active (migrating)", Leave("busy: active (migrating)")),
        (PORT, "active", Begin("active")),
        (PORT, "down", Leave("it is down already, by somebody else")),
        (VOLUME, "in-use", Begin("in-use")),
        (VOLUME, "available", Begin("available")),
        (VOLUME, "backing-up", Leave("it is backing-up, and could not be put back to that")),
    ],
)
def test_only_what_can_be_put_back_is_marked(kind: MarkKind, now: str, step: Begin | Leave) -> None:
    assert opening(kind, now) == step


def record(kind: MarkKind, before: str) -> MarkRecord:
    return MarkRecord(
        mark=Mark(kind, "one"),
        cloud="cloud",
        state=MarkState.MARKING,
        before=before,
        reason="doctor: host down (f)",
        fault_key="f",
        since=datetime(2026, 3, 4, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("kind", "before", "now", "step"),
    [
        pytest.param(
            SERVER,
            "active",
            Standing("active"),
            Write(Standing("error", "doctor: host down (f)")),
            id="not yet",
        ),
        pytest.param(SERVER, "active", Standing("error"), Done(), id="it was written before the crash"),
        pytest.param(
            SERVER, "active", Standing("stopped"), Leave("it became stopped meanwhile"), id="changed"
        ),
        pytest.param(
            DISABLED, "enabled", Standing("disabled", "doctor: host down (f)"), Done(), id="our reason"
        ),
        pytest.param(
            DISABLED,
            "enabled",
            Standing("disabled", "new disks"),
            Leave("it is disabled already, by somebody else"),
            id="somebody else's reason",
        ),
    ],
)
def test_a_mark_of_unknown_outcome_goes_on_from_what_is_true(
    kind: MarkKind, before: str, now: Standing, step: Write | Done | Leave
) -> None:
    assert marking(record(kind, before), now) == step


@pytest.mark.parametrize(
    ("kind", "before", "now", "step"),
    [
        pytest.param(SERVER, "active", Standing("error"), Write(Standing("active")), id="as it was"),
        pytest.param(VOLUME, "available", Standing("error"), Write(Standing("available")), id="not blindly"),
        pytest.param(
            SERVER, "active", Standing("active"), Leave("it became active meanwhile"), id="evacuated and well"
        ),
        pytest.param(FORCED, "up", Standing("up"), Leave("it became up meanwhile"), id="somebody was faster"),
        pytest.param(
            DISABLED,
            "enabled",
            Standing("disabled", "new disks"),
            Leave("somebody gave another reason since"),
            id="somebody else's by now",
        ),
        pytest.param(
            DISABLED,
            "enabled",
            Standing("disabled", "doctor: host down (f)"),
            Write(Standing("enabled")),
            id="our reason",
        ),
    ],
)
def test_only_what_doctor_marked_is_taken_back(
    kind: MarkKind, before: str, now: Standing, step: Write | Leave
) -> None:
    assert unmarking(record(kind, before), now) == step


def test_the_reason_names_the_fault() -> None:
    assert reason_for("host down", "9a82") == "doctor: host down (9a82)"
