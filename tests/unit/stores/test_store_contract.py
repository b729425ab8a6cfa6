"""Both stores keep the contract, and the simple one says what the other has to do."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.drivers.stores.memory import MemoryStore
from doctor.drivers.stores.sqlite import SqliteStore
from doctor.model.errors import StoreError
from doctor.ports.store import Change, Snapshot, Store
from doctor.testing.contracts.store import (
    NOON,
    OTHER,
    OWNER,
    SECOND,
    StoreContract,
    batch,
    delivery,
    notification,
    policy,
    record,
    reopen,
    subscription,
    timeline,
    token,
)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self) -> Store:
        return MemoryStore()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "data" / "doctor.db")
        await store.load(recent_events=0)
        yield store
        await store.close()


numbers = st.integers(1, 5)
times = numbers.map(lambda n: NOON + n * SECOND)
keys = numbers.map(lambda n: f"f-{n}")
owners = st.sampled_from((OWNER, OTHER))
endpoints = st.sampled_from(("one", "two"))


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, max_size=2)


changes = st.builds(
    Change,
    batches=some(st.builds(batch, numbers, numbers, received=times)),
    faults=some(st.builds(record, keys, alarms=st.integers(0, 2), cleared=st.none() | times)),
    repeats=st.dictionaries(keys, numbers, max_size=2),
    notifications=some(st.builds(notification, numbers, owners, created=times)),
    deliveries=some(st.builds(delivery, numbers, endpoints, owners, numbers)),
    subscriptions=some(st.builds(subscription, owners, endpoints, since=st.integers(0, 4))),
    forget_subscriptions=some(owners),
    tokens=some(st.builds(token, keys)),
    forget_tokens=some(keys),
    timelines=some(st.builds(timeline, keys, times)),
    policies=some(st.builds(policy, numbers, st.sampled_from(("a", "b")))),
    resource_map=st.none() | st.binary(max_size=2),
)
# What happens: changes side by side, the last of them perhaps without waiting; or things are forgotten.
happenings = st.lists(st.tuples(st.lists(changes, max_size=4), st.booleans(), st.none() | times), max_size=6)


@given(happenings)
@settings(max_examples=300 if os.environ.get("DOCTOR_SOAK") else 30, deadline=None)
def test_the_twins_agree(story: list[tuple[list[Change], bool, Any]]) -> None:
    with TemporaryDirectory() as folder:
        real = asyncio.run(told_by(SqliteStore(Path(folder) / "doctor.db"), story))
        assert real == asyncio.run(told_by(MemoryStore(), story))


async def told_by(store: Store, story: list[tuple[list[Change], bool, Any]]) -> list[Any]:
    """Live through the story and tell all that can be asked for afterwards."""
    await store.load(recent_events=0)
    heard: list[Any] = []
    for changes, last_is_later, forgetting in story:
        if last_is_later and changes:
            outcomes = await asyncio.gather(*map(store.commit, changes[:-1]), return_exceptions=True)
            later_on(store, changes[-1])
        else:
            outcomes = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
        heard.append([isinstance(outcome, StoreError) for outcome in outcomes])
        if forgetting is not None:
            await store.commit(Change())
            heard.append(await store.prune(before=forgetting))
    snapshot = await reopen(store, recent_events=7)
    heard.append(Snapshot(**{**as_dict(snapshot), "instance_secret": b""}))
    for owner in (OWNER, OTHER):
        heard.append(await store.notifications(owner, after=0, limit=9))
        heard.append(await store.deliveries(owner, after=1, limit=2))
        heard += [await store.pending(owner, name, after=1, limit=2) for name in ("one", "two")]
    heard.append(await store.closed_faults(before=None, limit=3))
    heard.append(await store.closed_faults(before=(NOON + 3 * SECOND, "f-3"), limit=9))
    heard += [await store.fault_of_alarm(f"alarm 0 of f-{n}") for n in range(1, 6)]
    heard.append(await store.timelines(before=None, limit=9))
    heard.append(await store.timelines(before="f-2", limit=2))
    heard.append(await store.policies())
    await store.close()
    return heard


def later_on(store: Store, change: Change) -> None:
    """Hand over what nobody waits for, as only deliveries and timelines are."""
    store.later(Change(deliveries=change.deliveries, timelines=change.timelines))


def as_dict(snapshot: Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
