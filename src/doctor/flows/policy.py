"""How a failure policy comes into force: read, checked, kept, and used for the very next event."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog

from doctor.flows.situation import Situation
from doctor.inspector.catalogue import default_policy_text
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.kit.clock import Clock
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.policy import Catalogue
from doctor.ports.store import Change, StoredPolicy

log = structlog.get_logger(__name__)

SHIPPED = "shipped with Doctor"
MOST_VERSIONS = 2**53  # more than a store can number


class PolicyFlow:
    """Applies failure policies. A broken one is refused, and the running one stays."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        default = default_policy_text()
        self._default = parse_policy(default, catalogue).policy
        self.shipped = StoredPolicy(
            version=0,
            applied=datetime.fromtimestamp(0, UTC),
            user=SHIPPED,
            text=default,
            description=self._default.description,
        )

    def default(self) -> Selector:
        """Return the policy that ships, compiled."""
        return Selector(self._default)

    def current(self, situation: Situation) -> StoredPolicy:
        """Return the policy in force; version 0 is the one that ships."""
        return situation.policy or self.shipped

    async def start(self, situation: Situation, first: Path | None) -> None:
        """Put the policy in force that was applied last; before any was, the one of the settings.

        Raises:
            RejectedError: the policy of the settings cannot be read or is wrong.
        """
        if situation.policy is not None:
            situation.selector = Selector(parse_policy(situation.policy.text, self._catalogue).policy)
        elif first is not None:
            try:
                text = await asyncio.to_thread(first.read_text)
            except (OSError, UnicodeDecodeError) as error:
                raise RejectedError(f"policy: {first}: {error}") from None
            try:
                await self.apply(situation, text, user=f"settings ({first})")
            except RejectedError as error:
                raise RejectedError(f"policy {first}: {error.detail}", flaws=error.flaws) from None

    async def apply(
        self, situation: Situation, text: str, *, user: str, expected_version: int | None = None
    ) -> tuple[StoredPolicy, list[str]]:
        """Put a policy in force, whole; returns it with what its author should look at once more.

        Raises:
            RejectedError: it is wrong, every flaw is named by its place; or another version than the expected one is
                in force (CONFLICT).
            StoreError: it could not be kept; the policy before stays.
        """
        read = await self.read(text)
        async with situation.setting:
            await situation.ready()
            self._expect(situation, expected_version)
            return await self._put_in_force(situation, text, read, user=user, restores=None)

    async def roll_back(
        self, situation: Situation, version: int | None, *, user: str
    ) -> tuple[StoredPolicy, list[str]]:
        """Put the text of an older version in force again, as a new version; None is the one before.

        Raises:
            RejectedError: there is no such version, or this Doctor finds it wrong.
            StoreError: it could not be kept; the policy before stays.
        """
        async with situation.setting:
            await situation.ready()
            current = self.current(situation).version
            if version is None and current == 0:
                raise RejectedError(
                    "the policy that ships is in force: there is none before", reason=Reason.CONFLICT
                )
            wanted = current - 1 if version is None else version
            old = await self.version(situation, wanted)
            if old is None:
                flaw = Flaw("/version", f"there is no version {wanted}; the newest is {current}")
                raise RejectedError("there is no such version", flaws=[flaw])
            read = await self.read(old.text)
            return await self._put_in_force(situation, old.text, read, user=user, restores=wanted)

    async def version(self, situation: Situation, version: int) -> StoredPolicy | None:
        """Return the policy of a version, None if there was none; 0 is the one that ships."""
        if version == 0:
            return self.shipped
        if not 0 < version <= self.current(situation).version:
            return None
        found = await situation.store.policies(before=version + 1, limit=1)
        return found[0] if found and found[0].version == version else None

    async def versions(
        self, situation: Situation, *, before: int | None, limit: int
    ) -> Sequence[StoredPolicy]:
        """Return the versions there were, newest first; the one that ships is the last."""
        if before is not None and not 0 < before < MOST_VERSIONS:
            return ()
        found = list(await situation.store.policies(before=before, limit=limit))
        return found if len(found) == limit else [*found, self.shipped]

    async def read(self, text: str) -> "ReadPolicy":
        """Read a policy, and compile it. A large one takes a second: in a thread, faults are told meanwhile.

        Raises:
            RejectedError: it is wrong; every flaw is named by its place.
        """
        return await asyncio.to_thread(self._read, text)

    def _read(self, text: str) -> "ReadPolicy":
        report = parse_policy(text, self._catalogue)
        return ReadPolicy(Selector(report.policy), report.warnings)

    def _expect(self, situation: Situation, version: int | None) -> None:
        current = self.current(situation)
        if version is not None and version != current.version:
            raise RejectedError(
                f"version {current.version} is in force, applied by {current.user}, and not {version}",
                reason=Reason.CONFLICT,
            )

    async def _put_in_force(
        self, situation: Situation, text: str, read: "ReadPolicy", *, user: str, restores: int | None
    ) -> tuple[StoredPolicy, list[str]]:
        policy = read.selector.policy
        stored = StoredPolicy(
            version=self.current(situation).version + 1,
            applied=self._clock.now(),
            user=user,
            text=text,
            description=policy.description,
            restores=restores,
        )

        await situation.put_in_force(
            Change(policies=[stored]),
            lambda snapshot: snapshot.policy == stored,
            lambda: situation.judge_by(read.selector, stored),
        )
        log.info(
            "policy.applied",
            version=stored.version,
            user=user,
            rules=len(policy.faults),
            **({} if restores is None else {"restores": restores}),
        )
        return stored, read.told


class ReadPolicy(NamedTuple):
    """A policy that can be put in force, compiled, and what its author should look at once more."""

    selector: Selector
    warnings: tuple[Flaw, ...]

    @property
    def told(self) -> list[str]:
        """Return the warnings as sentences."""
        return [f"{flaw.pointer}: {flaw.detail}" for flaw in self.warnings]
