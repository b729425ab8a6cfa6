"""What every store must do. A driver's tests inherit the suite and make the store::

class TestMyStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        ...  # empty and loaded; closed in the end
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.model.ageing import Limit
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.checkpoint import Checkpoint, ConsumerTimeline, Timeline
from doctor.model.errors import StoreError
from doctor.model.event import EventBatch
from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.fence_job import FenceDecision, FenceJob, FenceState, Says, Statement, Weighed
from doctor.model.fencing import Vantage
from doctor.model.history import FaultHistory, HistoryEntry, Shift, Standing
from doctor.model.identity import Role, Token
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Endpoint, EventKind, SubscribeFilter, Subscription
from doctor.ports.store import Change, FenceChange, Memo, Snapshot, Store, StoredPolicy

NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OWNER, OTHER = "subscription-a", "subscription-b"


async def reopen(store: Store, *, recent_events: int = 100) -> Snapshot:
    """Close the store and load it again, as a restart does."""
    await store.close()
    return await store.load(recent_events=recent_events)


def event_id(number: int) -> bytes:
    """Make the id of an event."""
    return number.to_bytes(16)


def batch(*numbers: int, received: datetime = NOON) -> EventBatch:
    """Make a batch of events with these ids."""
    event_ids = b"".join(map(event_id, numbers))
    return EventBatch(received_time=received, source="ping", event_ids=event_ids, body=b'{"n":1}')


def record(key: str, *, alarms: int = 2, cleared: datetime | None = None, **details: Any) -> AlarmedFault:
    """Make a fault of a host and the alarms of machines on it."""
    fault = Fault(
        fault_key=key,
        resource_id="compute-1",
        resource_type="host",
        fault_type="compute.host.down",
        rule="host down",
        severity=Severity.CRITICAL,
        state=ResourceState.DOWN,
        event_type=EventType.EQUIPMENT,
        probable_cause="no answer",
        recommended_action="look at it",
        raised_by="event-1",
        event_time=NOON,
        raised_time=NOON,
        cleared_time=cleared,
        details=details,
    )
    return AlarmedFault(fault=fault, alarms={f"vm-{n}": _alarm(key, n, cleared) for n in range(alarms)})


def _alarm(key: str, number: int, cleared: datetime | None) -> Alarm:
    return Alarm(
        alarm_id=f"alarm {number} of {key}",
        fault_id=f"fault {key}",
        resource_id=f"vm-{number}",
        resource_type="virtual machine",
        project="tenant-a",
        severity=Severity.MAJOR,
        resource_state=ResourceState.ERROR,
        is_root_cause=False,
        raised_time=NOON,
        cleared_time=cleared,
    )


def entry(key: str, transition: int, *ended: Alarm) -> HistoryEntry:
    """Make a step of the past of a fault."""
    before = Standing(Severity.MAJOR, ResourceState.ERROR, False)
    shift = Shift(before, replace(before, severity=Severity.MINOR), None)
    return HistoryEntry(
        fault_key=key, transition=transition, time=NOON, raised=("a",), shifts=(shift,), ended=ended
    )


def notification(
    sequence: int, subscription: str = OWNER, *, created: datetime = NOON, body: bytes = b'{"a":"\xc3\xa4"}'
) -> StoredNotification:
    """Make a notification whose id follows from its subscription and sequence."""
    return StoredNotification(
        notification_id=f"{subscription} {sequence}",
        subscription_id=subscription,
        sequence=sequence,
        fault_key="fault-1",
        created=created,
        body=body,
    )


def delivery(sequence: int, endpoint: str = "one", subscription: str = OWNER, attempts: int = 1) -> Delivery:
    """Make the entry of a notification that was received."""
    return Delivery(
        subscription_id=subscription,
        sequence=sequence,
        endpoint_id=endpoint,
        state=DeliveryState.DELIVERED,
        attempts=attempts,
        told=NOON,
        received=NOON + SECOND,
    )


def subscription(
    key: str = OWNER, *endpoints: str, since: int = 0, project: str | None = "tenant-a"
) -> Subscription:
    """Make a subscription with endpoints of these names."""
    return Subscription(
        subscription_id=key,
        project=project,
        filter=SubscribeFilter(
            fault_type=frozenset({"compute.host.down", "compute.memory.failure"}),
            min_severity=Severity.MINOR,
            event=frozenset({EventKind.FAULT}),
        ),
        endpoints=tuple(
            Endpoint(endpoint_id=name, url=f"https://{name}.example/", secret="whsec_eA==", since=since)  # noqa: S106
            for name in endpoints
        ),
        created=NOON,
    )


def token(key: str, role: Role = Role.CONSUMER) -> Token:
    """Make a token."""
    return Token(token_id=key, sha256=f"sha of {key}", role=role, project="tenant-a", created=NOON)


def timeline(key: str, accepted: datetime = NOON) -> Timeline:
    """Make the timeline of a fault that one Consumer was told of."""
    return Timeline(
        fault_id=key,
        fault_type="compute.host.down",
        resource_id="compute-1",
        checkpoints={Checkpoint.OCCURRED: NOON - SECOND, Checkpoint.ACCEPTED: accepted},
        consumers=[ConsumerTimeline(subscription_id=OWNER, notification_id="n-1", told=accepted)],
    )


def policy(version: int, text: str = "rules: []\n# \u00e4") -> StoredPolicy:
    """Make a policy."""
    return StoredPolicy(version=version, applied=NOON, user="admin", text=text)


def fence_job(host: str = "compute-1", *, revision: int = 1, **more: Any) -> FenceJob:
    """Make the isolation of a host."""
    said = Statement(host=host, reporter="ping", says=Says.DEAD, time=NOON, since=NOON)
    return FenceJob(
        **{
            "host": host,
            "zone": "az-1",
            "generation": 1,
            "revision": revision,
            "state": FenceState.SUSPECT,
            "fault_key": "f-1",
            "since": NOON,
            "changed": NOON,
            "fences": (NOON,),
            "evidence": (Weighed(statement=said, vantage=Vantage.IN_BAND),),
            **more,
        }
    )


def fence_decision(digest: str, host: str = "compute-1") -> FenceDecision:
    """Make a decision on fencing."""
    return FenceDecision(
        host=host,
        generation=1,
        revision=1,
        time=NOON,
        decision="authorise",
        state=FenceState.AUTHORISED,
        reason="",
        digest=digest,
    )


class StoreContract:
    """The suite. A subclass has the fixture ``store``."""

    # --- what a starting Doctor takes over ---

    async def test_an_empty_store_has_nothing_but_a_secret(self, store: Store) -> None:
        """The secret keys the names by which owners see hosts."""
        snapshot = await reopen(store)
        assert len(snapshot.instance_secret) == 32
        assert snapshot == Snapshot(instance_secret=snapshot.instance_secret)

    async def test_the_secret_stays(self, store: Store) -> None:
        """Hosts have the same names for their owners after a restart."""
        assert (await reopen(store)).instance_secret == (await reopen(store)).instance_secret

    async def test_a_snapshot_has_all_that_was_kept(self, store: Store) -> None:
        """Every kind of record comes back equal."""
        await store.commit(
            Change(
                batches=[batch(1, 2), batch(3)],
                faults=[record("f-1", zone="a", nested={"n": [1, 2.5, None, True]}), record("f-2", alarms=0)],
                repeats={"f-1": 3},
                notifications=[notification(1), notification(2), notification(7, OTHER)],
                subscriptions=[subscription(OWNER, "one", "two"), subscription(OTHER, project=None)],
                tokens=[token("t-1"), token("t-2", Role.ADMIN)],
                policies=[policy(1), policy(2)],
                resource_map=b'{"hosts":[]}',
            )
        )
        snapshot = await reopen(store)
        assert snapshot == Snapshot(
            instance_secret=snapshot.instance_secret,
            event_ids=event_id(1) + event_id(2) + event_id(3),
            faults=[record("f-1", zone="a", nested={"n": [1, 2.5, None, True]}), record("f-2", alarms=0)],
            repeats={"f-1": 3},
            subscriptions=[subscription(OWNER, "one", "two"), subscription(OTHER, project=None)],
            sequences={OWNER: 2, OTHER: 7},
            tokens=[token("t-1"), token("t-2", Role.ADMIN)],
            policy=policy(2),
            resource_map=b'{"hosts":[]}',
        )

    async def test_the_newest_event_ids_are_enough(self, store: Store) -> None:
        """Old repeats are not looked for. The newest are those received last."""
        await store.commit(Change(batches=[batch(4, 5, received=NOON + SECOND)]))
        await store.commit(Change(batches=[batch(1, 2, 3)]))
        assert (await reopen(store, recent_events=4)).event_ids == b"".join(map(event_id, (2, 3, 4, 5)))
        assert (await reopen(store, recent_events=0)).event_ids == b""

    async def test_an_empty_change_is_well(self, store: Store) -> None:
        """It is acknowledged when what came before it is durable."""
        store.later(Change(deliveries=[delivery(1)]))
        await store.commit(Change())
        assert await store.deliveries(OWNER, after=0, limit=10) == [delivery(1)]

    async def test_what_waits_is_written_before_closing(self, store: Store) -> None:
        """An orderly end loses nothing."""
        store.later(Change(deliveries=[delivery(1)], timelines=[timeline("f-1")]))
        await reopen(store)
        assert await store.deliveries(OWNER, after=0, limit=10) == [delivery(1)]
        assert await store.timeline("f-1") == timeline("f-1")

    async def test_it_may_be_closed_twice(self, store: Store) -> None:
        """A shutdown may come from two sides."""
        await store.close()
        await store.close()

    # --- faults ---

    async def test_memos_come_back_until_they_are_forgotten(self, store: Store) -> None:
        """The last record of a key counts, also within one change; kinds do not know each other."""
        await store.commit(
            Change(
                memos=[
                    Memo(kind="silence", key="1", record=b"first"),
                    Memo(kind="silence", key="1", record=b"second"),
                    Memo(kind="silence", key="2", record=b"other"),
                    Memo(kind="group", key="1", record=b""),
                ]
            )
        )
        store.later(Change(memos=[Memo(kind="silence", key="2", record=None)]))
        await store.commit(Change(memos=[Memo(kind="silence", key="unknown", record=None)]))
        snapshot = await reopen(store)
        assert snapshot.memos == {"silence": {"1": b"second"}, "group": {"1": b""}}

    async def test_nothing_of_a_change_is_kept_in_an_office_that_is_lost(self, store: Store) -> None:
        """[I-14] By this an instruction begins: the record of who was overtaken is refused whole."""
        began = Change(memos=[Memo(kind="instruction", key="1", record=b"running")])
        await store.commit(Change(fencing=FenceChange(epoch=1, takes_office=True)))
        await store.commit(Change(memos=[Memo(kind="instruction", key="1", record=b"queued")]))
        await store.commit(Change(fencing=FenceChange(epoch=2, takes_office=True)))
        began.fencing = FenceChange(epoch=1)
        with pytest.raises(StoreError):
            await store.commit(began)
        assert (await reopen(store)).memos == {"instruction": {"1": b"queued"}}
        began.fencing = FenceChange(epoch=2)
        await store.commit(began)
        assert (await reopen(store)).memos == {"instruction": {"1": b"running"}}

    async def test_the_last_record_of_a_fault_counts(self, store: Store) -> None:
        """Open faults come back in the order of their first record."""
        await store.commit(Change(faults=[record("f-1"), record("f-2")]))
        await store.commit(Change(faults=[record("f-1", alarms=3)]))
        assert (await reopen(store)).faults == [record("f-1", alarms=3), record("f-2")]

    async def test_a_cleared_fault_is_history(self, store: Store) -> None:
        """It is found by its alarms and in the list; an open one is not, since the flows have it in memory."""
        await store.commit(Change(faults=[record("f-1"), record("f-2")]))
        assert await store.fault_of_alarm("alarm 0 of f-1") is None
        cleared = record("f-1", cleared=NOON + SECOND)
        await store.commit(Change(faults=[cleared]))
        assert await store.fault_of_alarm("alarm 1 of f-1") == cleared
        assert await store.fault_of_alarm("alarm 0 of f-2") is None
        assert await store.fault_of_alarm("no such alarm") is None
        assert await store.closed_faults(before=None, limit=10) == [cleared]
        assert (await reopen(store)).faults == [record("f-2")]

    async def test_the_past_of_a_fault_comes_back_in_order(self, store: Store) -> None:
        """Entries are added, never replaced, and those of other faults are none of it."""
        await store.commit(Change(faults=[record("f-1")], history=[entry("f-1", 2), entry("f-2", 2)]))
        await store.commit(Change(history=[entry("f-1", 3)], repeats={"f-1": 7}))
        await reopen(store)
        past = await store.fault_history("f-1")
        assert ([one.transition for one in past.entries], past.repeats) == ([2, 3], 7)
        assert past.entries[0] == entry("f-1", 2)
        assert await store.fault_history("nobody") == FaultHistory()

    async def test_an_alarm_that_ended_before_its_fault_is_found(self, store: Store) -> None:
        """Also while the fault goes on, and when another alarm has taken its place."""
        ended = _alarm("f-1, first", 0, NOON)
        await store.commit(Change(faults=[record("f-1")], history=[entry("f-1", 2, ended)]))
        for cleared in (None, NOON + SECOND):
            now = record("f-1", cleared=cleared)
            await store.commit(Change(faults=[now]))
            found = await store.fault_of_alarm(ended.alarm_id)
            assert found is not None
            assert found.fault == now.fault
            assert found.alarms == {**now.alarms, ended.resource_id: ended}
        assert await store.fault_of_alarm("no such alarm") is None

    async def test_it_says_which_faults_it_has(self, store: Store) -> None:
        """Open or cleared."""
        await store.commit(Change(faults=[record("f-1"), record("f-2", cleared=NOON)]))
        assert await store.kept_faults(["f-1", "f-2", "f-3"]) == {"f-1", "f-2"}
        assert await store.kept_faults([]) == set()

    async def test_it_says_what_became_of_notifications(self, store: Store) -> None:
        """Of those that name the alarm; how they ended is said for each endpoint."""
        named = notification(1, body=b'{"alarm_id":"alarm-1"}')
        await store.commit(Change(notifications=[named, notification(2), notification(1, OTHER)]))
        ends = [delivery(1, "one"), delivery(1, "two", attempts=3)]
        await store.commit(Change(deliveries=[*ends, delivery(2)]))
        ids = [f"{OWNER} 1", f"{OWNER} 2", f"{OTHER} 1", "unknown"]
        (found,) = await store.outgoing(ids, naming="alarm-1")
        assert (found.notification_id, found.subscription_id, found.sequence) == (f"{OWNER} 1", OWNER, 1)
        assert (found.created, found.deliveries) == (NOON, tuple(ends))
        everything = await store.outgoing(ids, naming='"')
        assert [len(one.deliveries) for one in everything] == [2, 1, 0]

    async def test_cleared_faults_come_in_pages(self, store: Store) -> None:
        """The last cleared comes first; equal times are told apart by the key."""
        times = {"f-1": NOON, "f-2": NOON + 2 * SECOND, "f-3": NOON + SECOND, "f-4": NOON + SECOND}
        await store.commit(Change(faults=[record(key, cleared=time) for key, time in times.items()]))
        seen: list[str] = []
        before: tuple[datetime, str] | None = None
        while page := await store.closed_faults(before=before, limit=1):
            (found,) = page
            assert found.fault.cleared_time is not None
            seen.append(found.fault.fault_key)
            before = (found.fault.cleared_time, found.fault.fault_key)
        assert seen == ["f-2", "f-4", "f-3", "f-1"]

    async def test_repeats_add_up(self, store: Store) -> None:
        """The counter is of open faults only."""
        await store.commit(Change(faults=[record("f-1"), record("f-2")], repeats={"f-1": 1}))
        await store.commit(Change(repeats={"f-1": 2, "f-2": 1}))
        await store.commit(Change(faults=[record("f-2", cleared=NOON)]))
        assert (await reopen(store)).repeats == {"f-1": 3}

    # --- fencing: who has not seen what is kept writes nothing [I-14, I-17] ---

    async def test_the_isolation_of_hosts_is_kept(self, store: Store) -> None:
        """A successor goes on from the last job of each host, the office, the count and the end of the log."""
        await store.commit(Change(fencing=FenceChange(epoch=1, takes_office=True, jobs=(fence_job(),))))
        second = fence_job(revision=2, state=FenceState.AUTHORISED)
        decided = fence_decision("d-1")
        await store.commit(
            Change(fencing=FenceChange(epoch=1, authorised=0, jobs=(second,), decisions=(decided,)))
        )
        snapshot = await reopen(store)
        assert (snapshot.fence_jobs, snapshot.fence_epoch) == ([second], 1)
        assert (snapshot.fences_authorised, snapshot.fence_digest) == (1, "d-1")

    @pytest.mark.parametrize(
        "refused",
        [
            pytest.param(FenceChange(epoch=2), id="an office that nobody has taken"),
            pytest.param(FenceChange(epoch=0), id="an office of before"),
            pytest.param(FenceChange(epoch=1, takes_office=True), id="an office that is taken"),
            pytest.param(FenceChange(epoch=3, takes_office=True), id="an office too far"),
            pytest.param(FenceChange(epoch=1, jobs=(fence_job(revision=1),)), id="the same step again"),
            pytest.param(FenceChange(epoch=1, jobs=(fence_job(revision=3),)), id="a step that was left out"),
            pytest.param(
                FenceChange(epoch=1, jobs=(fence_job("compute-2", revision=2),)), id="no first step"
            ),
            pytest.param(
                FenceChange(epoch=1, authorised=0, jobs=(fence_job(revision=2),)), id="a budget that is spent"
            ),
            pytest.param(FenceChange(epoch=1, decisions=(fence_decision("d-1"),)), id="a decision twice"),
        ],
    )
    async def test_a_step_of_fencing_that_does_not_fit_is_refused_whole(
        self, store: Store, refused: FenceChange
    ) -> None:
        """Nothing of the change is kept, and the store goes on."""
        first = FenceChange(epoch=1, takes_office=True, authorised=0, jobs=(fence_job(),))
        await store.commit(Change(fencing=first))
        await store.commit(Change(fencing=FenceChange(epoch=1, decisions=(fence_decision("d-1"),))))
        before = await reopen(store)
        with pytest.raises(StoreError):
            await store.commit(Change(memos=[Memo(kind="k", key="k", record=b"no")], fencing=refused))
        assert await reopen(store) == before
        await store.commit(Change(fencing=FenceChange(epoch=1, jobs=(fence_job(revision=2),))))

    async def test_of_two_who_would_authorise_one_does(self, store: Store) -> None:
        """Two at the same time overspend no budget, also in one group."""
        await store.commit(Change(fencing=FenceChange(epoch=1, takes_office=True)))
        both = await asyncio.gather(
            *(
                store.commit(
                    Change(fencing=FenceChange(epoch=1, authorised=0, jobs=(fence_job(f"compute-{n}"),)))
                )
                for n in (1, 2)
            ),
            return_exceptions=True,
        )
        assert [type(one) for one in both] == [type(None), StoreError]
        assert (await reopen(store)).fences_authorised == 1

    async def test_decisions_come_newest_first_and_by_host(self, store: Store) -> None:
        """They are read page by page."""
        decisions = tuple(fence_decision(f"d-{n}", f"compute-{n % 2}") for n in range(5))
        await store.commit(Change(fencing=FenceChange(epoch=1, takes_office=True, decisions=decisions)))
        found = await store.fence_decisions(limit=3)
        assert [one.digest for _, one in found] == ["d-4", "d-3", "d-2"]
        assert [one.digest for _, one in await store.fence_decisions(before=found[-1][0])] == ["d-1", "d-0"]
        assert [one.digest for _, one in await store.fence_decisions(host="compute-1")] == ["d-3", "d-1"]

    # --- the outbox ---

    async def test_notifications_come_back_in_order(self, store: Store) -> None:
        """The bytes are the same for every attempt [I-4]."""
        sent = [notification(n, body=bytes(range(256)) * n) for n in range(1, 6)]
        await store.commit(Change(notifications=[sent[1], sent[0], notification(1, OTHER)]))
        await store.commit(Change(notifications=sent[2:]))
        assert await store.notifications(OWNER, after=1, limit=3) == sent[1:4]
        assert await store.notifications(OWNER, after=5, limit=3) == []
        assert await store.notifications("unknown", after=0, limit=3) == []
        assert await store.notification(sent[2].notification_id) == sent[2]
        assert await store.notification("unknown") is None

    async def test_the_same_notification_again_is_nothing_new(self, store: Store) -> None:
        """A step that is done again after a crash makes the same id; the first body stays."""
        await store.commit(Change(notifications=[notification(1)]))
        await store.commit(Change(notifications=[notification(1, body=b"other"), notification(2)]))
        assert await store.notifications(OWNER, after=0, limit=10) == [notification(1), notification(2)]
        assert (await reopen(store)).sequences == {OWNER: 2}

    async def test_a_sequence_is_used_once(self, store: Store) -> None:
        """A change that would use it twice is refused, and nothing of it is kept."""
        await store.commit(Change(notifications=[notification(1)]))
        other = StoredNotification(
            notification_id="another",
            subscription_id=OWNER,
            sequence=1,
            fault_key="",
            created=NOON,
            body=b"{}",
        )
        with pytest.raises(StoreError):
            await store.commit(Change(batches=[batch(1)], notifications=[notification(2), other]))
        assert await store.notifications(OWNER, after=0, limit=10) == [notification(1)]
        snapshot = await reopen(store)
        assert (snapshot.event_ids, snapshot.sequences) == (b"", {OWNER: 1})

    async def test_pending_is_what_an_endpoint_has_not_got(self, store: Store) -> None:
        """Each endpoint has its own; what was parked waits no more."""
        sent = [notification(n) for n in range(1, 6)]
        await store.commit(Change(notifications=sent, subscriptions=[subscription(OWNER, "one", "two")]))
        parked = Delivery(
            subscription_id=OWNER,
            sequence=2,
            endpoint_id="one",
            state=DeliveryState.PARKED,
            attempts=9,
            error="no",
        )
        store.later(Change(deliveries=[delivery(1), parked, delivery(4, "two")]))
        await store.commit(Change())
        assert await store.pending(OWNER, "one", after=0, limit=2) == sent[2:4]
        assert await store.pending(OWNER, "one", after=3, limit=9) == sent[3:]
        assert await store.pending(OWNER, "two", after=2, limit=9) == [sent[2], sent[4]]
        assert await store.pending(OTHER, "one", after=0, limit=9) == []
        assert await store.deliveries(OWNER, after=1, limit=1) == [parked]

    async def test_deliveries_can_be_asked_for_by_how_they_ended(self, store: Store) -> None:
        """[I-20] What is parked is found among all that was delivered; the limit counts what is asked for."""
        parked = [replace(delivery(number, "two"), state=DeliveryState.PARKED) for number in (2, 4)]
        await store.commit(Change(deliveries=[*(delivery(number) for number in range(1, 6)), *parked]))
        state = DeliveryState.PARKED
        assert await store.deliveries(OWNER, after=0, limit=9, state=state) == parked
        assert await store.deliveries(OWNER, after=0, limit=1, state=state) == parked[:1]
        assert await store.deliveries(OWNER, after=2, limit=9, state=state) == parked[1:]

    async def test_deliveries_of_one_notification_stay_together(self, store: Store) -> None:
        """The limit counts notifications, so that a reader who goes on after the last sequence misses nothing."""
        all_of_them = [delivery(n, name) for n in (1, 2, 4) for name in ("one", "two")]
        await store.commit(Change(deliveries=[*reversed(all_of_them), delivery(1, subscription=OTHER)]))
        assert await store.deliveries(OWNER, after=0, limit=2) == all_of_them[:4]
        assert await store.deliveries(OWNER, after=2, limit=2) == all_of_them[4:]

    async def test_changes_are_applied_in_order(self, store: Store) -> None:
        """Whether they wait or not."""
        store.later(Change(deliveries=[delivery(1, attempts=1)]))
        waiting = asyncio.create_task(store.commit(Change(deliveries=[delivery(1, attempts=2)])))
        await asyncio.sleep(0)
        store.later(Change(deliveries=[delivery(1, attempts=3)]))
        await waiting
        await store.commit(Change(subscriptions=[subscription(OWNER, "one")]))
        await asyncio.gather(
            store.commit(Change(forget_subscriptions=[OWNER])),
            store.commit(Change(subscriptions=[subscription(OWNER, "two")])),
            store.commit(Change(tokens=[token("t-1")])),
            store.commit(Change(forget_tokens=["t-1"])),
        )
        assert await store.deliveries(OWNER, after=0, limit=9) == [delivery(1, attempts=3)]
        snapshot = await reopen(store)
        assert snapshot.subscriptions == [subscription(OWNER, "two")]
        assert snapshot.tokens == []

    async def test_many_at_once_are_all_kept(self, store: Store) -> None:
        """Every acknowledged change is there, and every counter has its sum."""
        await store.commit(Change(faults=[record("f-1")]))
        await asyncio.gather(
            *(
                store.commit(Change(batches=[batch(n)], notifications=[notification(n)], repeats={"f-1": 1}))
                for n in range(1, 501)
            )
        )
        snapshot = await reopen(store, recent_events=1000)
        assert sorted(snapshot.event_ids[i : i + 16] for i in range(0, 8000, 16)) == [
            event_id(n) for n in range(1, 501)
        ]
        assert snapshot.sequences == {OWNER: 500}
        assert snapshot.repeats == {"f-1": 500}

    # --- subscriptions, tokens, policies, the resource map ---

    async def test_subscriptions_and_tokens_are_replaced_and_forgotten(self, store: Store) -> None:
        """Forgetting what is not there is well."""
        await store.commit(Change(subscriptions=[subscription(OWNER, "one"), subscription(OTHER)]))
        await store.commit(Change(tokens=[token("t-1"), token("t-2")]))
        await store.commit(
            Change(
                subscriptions=[subscription(OWNER, "two")],
                forget_subscriptions=[OTHER, "unknown"],
                tokens=[token("t-2", Role.AUDITOR)],
                forget_tokens=["t-1", "unknown"],
            )
        )
        snapshot = await reopen(store)
        assert snapshot.subscriptions == [subscription(OWNER, "two")]
        assert snapshot.tokens == [token("t-2", Role.AUDITOR)]

    async def test_the_journal_is_read_in_order_of_arrival(self, store: Store) -> None:
        """Page by page and to the letter, whatever the clock said; from a time on, if that is wanted."""
        assert await store.batches(since=NOON, after=0, limit=9) == []
        kept = [batch(3, received=NOON + SECOND), batch(1, 2), batch(4, received=NOON + 2 * SECOND)]
        for one in kept:
            await store.commit(Change(batches=[one]))
        await store.commit(Change(batches=[batch(6), batch(5)]))
        kept += [batch(6), batch(5)]
        everything = await store.batches(since=NOON, after=0, limit=9)
        assert [one for _, one in everything] == kept
        pages = [await store.batches(since=NOON, after=0, limit=2)]
        while pages[-1]:
            pages.append(await store.batches(since=NOON, after=pages[-1][-1][0], limit=2))
        assert [one for page in pages for one in page] == list(everything)
        assert [one for _, one in await store.batches(since=NOON + SECOND, after=0, limit=9)] == kept[0:3:2]
        later = await store.batches(since=NOON + SECOND, after=everything[0][0], limit=9)
        assert [one for _, one in later] == kept[2:3]
        assert await store.batches(since=NOON + 3 * SECOND, after=0, limit=9) == []

    async def test_what_is_forgotten_is_out_of_the_journal(self, store: Store) -> None:
        """The places of the others stay what they were."""
        await store.commit(Change(batches=[batch(1)]))
        await store.commit(Change(batches=[batch(2, received=NOON + SECOND)]))
        everything = await store.batches(since=NOON, after=0, limit=9)
        await store.prune(before=NOON + SECOND)
        assert await store.batches(since=NOON, after=0, limit=9) == everything[1:]

    async def test_policies_are_history(self, store: Store) -> None:
        """One that was applied is never replaced."""
        await store.commit(Change(policies=[policy(1)]))
        await store.commit(Change(policies=[policy(2, "two")]))
        await store.commit(Change(policies=[policy(2, "two")]))
        with pytest.raises(StoreError):
            await store.commit(Change(policies=[policy(2, "another two")]))
        assert await store.policies() == [policy(2, "two"), policy(1)]

    async def test_policies_come_in_pages(self, store: Store) -> None:
        """The newest first, and all that was said of each."""
        restored = StoredPolicy(
            version=3, applied=NOON, user="me", text="a", description="as it was", restores=1
        )
        await store.commit(Change(policies=[policy(1), policy(2, "two"), restored]))
        assert await store.policies(limit=2) == [restored, policy(2, "two")]
        assert await store.policies(before=2, limit=2) == [policy(1)]
        assert await store.policies(before=1, limit=2) == []

    async def test_the_resource_map_stays_until_another_comes(self, store: Store) -> None:
        """A change without one says nothing about it."""
        await store.commit(Change(resource_map=b"first"))
        await store.commit(Change(batches=[batch(1)]))
        assert (await reopen(store)).resource_map == b"first"
        await store.commit(Change(resource_map=b""))
        assert (await reopen(store)).resource_map == b""

    # --- timelines ---

    async def test_a_timeline_is_kept_as_it_was_handed_in(self, store: Store) -> None:
        """The profiler goes on stamping the same object."""
        handed = timeline("f-1")
        store.later(Change(timelines=[handed]))
        handed.checkpoints[Checkpoint.TOLD] = NOON
        handed.consumers.clear()
        await store.commit(Change())
        assert await store.timeline("f-1") == timeline("f-1")
        assert await store.timeline("unknown") is None

    async def test_timelines_come_in_pages(self, store: Store) -> None:
        """The last begun comes first, however often others are written again."""
        await store.commit(Change(timelines=[timeline(f"f-{n}") for n in range(1, 5)]))
        again = timeline("f-2", NOON + SECOND)
        await store.commit(Change(timelines=[again]))
        assert await store.timelines(before=None, limit=2) == [timeline("f-4"), timeline("f-3")]
        assert await store.timelines(before="f-3", limit=9) == [again, timeline("f-1")]
        assert await store.timelines(before="unknown", limit=9) == []

    # --- what cannot be kept ---

    async def test_what_cannot_be_written_is_refused(self, store: Store) -> None:
        """The store goes on afterwards."""
        with pytest.raises(StoreError):
            await store.commit(Change(batches=[batch(1)], faults=[record("f-1", thing=object())]))
        with pytest.raises(StoreError):
            await store.commit(Change(batches=[batch(2)], notifications=[notification(2**70)]))
        await store.commit(Change(batches=[batch(3)]))
        assert (await reopen(store)).event_ids == event_id(3)

    async def test_a_wait_that_is_given_up_harms_nobody(self, store: Store) -> None:
        """A Monitor that hangs up does not take its neighbours along."""
        given_up = asyncio.create_task(store.commit(Change(batches=[batch(1)])))
        kept = asyncio.create_task(store.commit(Change(batches=[batch(2)])))
        await asyncio.sleep(0)
        given_up.cancel()
        await kept
        await asyncio.gather(given_up, return_exceptions=True)
        assert (await reopen(store)).event_ids.endswith(event_id(2))

    # --- pruning ---

    async def test_old_things_are_forgotten(self, store: Store) -> None:
        """What is younger stays."""
        old, young = NOON - SECOND, NOON + SECOND
        for time, names in ((old, ("f-1", "f-2")), (young, ("f-3", "f-4"))):
            await store.commit(
                Change(
                    batches=[batch(1, 2, received=time), batch(3, received=time)],
                    faults=[record(name, cleared=time) for name in names],
                    timelines=[timeline(name, time) for name in names],
                )
            )
        assert await store.prune(before=NOON) == 3 + 2 + 2
        assert await store.prune(before=NOON) == 0
        found = await store.closed_faults(before=None, limit=9)
        assert [one.fault.fault_key for one in found] == ["f-4", "f-3"]
        assert [one.fault_id for one in await store.timelines(before=None, limit=9)] == ["f-4", "f-3"]
        assert await store.fault_of_alarm("alarm 0 of f-1") is None
        assert await store.fault_of_alarm("alarm 0 of f-3") is not None
        assert (await reopen(store)).event_ids == b"".join(map(event_id, (1, 2, 3)))

    async def test_faults_age_by_severity_and_number(self, store: Store) -> None:
        """[HA 5.2] The newest so many of a severity stay, and of those what is not too old."""
        times = {"f-1": 0, "f-2": 1, "f-3": 2, "f-4": 2}
        await store.commit(
            Change(
                faults=[record(key, cleared=NOON + seconds * SECOND) for key, seconds in times.items()],
                history=[entry(key, 2, _alarm(f"{key}, first", 0, NOON)) for key in times],
            )
        )
        minor = replace(record("minor").fault, severity=Severity.MINOR, cleared_time=NOON)
        await store.commit(Change(faults=[AlarmedFault(fault=minor, alarms={})]))

        async def left(**limits: Limit) -> list[str]:
            faults = {Severity[name.upper()]: limit for name, limit in limits.items()}
            await store.prune(before=NOON, faults=faults)
            return [one.fault.fault_key for one in await store.closed_faults(before=None, limit=9)]

        everything = ["f-4", "f-3", "f-2", "minor", "f-1"]
        assert await left(critical=Limit(None, None), major=Limit(NOON + 9 * SECOND, 0)) == everything
        assert await left(critical=Limit(NOON + SECOND, 9)) == ["f-4", "f-3", "f-2", "minor"]
        assert (await store.fault_history("f-1")).entries == ()
        assert await store.fault_of_alarm("alarm 0 of f-1, first") is None
        assert await left(critical=Limit(None, 2), minor=Limit(NOON, None)) == ["f-4", "f-3", "minor"]
        assert await left(critical=Limit(NOON, 1), minor=Limit(None, 0)) == ["f-4"]
        assert (await store.fault_history("f-4")).entries != ()

    async def test_a_fault_ages_by_the_worst_that_it_was(self, store: Store) -> None:
        """What was critical once is looked into longer, however mild it was in the end."""
        now = record("f-1", cleared=NOON)
        fault = replace(now.fault, severity=Severity.WARNING)
        own = replace(_alarm("f-1", 9, NOON), resource_id=fault.resource_id, worst_before=Severity.CRITICAL)
        await store.commit(Change(faults=[AlarmedFault(fault=fault, alarms={own.resource_id: own})]))
        assert await store.prune(before=NOON, faults={Severity.WARNING: Limit(None, 0)}) == 0
        assert await store.prune(before=NOON, faults={Severity.CRITICAL: Limit(None, 0)}) == 1

    async def test_what_was_told_of_a_fault_stays_as_long_as_the_fault(self, store: Store) -> None:
        """It is part of its history."""
        told = notification(1)
        await store.commit(Change(faults=[record(told.fault_key, cleared=NOON)], notifications=[told]))
        await store.commit(Change(deliveries=[delivery(1)]))
        later = NOON + SECOND
        assert await store.prune(before=later, faults={Severity.CRITICAL: Limit(None, None)}) == 0
        assert await store.prune(before=later, faults={Severity.CRITICAL: Limit(None, 0)}) == 2

    async def test_an_open_fault_is_never_forgotten(self, store: Store) -> None:
        """However old it is."""
        await store.commit(Change(faults=[record("f-1")], repeats={"f-1": 2}))
        assert await store.prune(before=NOON + 365 * 86400 * SECOND) == 0
        snapshot = await reopen(store)
        assert (snapshot.faults, snapshot.repeats) == ([record("f-1")], {"f-1": 2})

    async def test_an_undelivered_notification_is_never_forgotten(self, store: Store) -> None:
        """Every endpoint must have got it, unless it came later than the notification."""
        await store.commit(
            Change(
                notifications=[notification(1), notification(2), notification(3)],
                deliveries=[delivery(1, "one"), delivery(1, "two"), delivery(2, "one")],
                subscriptions=[subscription(OWNER, "one", "two")],
            )
        )
        assert await store.prune(before=NOON + SECOND) == 1
        assert await store.notifications(OWNER, after=0, limit=9) == [notification(2), notification(3)]
        assert await store.deliveries(OWNER, after=0, limit=9) == [delivery(2, "one")]
        await store.commit(Change(subscriptions=[subscription(OWNER, "new", since=2)]))
        assert await store.prune(before=NOON + SECOND) == 1
        assert await store.pending(OWNER, "new", after=0, limit=9) == [notification(3)]

    async def test_a_notification_without_endpoints_is_forgotten(self, store: Store) -> None:
        """Nobody waits for it: it could be fetched for as long as history is kept."""
        await store.commit(Change(notifications=[notification(1)], subscriptions=[subscription(OWNER)]))
        assert await store.prune(before=NOON) == 0
        assert await store.prune(before=NOON + SECOND) == 1
        assert await store.notification(f"{OWNER} 1") is None

    async def test_of_a_forgotten_subscription_nothing_waits(self, store: Store) -> None:
        """One that is made again under its name waits for its own."""
        await store.commit(
            Change(notifications=[notification(1)], subscriptions=[subscription(OWNER, "one")])
        )
        await store.commit(Change(forget_subscriptions=[OWNER]))
        await store.commit(
            Change(notifications=[notification(2)], subscriptions=[subscription(OWNER, "one")])
        )
        assert await store.prune(before=NOON + SECOND) == 1
        assert await store.notifications(OWNER, after=0, limit=9) == [notification(2)]

    async def test_a_subscription_from_elsewhere_waits_for_one_delivery(self, store: Store) -> None:
        """One that stands in the settings is not in the store: its endpoints are not known."""
        await store.commit(Change(notifications=[notification(1), notification(2)], deliveries=[delivery(1)]))
        assert await store.prune(before=NOON + SECOND) == 1
        assert await store.notifications(OWNER, after=0, limit=9) == [notification(2)]

    async def test_sequences_count_on(self, store: Store) -> None:
        """Even if no notification is left, and even if the subscription is gone."""
        await store.commit(Change(notifications=[notification(41)], deliveries=[delivery(41)]))
        await store.commit(Change(forget_subscriptions=[OWNER]))
        assert await store.prune(before=NOON + SECOND) == 1
        assert (await reopen(store)).sequences == {OWNER: 41}

    async def test_a_clock_that_was_wrong_does_not_stop_the_forgetting(self, store: Store) -> None:
        """One batch of the future does not keep those after it."""
        future = NOON + 3650 * 86400 * SECOND
        await store.commit(Change(batches=[batch(1, received=future)]))
        await store.commit(Change(batches=[batch(2, received=NOON - SECOND)]))
        assert await store.prune(before=NOON) == 1
        assert (await reopen(store)).event_ids == event_id(1)

    async def test_much_is_forgotten_in_pieces(self, store: Store) -> None:
        """More than one look at the store finds, and large ones too."""
        for start in range(1, 1001, 250):
            numbers = range(start, start + 250)
            await store.commit(
                Change(
                    batches=[batch(number) for number in numbers],
                    notifications=[notification(number, body=b"x" * 10_000) for number in numbers],
                    deliveries=[delivery(number) for number in numbers if number % 2],
                    faults=[record(f"f-{number}", cleared=NOON) for number in numbers],
                )
            )
        assert await store.prune(before=NOON + SECOND) == 1000 + 500 + 1000
        left = await store.notifications(OWNER, after=0, limit=1000)
        assert [one.sequence for one in left] == list(range(2, 1001, 2))
