"""What Doctor knows now.

Everything here is in memory, so that a fault is judged without asking anybody; the store has the same durably.
When a change could not be made durable, memory would be ahead of the store: then it is read anew before anything
else is judged, and the one who asked was answered with an error [I-29].
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from doctor.alarms import lifecycle
from doctor.alarms.notes import AlarmNotes
from doctor.fencing.book import FenceBook
from doctor.flows.memory import Memory
from doctor.flows.zone_memory import zone_book
from doctor.inspector.intake import Intake
from doctor.inspector.selection import Selector
from doctor.inspector.unnamed import UnnamedTypes
from doctor.inspector.zone_book import ZoneBook
from doctor.maintenance.book import MaintenanceBook
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.alarm_note import AlarmNote
from doctor.model.capacity import Pool
from doctor.model.errors import StoreError
from doctor.model.fence_job import Statement, ZoneSetting
from doctor.model.group import Group, GroupBook
from doctor.model.identity import Token
from doctor.model.instruction import Instruction
from doctor.model.maintenance import HostWork, MaintenancePolicy, Session
from doctor.model.map_news import MapDelta, MapStatus, Phase
from doctor.model.marking import Mark, MarkRecord
from doctor.model.recovery import Recovery, RecoveryPolicy
from doctor.model.resource import Isolation
from doctor.model.resource_map import Given, ResourceMap
from doctor.model.scope import ScopeBook
from doctor.model.silence import Silence, Tally, Unheard
from doctor.model.subscription import Subscription
from doctor.notifier.matching import Subscriptions
from doctor.notifier.message import Describer, Outlooks
from doctor.notifier.restraint import Restraint
from doctor.notifier.silences import Coverage, Silences
from doctor.ports.store import Change, Snapshot, Store, StoredPolicy
from doctor.recovery.book import InstructionBook
from doctor.recovery.policies import PolicyBook

log = structlog.get_logger(__name__)

T = TypeVar("T")

RECENT_EVENTS = 200_000
ALARM_MEMO = "alarm"  # the kind of the notes of alarms, by alarm_id
MARK_MEMO = "mark"  # the kind of the records of marks, by kind and resource
LATE_MARK_MEMO = "late_mark"  # of marks taken back, when a request to set them may still come through
SETTING_MEMO = "setting"  # the kind of what the Administrator has set while Doctor ran, by name
SILENCE_MEMO = "silence"  # the kind of silences, by silence_id
TALLY_MEMO = "silence tally"  # the kind of what silences have withheld, by silence_id
UNHEARD_MEMO = "unheard"  # the kind of what silences withhold of open faults, by fault_key
RESTRAINT_MEMO = "restraint"  # the kind of what subscriptions were not told yet, by subscription_id
OPEN_MEMO = "unacknowledged"  # the kind of notifications that wait for an acknowledgement, by notification_id
ISOLATION_MEMO = "isolation"  # the kind of how far the isolation of faulty hosts got, by resource_id
STATEMENT_MEMO = "statement"  # the kind of what was said of the life of hosts, by host and reporter
FENCE_ZONE_MEMO = "fence_zone"  # the kind of what Doctor may do in zones, by zone; of all by no name
INSTRUCTION_MEMO = "instruction"  # the kind of instructions, by instruction_id
RECOVERY_MEMO = "recovery"  # the kind of recoveries by policy, by resource_id
RECOVERY_POLICY_MEMO = "recovery policy"  # the kind of recovery policies, by project and scope
SESSION_MEMO = "maintenance"  # the kind of sessions of maintenance, by session_id
HOST_MEMO = "maintenance of host"  # the kind of the hosts of sessions, by session_id and host
MAINTENANCE_POLICY_MEMO = "maintenance policy"  # the kind of maintenance policies, by project and scope
GROUP_MEMO = "group"  # the kind of what owners say of their groups, by project and name
MOVED_MEMO = "moved"  # the kind of what commands have changed in a map that is loaded by hand, by resource_id
MEND_EVERY = 0.5


class _Unsure(NamedTuple):
    """A setting of which nobody knows yet whether it was kept."""

    is_in_force: Callable[[Snapshot], bool]
    take_effect: Callable[[], None]
    take_back: Callable[[], None] | None


class Situation:
    """The state that the flows share. Only `keep` makes something durable."""

    def __init__(
        self,
        store: Store,
        selector: Selector,
        *,
        resources: ResourceMap | None = None,
        clouds: Iterable[str] = (),
        public_url: str = "",
        own_url: str = "",
    ) -> None:
        """``resources`` is the map to begin with; ``clouds`` are the controllers that keep it, if it is not by hand."""
        self.store = store
        self.resources = ResourceMap() if resources is None else resources
        self.clouds = {name: MapStatus(phase=Phase.LOADING) for name in clouds}
        self.marks: dict[Mark, MarkRecord] = {}
        self.late_marks: dict[Mark, MarkRecord] = {}
        self.selector = selector
        self.policy: StoredPolicy | None = None
        self.maintenance = MaintenanceBook()
        self.maintenance_policies: ScopeBook[MaintenancePolicy] = ScopeBook()
        self.groups = GroupBook()
        self.book = AlarmBook()
        self.subscriptions = Subscriptions()
        self.notes = AlarmNotes()
        self.silences = Silences()
        self.unheard: dict[str, Unheard] = {}
        self.settings: dict[str, bytes] = {}
        self.intake = Intake()
        self._public_url = public_url
        self._own_url = own_url
        self.memory = Memory()
        self.zones = ZoneBook(self.fault_key)
        self.fence_book = FenceBook()
        self.instructions = InstructionBook()
        self.recovery_policies = PolicyBook()
        self.recoveries: dict[str, Recovery] = {}
        self.moved: dict[str, bytes] = {}
        self.tokens: dict[str, Token] = {}
        self.secret = b""
        self.restraints: dict[str, Restraint] = {}
        self.isolations: dict[str, Isolation] = {}
        self.open: dict[str, tuple[str, int]] = {}
        self.unnamed = UnnamedTypes()
        self._sequences: dict[str, int] = {}
        self._fixed: tuple[Subscription, ...] = ()
        self._pool: tuple[ResourceMap, AlarmBook, Pool] | None = None
        self._stale = False
        self._reading = asyncio.Lock()
        self._readings = 0
        self.setting = asyncio.Lock()  # who changes a setting does it one after the other
        self._on_restored: list[Callable[[], None]] = []
        self._on_policy: list[Callable[[], None]] = []
        self._unsure: list[_Unsure] = []

    @property
    def is_ready(self) -> bool:
        """Tell whether memory is what the store has; if not, `ready` mends it."""
        return not self._stale

    def use(self, resources: ResourceMap) -> None:
        """Look things up in this map from now on."""
        self.resources = resources

    def dressed(self, delta: MapDelta, resources: ResourceMap) -> MapDelta:
        """Return news of a map with machines as they are by the word of their owners; the map notes how they were given."""
        virtual = []
        for one in delta.virtual:
            worn = self.groups.dressed(one)
            if worn is one:
                resources.given.pop(one.id, None)
            else:
                resources.given[one.id] = Given(one.group, one.role, one.constraints)
            virtual.append(worn)
        for name in delta.gone:
            resources.given.pop(name, None)
        return replace(delta, virtual=tuple(virtual))

    def dress(self, resources: ResourceMap) -> None:
        """Have a map that was given whole say of machines what their owners say."""
        given = [
            one
            for project in {group.project for group in self.groups}
            for name in resources.owned_by(project)
            if (one := resources.as_given(name)) is not None
        ]
        before = {name: resources.as_given(name) for name in resources.given}
        given += [one for one in before.values() if one is not None]
        if given:
            resources.apply(self.dressed(MapDelta(virtual=tuple(given)), resources))

    def id_of(self, name: str) -> str:
        """Return the id of the resource that a Monitor calls by this name; of one that no map knows, the name."""
        found = self.resources.find(name)
        return name if found is None else found.id

    def fault_key(self, event_id: str, resource_id: str, fault_type: str) -> str:
        """Return the name of the fault that begins by an event."""
        return lifecycle.fault_key_of(event_id, resource_id, fault_type, secret=self.secret)

    @property
    def pool(self) -> Pool:
        """Return the capacity of the present map: counted whole after another map or a restart, then counted along."""
        known = self._pool
        if known is None or known[0] is not self.resources or known[1] is not self.book:
            known = self.resources, self.book, Pool(self.resources, self.book.state_of)
            self._pool = known
        return known[2]

    def is_planned(self, record: AlarmedFault) -> bool:
        """Tell whether a fault belongs to work on its host, or the Administrator had silenced it when it began.

        What an owner silences is his affair.
        """
        if self.maintenance.expects(record.fault.resource_id, record.fault.raised_time):
            return True
        if not self.silences:
            return False
        began = record.fault.raised_time
        return Coverage(self.silences, record, self.book, self.resources, began).is_of_planned_work

    def describer(self, viewer: str | None, outlooks: Outlooks | None = None) -> Describer:
        """Return what describes the present to a project, or to the Administrator (None)."""
        return Describer(
            viewer,
            self.resources,
            self.book,
            self.secret,
            public_url=self._public_url,
            own_url=self._own_url,
            outlooks=outlooks,
            isolations=self.isolations,
            work_on=self.maintenance.of_host,
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
                    for restored in self._on_restored:
                        restored()
                    log.info("store.recovered", open_faults=len(self.book))

    def on_restored(self, restored: Callable[[], None]) -> None:
        """Have this called whenever the store was read anew: it may have kept what it said it had not [I-22]."""
        self._on_restored.append(restored)

    def judge_by(self, selector: Selector, policy: StoredPolicy) -> None:
        """Judge the very next event by a policy that is kept; what it does not name is counted anew."""
        self.unnamed = UnnamedTypes()
        self.policy = policy
        self.selector = selector
        for changed in self._on_policy:
            changed()

    def on_policy(self, changed: Callable[[], None]) -> None:
        """Have this called whenever another policy is in force."""
        self._on_policy.append(changed)

    async def stay_ready(self) -> None:
        """Mend memory soon after a failure, also when nobody reports anything."""
        while True:
            await asyncio.sleep(MEND_EVERY)
            if self._stale:
                try:
                    await self.ready()
                except StoreError as error:
                    log.warning("store.unreadable", error=str(error))

    @property
    def readings(self) -> int:
        """Return how often memory was read anew: what was decided before the last time is void."""
        return self._readings

    def doubt(self) -> None:
        """Say that memory may be ahead of the store: it is read anew before anything else is judged."""
        self._stale = True

    async def keep(self, change: Change) -> None:
        """Make a change durable.

        Raises:
            StoreError: nothing of it was kept.
        """
        if self._stale:  # it builds on what was perhaps not kept: behind a reading it could come through
            raise StoreError("a change before this one was lost")
        reading = self._readings
        try:
            await self.store.commit(change)
        except StoreError as error:
            if reading == self._readings:  # else the store was read anew since, and did not have this change
                if not self._stale:
                    log.error("store.failed", error=str(error))
                self.doubt()
            raise
        except asyncio.CancelledError:  # whoever would act on what was kept has gone
            self.doubt()
            raise

    async def put_in_force(
        self,
        change: Change,
        is_in_force: Callable[[Snapshot], bool],
        take_effect: Callable[[], None],
        take_back: Callable[[], None] | None = None,
    ) -> None:
        """Make a setting durable, then use it; of one whose outcome is unknown the next reading decides [I-22].

        Hold `setting` meanwhile, so that what takes effect last is what was kept last. ``take_back`` undoes it when it
        was used before it was kept.

        Raises:
            StoreError: it is not in force now.
        """
        unsure = _Unsure(is_in_force, take_effect, take_back)
        self._unsure.append(unsure)
        try:
            await self.keep(change)
        except StoreError:
            if take_back is not None and unsure in self._unsure:  # else a reading has decided
                take_back()
            raise
        self._unsure = [other for other in self._unsure if other is not unsure]
        take_effect()

    async def _restore(self) -> Snapshot:
        snapshot = await self.store.load(recent_events=RECENT_EVENTS)
        self.secret = snapshot.instance_secret
        self.maintenance = _maintenance_book(snapshot)
        kept = snapshot.memos.get(MAINTENANCE_POLICY_MEMO, {}).values()
        self.maintenance_policies = ScopeBook(_decoded(one, MaintenancePolicy) for one in kept)
        self.groups = GroupBook(_decoded(one, Group) for one in snapshot.memos.get(GROUP_MEMO, {}).values())
        self.book = AlarmBook(snapshot.faults, self.maintenance.away)
        self.subscriptions = Subscriptions((*snapshot.subscriptions, *self._fixed))
        kept = snapshot.memos.get(ALARM_MEMO, {}).values()
        self.notes = AlarmNotes(msgspec.msgpack.decode(note, type=AlarmNote) for note in kept)
        self.silences = Silences(
            (_decoded(one, Silence) for one in snapshot.memos.get(SILENCE_MEMO, {}).values()),
            {key: _decoded(one, Tally) for key, one in snapshot.memos.get(TALLY_MEMO, {}).items()},
        )
        self.unheard = {
            key: _decoded(one, Unheard) for key, one in snapshot.memos.get(UNHEARD_MEMO, {}).items()
        }
        self.settings = dict(snapshot.memos.get(SETTING_MEMO, {}))
        self.marks = _marks(snapshot, MARK_MEMO)
        self.late_marks = _marks(snapshot, LATE_MARK_MEMO)
        self._sequences = dict(snapshot.sequences)
        self.tokens = {token.sha256: token for token in snapshot.tokens}
        self.policy = snapshot.policy
        self.memory = Memory(snapshot.memos, self.memory)
        self._recall_tellings(snapshot)
        self.zones = zone_book(snapshot.memos, self.fault_key)
        self.fence_book = _fence_book(snapshot)
        self.instructions = InstructionBook(
            _decoded(one, Instruction) for one in snapshot.memos.get(INSTRUCTION_MEMO, {}).values()
        )
        kept = snapshot.memos.get(RECOVERY_POLICY_MEMO, {}).values()
        self.recovery_policies = PolicyBook(_decoded(one, RecoveryPolicy) for one in kept)
        recoveries = snapshot.memos.get(RECOVERY_MEMO, {})
        self.recoveries = {key: _decoded(one, Recovery) for key, one in recoveries.items()}
        self.moved = dict(snapshot.memos.get(MOVED_MEMO, {}))
        self.intake = Intake()
        ids = snapshot.event_ids.hex()
        for start in range(0, len(ids), 32):
            self.intake.is_news(_dashed(ids[start : start + 32]))
        for unsure in self._unsure:
            if unsure.is_in_force(snapshot):
                unsure.take_effect()
            elif unsure.take_back is not None:
                unsure.take_back()
        self._unsure = []
        self._readings += 1
        self._stale = False
        return snapshot

    def _recall_tellings(self, snapshot: Snapshot) -> None:
        """Take over what is held back from whom, and what waits for a word."""
        decode = msgspec.msgpack.decode
        restraints, waiting, isolations = (
            snapshot.memos.get(kind, {}) for kind in (RESTRAINT_MEMO, OPEN_MEMO, ISOLATION_MEMO)
        )
        self.restraints = {key: decode(record, type=Restraint) for key, record in restraints.items()}
        self.open = {key: decode(record, type=tuple[str, int]) for key, record in waiting.items()}
        self.isolations = {key: Isolation(record.decode()) for key, record in isolations.items()}


def _marks(snapshot: Snapshot, kind: str) -> dict[Mark, MarkRecord]:
    records = (_decoded(one, MarkRecord) for one in snapshot.memos.get(kind, {}).values())
    return {one.mark: one for one in records}


def _fence_book(snapshot: Snapshot) -> FenceBook:
    statements = snapshot.memos.get(STATEMENT_MEMO, {})
    settings = snapshot.memos.get(FENCE_ZONE_MEMO, {})
    return FenceBook(
        snapshot.fence_jobs,
        [_decoded(kept, Statement) for kept in statements.values()],
        {zone: _decoded(kept, ZoneSetting) for zone, kept in settings.items()},
        epoch=snapshot.fence_epoch,
        authorised=snapshot.fences_authorised,
        digest=snapshot.fence_digest,
    )


def _maintenance_book(snapshot: Snapshot) -> MaintenanceBook:
    sessions, hosts = (snapshot.memos.get(kind, {}).values() for kind in (SESSION_MEMO, HOST_MEMO))
    return MaintenanceBook(
        (_decoded(one, Session) for one in sessions), (_decoded(one, HostWork) for one in hosts)
    )


def _decoded(record: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(record, type=kind)


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
