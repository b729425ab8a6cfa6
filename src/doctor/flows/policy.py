"""How a failure policy comes into force: read, checked, kept, and used for the very next event."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import structlog

from doctor.flows.situation import Situation
from doctor.inspector.catalogue import default_policy_text
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.kit.clock import Clock
from doctor.model.errors import RejectedError
from doctor.model.policy import Catalogue
from doctor.ports.store import Change, StoredPolicy

log = structlog.get_logger(__name__)

SHIPPED = "shipped with Doctor"


class PolicyFlow:
    """Applies failure policies. A broken one is refused, and the running one stays."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._default = default_policy_text()

    def default(self) -> Selector:
        """Return the policy that ships, compiled."""
        return Selector(parse_policy(self._default, self._catalogue).policy)

    def current(self, situation: Situation) -> StoredPolicy:
        """Return the policy in force; version 0 is the one that ships."""
        return situation.policy or StoredPolicy(
            version=0, applied=datetime.fromtimestamp(0, UTC), user=SHIPPED, text=self._default
        )

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

    async def apply(self, situation: Situation, text: str, *, user: str) -> tuple[StoredPolicy, list[str]]:
        """Put a policy in force, whole; returns it with what its author should look at once more.

        Raises:
            RejectedError: it is wrong; every flaw is named by its place.
            StoreError: it could not be kept; the policy before stays.
        """
        report = await asyncio.to_thread(parse_policy, text, self._catalogue)  # a large one takes a second
        selector = Selector(report.policy)
        async with situation.setting:
            await situation.ready()
            stored = StoredPolicy(
                version=self.current(situation).version + 1, applied=self._clock.now(), user=user, text=text
            )

            def take_effect() -> None:
                situation.policy = stored
                situation.selector = selector

            await situation.put_in_force(
                Change(policies=[stored]), lambda snapshot: snapshot.policy == stored, take_effect
            )
        log.info("policy.applied", version=stored.version, user=user, rules=len(report.policy.faults))
        return stored, [f"{flaw.pointer}: {flaw.detail}" for flaw in report.warnings]
