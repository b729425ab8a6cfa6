"""A site whose hosts are emptied for work on them, on the embedded controller: ten hosts with a machine each."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import msgspec

from doctor.flows.maintenance import MaintenanceFlow
from doctor.flows.maintenance_desk import HostWish, MaintenanceDesk, Reply, Request
from doctor.flows.maintenance_opening import DisabledHosts
from doctor.flows.maintenance_session import NamedAction, SessionKeeper
from doctor.flows.situation import MAINTENANCE_POLICY_MEMO
from doctor.model.identity import Identity, Role
from doctor.model.maintenance import (
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    MaintenanceLimits,
    MaintenancePolicy,
    Session,
)
from doctor.model.resource import VirtualResource
from doctor.model.scope import Scope, ScopeKind
from doctor.model.subscription import Endpoint, Subscription
from doctor.ports.action import MaintenanceAction
from doctor.ports.store import Change, Memo
from doctor.profiler.availability import SHIPPED, Levels
from tests.scenarios.isolation_site import armed
from tests.scenarios.recovery_site import RED, Recovering, World

ADMIN = Identity(name="alice", role=Role.ADMIN, project=None)
BOB = Identity(name="bob", role=Role.ADMIN, project=None)
BLUE = Identity(name="blue-vnfm", role=Role.CONSUMER, project="blue")
REPLY_TO = "http://oam/"
ACTION_TIMEOUT = timedelta(seconds=60)


class Maintained(Recovering):
    """One process of Doctor, which empties hosts."""

    def __init__(
        self,
        world: World,
        limits: MaintenanceLimits | None = None,
        levels: Levels = SHIPPED,
        actions: Mapping[str, MaintenanceAction] | None = None,
        open_on_disabled: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(world, **more)
        limits = limits or MaintenanceLimits()
        named = {name: NamedAction(one, ACTION_TIMEOUT) for name, one in (actions or {}).items()}
        keeper = SessionKeeper(self.situation, self.instructions, self.delivery, named)
        keeper.on_changed(self.isolation.heard)
        self.emptying = MaintenanceFlow(
            self.situation, keeper, self.instructions, self.delivery, self.isolation, self.clock, limits
        )
        self.maintenance = MaintenanceDesk(
            self.situation,
            keeper,
            self.faults,
            self.delivery,
            self.channel,
            self.clock,
            self.emptying.ring,
            limits,
            levels,
        )
        self.disabled = DisabledHosts(self.situation, keeper, self.maintenance, open_on_disabled)
        self.faults.on_settled(self.emptying.settled)
        self.faults.on_settled(self.disabled.settled)

    async def start(self) -> None:
        await super().start()
        for name, project in (("admin", None), ("blue", "blue")):
            if self.situation.subscriptions.get(name) is None:
                endpoint = Endpoint(endpoint_id=f"{name}-0", url=f"http://{name}/")
                made = Subscription(
                    subscription_id=name,
                    project=project,
                    endpoints=(endpoint,),
                    created=self.clock.now(),
                )
                await self.situation.keep(Change(subscriptions=[made]))
                self.situation.subscriptions.put(made)
        for one in self.situation.subscriptions:
            self.delivery.follow(one)

    def works(self) -> list[Coroutine[Any, Any, None]]:
        return [*super().works(), self.emptying.run(), self.disabled.run()]

    # --- what people do ---

    async def request(self, *hosts: str, seconds: float = 60.0, **more: Any) -> Session:
        """Let the Administrator ask for hosts to be emptied."""
        wishes = tuple(HostWish(host) for host in hosts or ("compute-1",))
        usual: dict[str, Any] = {
            "timeout": timedelta(seconds=seconds),
            "reply_to": REPLY_TO,
            "reason": "firmware",
        }
        return await self.maintenance.create(ADMIN, Request(wishes, **{**usual, **more}))

    async def agree_beforehand(
        self, action: Deed, machine: str = "vm-1", project: str = "red", **more: Any
    ) -> MaintenancePolicy:
        """Let an owner say what may be done to a machine of his."""
        policy = MaintenancePolicy(
            project=project, scope=Scope(ScopeKind.MACHINE, machine), action=action, **more
        )
        record = msgspec.msgpack.encode(policy)
        memo = Memo(kind=MAINTENANCE_POLICY_MEMO, key=f"{project} {policy.scope}", record=record)
        await self.situation.keep(Change(memos=[memo]))
        self.situation.maintenance_policies.put(policy)
        return policy

    async def reply(
        self, session: Session, actions: Mapping[str, Deed] | None = None, who: Identity = RED, **more: Any
    ) -> list[Guest]:
        """Let an owner answer."""
        return await self.maintenance.reply(who, session.session_id, Reply(actions or {}, **more))

    # --- what there is to see ---

    def work(self, host: str = "compute-1") -> HostWork:
        """Return the last work on a host."""
        found = [
            one
            for session in self.situation.maintenance
            for one in self.situation.maintenance.works(session.session_id)
            if one.host == host
        ]
        return found[-1]

    def guest(self, machine: str = "vm-1", host: str = "compute-1") -> Guest:
        """Return how it is with a machine."""
        found = self.work(host).guest(machine)
        assert found is not None
        return found

    def session(self, session: Session) -> Session:
        """Return a session as it is now."""
        found = self.situation.maintenance.get(session.session_id)
        assert found is not None
        return found

    async def stands(self, stage: HostStage, host: str = "compute-1") -> HostWork:
        """Wait until a host is in a stage."""
        await self.until_so(lambda: self.work(host).stage is stage, f"{host} never was {stage}")
        return self.work(host)

    async def machine_is(self, state: GuestState, machine: str = "vm-1", host: str = "compute-1") -> Guest:
        """Wait until it is so with a machine."""

        def is_so() -> bool:
            found = self.work(host).guest(machine)
            return found is not None and found.state is state

        await self.until_so(is_so, f"{machine} never was {state}")
        return self.guest(machine, host)

    async def told_to_owner(self, subscription_id: str = "red") -> list[dict[str, Any]]:
        """Return what a subscription was told of maintenance, in order."""
        await asyncio.sleep(0.05)
        found = [one for one in self.channel.attempts if one.endpoint_id == f"{subscription_id}-0"]
        bodies = [msgspec.json.decode(one.notification.body) for one in found]
        return [one for one in bodies if one["notification_type"] == "maintenance"]

    async def phases(self, subscription_id: str = "red") -> list[str]:
        """Return what those say."""
        return [one["maintenance"]["phase"] for one in await self.told_to_owner(subscription_id)]

    async def responses(self) -> list[dict[str, Any]]:
        """Return the StateChangeResponses."""
        await asyncio.sleep(0.05)
        ids = {one.session_id for one in self.situation.maintenance}
        found = [one for one in self.channel.attempts if one.notification.subscription_id in ids]
        return [msgspec.json.decode(one.notification.body) for one in found]

    def machine_named(self, name: str) -> VirtualResource:
        """Return a machine as the map has it."""
        return self.situation.resources.virtual[name]

    def state_of(self, resource_id: str) -> str:
        """Return the state of a resource."""
        return self.situation.book.state_of(resource_id).value

    async def crash(self, world: World, **more: Any) -> "Maintained":
        """Kill this process, and start another one on what outlives it."""
        moved = dict(self.situation.moved)
        await self.die()
        other = Maintained(world, **more)
        await other.start()
        assert moved.keys() <= other.situation.moved.keys()
        return other


def maintained(world: World | None = None, **more: Any) -> AbstractAsyncContextManager[Maintained]:
    """Run a Doctor whose zone is armed."""
    return armed(Maintained(world or World(), **more))


def machine(name: str, host: str, **more: Any) -> VirtualResource:
    """Return a machine of red's, if nobody else's."""
    return VirtualResource(**{"id": name, "host": host, "owner": "red", "vcpus": 1, "memory_mb": 1, **more})
