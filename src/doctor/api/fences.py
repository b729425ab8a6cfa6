"""The doors to what can cut hosts off: the devices, the hosts with their levels, and whether they would do."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.api.sorting import Key, Order, sorted_page
from doctor.fencing.readiness import HostCheck, Readiness, StepCheck
from doctor.flows.fence_readiness import FenceReadiness
from doctor.flows.fences import Fences
from doctor.model.fence_plan import DeviceFacts, Rule
from doctor.model.fencing import Cut, Doubt, Supply, Vantage


class FenceStepOut(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a level. ``supply`` is what it read of the host, ``names`` what it calls it.

    ``doubt`` and ``detail`` say why it would not do, ``remark`` what could be better.
    """

    device: str
    plug: str
    driver: str
    works: bool
    supply: Supply | None
    names: tuple[str, ...]
    doubt: Doubt | None
    detail: str
    remark: str
    took_ms: int


class FenceLevelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A level of a host. One that is not ``automatic`` needs a person."""

    rule: Rule
    works: bool
    automatic: bool
    detail: str
    steps: tuple[FenceStepOut, ...]


class FencedHostOut(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with the fences of a host; ``levels`` are those of the last check, in their order."""

    host: str
    readiness: Readiness
    checked_time: datetime | None
    reason: str
    levels: tuple[FenceLevelOut, ...]


class FenceDeviceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A device: what it takes from a host, from where it sees, and how many hosts it is for.

    ``partial``: it cuts one of several supplies that a host may have. ``works`` is null before the first check.
    """

    device: str
    driver: str
    cuts: Cut
    vantage: Vantage
    partial: bool
    hosts: int
    works: bool | None
    detail: str


class FencedHostQuery(PageQuery, frozen=True, kw_only=True):
    """Which hosts."""

    host: Several = frozenset()
    readiness: list[Readiness] = []
    sort: Literal["host", "-host", "readiness", "-readiness"] = "host"


class FenceDeviceQuery(PageQuery, frozen=True, kw_only=True):
    """Which devices."""

    device: Several = frozenset()
    sort: Literal["device", "-device", "driver", "-driver"] = "device"


_HOST_KEYS: dict[str, Callable[[HostCheck], Key]] = {
    "host": lambda one: one.host,
    "readiness": lambda one: one.readiness.value,
}
_DEVICE_KEYS: dict[str, Callable[[FenceDeviceOut], Key]] = {
    "device": lambda one: one.device,
    "driver": lambda one: one.driver,
}


class FencesDoor:
    """The operations on fences."""

    def __init__(self, fences: Fences, readiness: FenceReadiness) -> None:
        self._fences = fences
        self._readiness = readiness

    @operation("GET", "/v1/fence-devices", tag="Fencing", roles=OVERSEERS)
    async def list_fence_devices(self, call: Call[None, FenceDeviceQuery]) -> Answer[Page[FenceDeviceOut]]:
        """List the devices that can cut hosts off, and whether they answered when they were asked last."""
        query = call.query
        order = Order(query.sort, query.cursor, _DEVICE_KEYS, lambda one: one.device)
        rows = self._devices()
        return Answer(
            await sorted_page(
                rows, query, order, lambda one: is_in(one.device, query.device), lambda one: one
            )
        )

    @operation("GET", "/v1/fenced-hosts", tag="Fencing", roles=OVERSEERS)
    async def list_fenced_hosts(self, call: Call[None, FencedHostQuery]) -> Answer[Page[FencedHostOut]]:
        """List the hosts that can be cut off, by which levels of devices, and whether those would do.

        It is what was found out at the last check. Hosts of the resource map that are missing here have no fence.
        """
        query = call.query
        order = Order(query.sort, query.cursor, _HOST_KEYS, lambda one: one.host)

        def wanted(one: HostCheck) -> bool:
            return is_in(one.host, query.host) and (not query.readiness or one.readiness in query.readiness)

        return Answer(await sorted_page(self._readiness.checks, query, order, wanted, _host))

    @operation(
        "POST",
        "/v1/fenced-hosts/{host}/test",
        tag="Fencing",
        roles=ADMINISTRATORS,
        answers={200: "What the devices of the host answered."},
    )
    async def test_fenced_host(self, call: Call[None, None]) -> Answer[FencedHostOut]:
        """Ask the devices of a host now: login, identity and state. Nothing is switched.

        It takes as long as the slowest device, half a minute at most.
        """
        return Answer(_host(await self._readiness.check(call.path["host"])))

    def _devices(self) -> list[FenceDeviceOut]:
        found: dict[str, list[StepCheck]] = {name: [] for name in self._fences.devices}
        for check in self._readiness.checks:
            for level in check.levels:
                for step in level.steps:
                    if step.device in found:
                        found[step.device].append(step)
        hosts = dict.fromkeys(found, 0)
        for plan in self._fences.plans.values():
            for name in {step.device for level in plan.levels for step in level.steps}:
                hosts[name] += 1
        return [_device(name, facts, found[name], hosts[name]) for name, facts in self._fences.facts.items()]


def _device(name: str, facts: DeviceFacts, steps: list[StepCheck], hosts: int) -> FenceDeviceOut:
    broken = [step for step in steps if not step.works]
    return FenceDeviceOut(
        device=name,
        driver=facts.kind,
        cuts=facts.cuts,
        vantage=facts.vantage,
        partial=facts.partial,
        hosts=hosts,
        works=not broken if steps else None,
        detail="; ".join(dict.fromkeys(step.detail for step in broken)),
    )


def _host(check: HostCheck) -> FencedHostOut:
    return FencedHostOut(
        host=check.host,
        readiness=check.readiness,
        checked_time=check.checked,
        reason=check.reason,
        levels=tuple(
            FenceLevelOut(
                rule=level.rule,
                works=level.works,
                automatic=level.automatic,
                detail=level.detail,
                steps=tuple(_step(step) for step in level.steps),
            )
            for level in check.levels
        ),
    )


def _step(step: StepCheck) -> FenceStepOut:
    return FenceStepOut(
        device=step.device,
        plug=step.plug,
        driver=step.kind,
        works=step.works,
        supply=step.supply,
        names=step.names,
        doubt=step.doubt,
        detail=step.detail,
        remark=step.remark,
        took_ms=step.took_ms,
    )
