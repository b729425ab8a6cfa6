"""A commit may be kept although it was answered with an error: what it says holds all the same [I-1, I-22]."""

import asyncio

import msgspec

from doctor.flows.policy import PolicyFlow
from doctor.flows.resource_map import replace_map
from doctor.flows.subscription import EndpointWish
from doctor.inspector.catalogue import default_catalogue
from doctor.model.errors import StoreError
from doctor.model.identity import Identity, Role
from doctor.model.notification import Refused
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import SubscribeFilter
from doctor.ports.store import Change
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import small_nfvi

RED = Identity(name="red", role=Role.CONSUMER, project="red")
MAP = msgspec.json.encode({"physical_resources": [{"id": "compute-9"}]})
POLICY = """
version: 1
description: only hosts
faults:
  - {name: host-down, when: {type: compute.host.down}}
"""


def unsure_from(story: Scenario, second: float) -> None:
    """Let the next commit be kept, and answered with an error."""
    store = story.store
    assert isinstance(store, FallibleStore)
    story.at(second).do(lambda: setattr(store, "unsure", 1))


def test_what_was_kept_is_told_when_the_monitor_comes_again() -> None:
    """[I-1] To the Doctor that reads the store anew the event is a duplicate; its notification still waits there."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    unsure_from(story, 0.5)
    story.at(1.0).push(host_down("compute-1", seen=1.0)).fails()
    story.at(2.0).push(host_down("compute-1", seen=1.0)).is_duplicate()
    story.want("vnfm-red").between(2.0, 2.0).gets("vm-1 is error")
    story.play()


def test_what_was_kept_is_told_also_if_nobody_comes_again() -> None:
    """[I-8] Memory mends itself."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).mend()
    unsure_from(story, 0.5)
    story.at(1.0).push(host_down("compute-1", seen=1.0)).fails()
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.play()


def test_a_subscription_that_was_kept_is_served() -> None:
    """[I-1] Although who asked was told that it failed."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store)
    unsure_from(story, 0.5)

    async def subscribe() -> None:
        wishes = [EndpointWish("http://unsure/0", "doctor", None)]
        try:
            await story.doctor.subscriptions.create(RED, SubscribeFilter(), wishes, resource_ids=[])
        except StoreError:
            (story.subscriptions["unsure"],) = store._subscriptions.values()

    story.note(1.0, subscribe)
    story.at(2.0).push(host_down("compute-1"))
    story.want("unsure").between(2.0, 2.0).gets("vm-1 is error")
    story.play()


def test_a_subscription_whose_end_was_kept_is_told_nothing() -> None:
    """The other way round."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    story.at(0.0).subscribe("vnfm-red", project="red")
    unsure_from(story, 0.5)

    async def leave() -> None:
        subscription_id = story.subscriptions["vnfm-red"].subscription_id
        try:
            await story.doctor.subscriptions.delete(RED, subscription_id)
        except StoreError:
            return
        raise AssertionError("the commit should have failed")

    story.note(1.0, leave)
    story.at(2.0).push(host_down("compute-1"))
    story.want("vnfm-red").hears_nothing()
    story.play()


def test_a_map_and_a_policy_that_were_kept_are_in_force() -> None:
    """[I-22] Else a restart would change what holds, long after."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    policies = PolicyFlow(default_catalogue(), story.clock)
    seen: list[object] = []

    async def load_map() -> None:
        situation = story.doctor.situation
        try:
            await replace_map(story.doctor.faults, ResourceMap(), MAP)
        except StoreError:
            seen.append(len(situation.resources.physical))
            await situation.ready()
            seen.append(len(situation.resources.physical))

    async def apply_policy() -> None:
        situation = story.doctor.situation
        try:
            await policies.apply(situation, POLICY, user="operator")
        except StoreError:
            await situation.ready()
            seen.append((situation.selector.policy.description, policies.current(situation).version))

    unsure_from(story, 0.5)
    story.note(1.0, load_map)
    unsure_from(story, 1.5)
    story.note(2.0, apply_policy)
    story.run()
    assert seen == [2, 0, ("only hosts", 1)]


def test_two_policies_at_once_are_two_versions() -> None:
    """What is in force is what was kept last."""
    story = Scenario(small_nfvi(), store=FallibleStore(seconds=0.05))
    policies = PolicyFlow(default_catalogue(), story.clock)
    versions: list[int] = []

    async def both() -> None:
        situation = story.doctor.situation
        applied = await asyncio.gather(
            *(policies.apply(situation, POLICY, user=name) for name in ("one", "two"))
        )
        versions.extend(stored.version for stored, _ in applied)
        versions.append(policies.current(situation).version)

    story.note(1.0, both)
    story.run()
    assert sorted(versions[:2]) == [1, 2]
    assert versions[2] == 2


class ForgetfulStore(FallibleStore):
    """A store whose process always dies before it has written what can wait."""

    def later(self, change: Change) -> None:
        """Lose it."""


def test_what_was_left_out_stays_behind() -> None:
    """[I-5, I-20] A crash does not bring a parked message back behind those that came after it."""
    story = Scenario(small_nfvi(), store=ForgetfulStore())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).answer("vnfm-red", *[Refused("422", 422)] * 3)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.at(3.0).crash()
    story.at(4.0).start()
    for second in (2.0, 4.0):
        story.want("vnfm-red").between(second, second).gets_clear("vm-1 is normal")
    story.play()
    assert [heard.sequence for heard in story.heard("vnfm-red")] == [2, 2]


def test_a_message_is_left_out_only_when_that_can_be_kept() -> None:
    """[I-20] As long as the disk fails, the lane waits, and nothing overtakes."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).mend()
    story.at(0.5).answer("vnfm-red", *[Refused("422", 422)] * 3)
    story.at(1.0).push(host_down("compute-1"), host_up("compute-1", seen=1.5))
    story.at(1.01).do(lambda: setattr(store, "breaks", 1))
    story.want("vnfm-red").between(1.2, 3.0).gets_clear("vm-1 is normal")
    story.play()
