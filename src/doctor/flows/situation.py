"""What Doctor knows now.

Everything here is in memory, so that a fault is judged without asking anybody; the store has the same durably.
When a change could not be made durable, memory would be ahead of the store: then it is read anew before anything
else is judged, and the one who asked was answered with an error [I-29].
"""

import asyncio
from collections import Counter

import msgspec
import structlog

from doctor.inspector.intake import Intake
from doctor.inspector.selection import Selector
from doctor.model.alarm_book import AlarmBook
from doctor.model.errors import StoreError
from doctor.model.identity import Token
from doctor.model.resource import Isolation
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Subscription
from doctor.notifier.matching import Subscriptions
from doctor.notifier.message import Describer, Outlooks
from doctor.notifier.restraint import Restraint
from doctor.ports.controller import Controller
from doctor.ports.store import Change, Snapshot, Store, StoredPolicy

log = structlog.get_logger(__name__)

RECENT_EVENTS = 200_000
RESTRAINT = "restraint"  # memo: what a subscription was not told yet, by its id
OPEN = "unacknowledged"  # memo: a notification that waits for its acknowledgement, by its id
ISOLATION = "isolation"  # memo: how far the isolation of a faulty host got, by its id


class Situation:
    """The state that the flows share. Only `keep` makes something durable."""

    def __init__(
        self, store: Store, controller: Controller, selector: Selector, *, public_url: str = ""
    ) -> None:
        self.store = store
        self.controller = controller
        self.selector = selector
        self.policy: StoredPolicy | None = None
        self.book = AlarmBook()
        self.subscriptions = Subscriptions()
        self.intake = Intake()
        self._public_url = public_url
        self.tokens: dict[str, Token] = {}
        self.secret = b""
        self.restraints: dict[str, Restraint] = {}
        self.isolations: dict[str, Isolation] = {}
        self.open: dict[str, tuple[str, int]] = {}
        self.counts: Counter[str] = Counter()
        self._sequences: dict[str, int] = {}
        self._fixed: tuple[Subscription, ...] = ()
        self._stale = False
        self._reading = asyncio.Lock()
        self._readings = 0

    @property
    def is_ready(self) -> bool:
        """Tell whether memory is what the store has; if not, `ready` mends it."""
        return not self._stale

    @property
    def resources(self) -> ResourceMap:
        """Return the resource map."""
        return self.controller.resource_map

    def describer(self, viewer: str | None, outlooks: Outlooks | None = None) -> Describer:
        """Return what describes the present to a project, or to the Administrator (None)."""
        return Describer(
            viewer,
            self.resources,
            self.book,
            self.secret,
            public_url=self._public_url,
            outlooks=outlooks,
            isolations=self.isolations,
        )

    def next_sequence(self, subscription_id: str) -> int:
        """Count on: the number of the next notification of a subscription, without gaps [I-5]."""
        sequence = self._sequences.get(subscription_id, 0) + 1
        self._sequences[subscription_id] = sequence
        return sequence

    def last_sequence(self, subscription_id: str) -> int:
        """Return the number of the last notification of a subscription, 0 before the first."""
        return self._sequences.get(subscription_id, 0)

    async def load(self, fixed: tuple[Subscription, ...] = ()) -> Snapshot:
        """Take over what the store has, with subscriptions that come from the settings."""
        self._fixed = fixed
        return await self._restore()

    async def ready(self) -> None:
        """Make sure that memory is not ahead of the store.

        Who comes while the store is read waits for that one reading: a second one would forget what the first to
        come has decided since.

        Raises:
            StoreError: the store still cannot be read.
        """
        if self._stale:
            async with self._reading:
                if self._stale:
                    await self._restore()
                    log.info("store.recovered", open_faults=len(self.book))

    def doubt(self) -> None:
        """Say that memory may be ahead of the store: it is read anew before anything else is judged."""
        self._stale = True

    async def keep(self, change: Change) -> None:
        """Make a change durable.

        Raises:
            StoreError: nothing of it was kept.
        """
        reading = self._readings
        try:
            await self.store.commit(change)
        except StoreError as error:
            if reading == self._readings:  # else the store was read anew since, and did not have this change
                if not self._stale:
                    log.error("store.failed", error=str(error))
                self.doubt()
            raise

    async def _restore(self) -> Snapshot:
        snapshot = await self.store.load(recent_events=RECENT_EVENTS)
        self.secret = snapshot.instance_secret
        self.book = AlarmBook(snapshot.faults)
        self.subscriptions = Subscriptions((*snapshot.subscriptions, *self._fixed))
        self._sequences = dict(snapshot.sequences)
        self.tokens = {token.sha256: token for token in snapshot.tokens}
        self.policy = snapshot.policy
        kept = snapshot.memos
        self.restraints = {
            key: msgspec.msgpack.decode(record, type=Restraint)
            for key, record in kept.get(RESTRAINT, {}).items()
        }
        self.open = {
            key: msgspec.msgpack.decode(record, type=tuple[str, int])
            for key, record in kept.get(OPEN, {}).items()
        }
        self.isolations = {key: Isolation(record.decode()) for key, record in kept.get(ISOLATION, {}).items()}
        self.intake = Intake()
        ids = snapshot.event_ids.hex()
        for start in range(0, len(ids), 32):
            self.intake.is_news(_dashed(ids[start : start + 32]))
        self._readings += 1
        self._stale = False
        return snapshot


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
