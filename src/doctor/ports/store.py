"""Where state outlives the process."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from doctor.model.ageing import Limit
from doctor.model.alarm import AlarmedFault
from doctor.model.checkpoint import Timeline
from doctor.model.event import EventBatch
from doctor.model.fault import Severity
from doctor.model.fence_job import FenceDecision, FenceJob
from doctor.model.history import FaultHistory, HistoryEntry
from doctor.model.identity import Token
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Subscription


class StoredPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A failure policy as it was applied: ``text`` is the YAML to the letter.

    ``description`` is what it says of itself; ``restores`` the version whose text it took up again, if it did.
    """

    version: int
    applied: datetime
    user: str
    text: str
    description: str = ""
    restores: int | None = None


class Memo(msgspec.Struct, frozen=True, kw_only=True):
    """A small record that a flow wants back after a restart, by kind and key; ``record`` None forgets it."""

    kind: str
    key: str
    record: bytes | None


class FenceChange(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the machine that cuts hosts off, and what it was decided on. It is refused if that is otherwise by now.

    ``epoch`` is the office of the Doctor that writes: it has to be the one that is kept, or with ``takes_office`` the
    next one. ``authorised`` is how many hosts were authorised to be cut off before this one, if it authorises one. The
    revision of each job has to be the one after what is kept. Decisions are added to the log, each digest once.
    """

    epoch: int
    takes_office: bool = False
    authorised: int | None = None
    jobs: tuple[FenceJob, ...] = ()
    decisions: tuple[FenceDecision, ...] = ()


class Change(msgspec.Struct, kw_only=True):
    """Everything that one step wants kept: all of it is durable, or none.

    ``repeats`` adds to the counter of an open fault; ``history`` is added to what is there; ``forget_*`` delete by id.
    """

    batches: list[EventBatch] = []
    faults: list[AlarmedFault] = []
    repeats: dict[str, int] = {}
    notifications: list[StoredNotification] = []
    deliveries: list[Delivery] = []
    subscriptions: list[Subscription] = []
    forget_subscriptions: list[str] = []
    tokens: list[Token] = []
    forget_tokens: list[str] = []
    timelines: list[Timeline] = []
    policies: list[StoredPolicy] = []
    memos: list[Memo] = []
    history: list[HistoryEntry] = []
    fencing: FenceChange | None = None
    resource_map: bytes | None = None


class Snapshot(msgspec.Struct, kw_only=True):
    """What a starting Doctor takes over.

    ``event_ids`` are the ids of the newest events (16 bytes each, joined, oldest first), for dropping repeats;
    ``repeats`` says how often an open fault was reported again; ``sequences`` are the last sequence per subscription;
    ``memos`` are the records of the flows by kind and key;
    ``instance_secret`` is random, made with the store, and keys the names by which owners see hosts.
    ``fence_jobs`` is the last job of each host; ``fence_epoch`` the office that was taken last, ``fences_authorised`` how
    many hosts were ever authorised to be cut off, ``fence_digest`` the end of the chain of decisions.
    """

    instance_secret: bytes
    event_ids: bytes = b""
    faults: list[AlarmedFault] = []
    repeats: dict[str, int] = {}
    subscriptions: list[Subscription] = []
    sequences: dict[str, int] = {}
    tokens: list[Token] = []
    policy: StoredPolicy | None = None
    memos: dict[str, dict[str, bytes]] = {}
    resource_map: bytes | None = None
    fence_jobs: list[FenceJob] = []
    fence_epoch: int = 0
    fences_authorised: int = 0
    fence_digest: str = ""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A notification without its body, and how it ended at each endpoint where it did."""

    notification_id: str
    subscription_id: str
    sequence: int
    created: datetime
    deliveries: tuple[Delivery, ...] = ()


class Store(Protocol):
    """Durable state with group commit.

    ``load`` comes first and opens the files. ``commit`` returns when the change is on disk (fsync) and raises
    `StoreError` when it could not be made durable, or contradicts what is kept (a sequence used twice, a fence job that
    somebody else has moved on): then nothing of it was kept. When the disk itself failed (full, broken), every later ``commit`` fails too until ``load`` is called
    again: it may have been decided on what was lost. Changes are applied in the order of the calls to ``commit`` and ``later``, and many
    share one transaction. ``later`` is for what may be lost in a crash because it would only be done again
    (deliveries, timelines): it rides with the next commit, within 50 ms at the latest.
    """

    async def load(self, *, recent_events: int) -> Snapshot:
        """Return the state to start from, with the ids of that many of the newest events at most."""
        ...

    async def commit(self, change: Change) -> None:
        """Make the change durable."""
        ...

    def later(self, change: Change) -> None:
        """Keep the change soon, without waiting."""
        ...

    async def pending(
        self, subscription_id: str, endpoint_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return undelivered notifications of an endpoint with a sequence above ``after``, in order of sequence."""
        ...

    async def notifications(
        self, subscription_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return notifications of a subscription with a sequence above ``after``, in order."""
        ...

    async def notification(self, notification_id: str) -> StoredNotification | None:
        """Return one notification, or None."""
        ...

    async def deliveries(
        self, subscription_id: str, *, after: int, limit: int, state: DeliveryState | None = None
    ) -> Sequence[Delivery]:
        """Return how notifications with a sequence above ``after`` ended, per endpoint, in order of sequence.

        With a ``state`` only those that ended so. ``limit`` counts notifications: what several endpoints made of one stays together.
        """
        ...

    async def closed_faults(
        self, *, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[AlarmedFault]:
        """Return cleared faults, the last cleared first; ``before`` is (cleared_time, fault_key) of the last seen."""
        ...

    async def fault_of_alarm(self, alarm_id: str) -> AlarmedFault | None:
        """Return the fault that this cleared alarm belonged to, or None.

        The fault may go on: an alarm that ended before it (``HistoryEntry.ended``) stands in the place of its resource.
        """
        ...

    async def fault_history(self, fault_key: str) -> FaultHistory:
        """Return the past of a fault, its entries in the order in which they were kept."""
        ...

    async def kept_faults(self, fault_keys: Sequence[str]) -> set[str]:
        """Return which of these faults are kept, open or cleared."""
        ...

    async def outgoing(self, notification_ids: Sequence[str], *, naming: str) -> Sequence[Outgoing]:
        """Return those of the notifications that are kept and have this text in their body, and how each ended."""
        ...

    async def timelines(self, *, before: str | None, limit: int) -> Sequence[Timeline]:
        """Return timelines, the last begun first; ``before`` is the fault_id of the last seen."""
        ...

    async def timeline(self, fault_id: str) -> Timeline | None:
        """Return the timeline of one fault, or None."""
        ...

    async def batches(self, *, since: datetime, after: int, limit: int) -> Sequence[tuple[int, EventBatch]]:
        """Return batches of the journal that were received at ``since`` or later, in the order in which they were kept.

        Each comes with its place in the journal; ``after`` is that of the last seen, 0 for the first page.
        """
        ...

    async def fence_decisions(
        self, *, host: str | None = None, before: int | None = None, limit: int = 100
    ) -> Sequence[tuple[int, FenceDecision]]:
        """Return decisions on fencing, the newest first, each with its place; ``before`` is that of the last seen."""
        ...

    async def policies(self, *, before: int | None = None, limit: int = 1000) -> Sequence[StoredPolicy]:
        """Return policies that were applied, newest first; ``before`` is the version of the last seen."""
        ...

    async def prune(self, *, before: datetime, faults: Mapping[Severity, Limit] | None = None) -> int:
        """Forget events, delivered notifications, cleared faults and timelines from before; return how many.

        ``faults`` says otherwise for cleared faults, by their worst severity. A fault takes its history with it. A
        notification is kept as long as the fault that it is of. A parked notification counts as delivered, and so does one that no endpoint waits for (``Endpoint.since``) or
        whose subscription is forgotten. Sequences count on.
        """
        ...

    async def close(self) -> None:
        """Write what is waiting and let go of the files. ``load`` opens them again."""
        ...
