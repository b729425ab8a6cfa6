"""The last fence of all: a person pulls the plug, and says so by name.

A command to this device changes nothing but waits to be confirmed. Who confirms types the host's name, gives a reason
and has a second person who approves, so that nobody does it by habit; what he says counts until the host is released.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from doctor.kit.clock import Clock, SystemClock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fencing import (
    Cut,
    Doubt,
    Identity,
    NotSwitched,
    Reading,
    Seen,
    Supply,
    Switched,
    SwitchOutcome,
    Unknown,
    Vantage,
)

MOST_TEXT = 1000


class ManualSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``second_person`` false lets one person confirm alone. ``valid_for`` is how long a word counts."""

    second_person: bool = True
    valid_for: timedelta = timedelta(hours=1)


class Vouching(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says: that this host has been cut off, or given back."""

    host: str
    supply: Supply
    by: str
    reason: str
    approved_by: str = ""


class ManualFence:
    """People. A plug is the name of a host, as it has to be typed."""

    kind = "manual"
    cuts = Cut.POWER
    vantage = Vantage.HUMAN
    partial = False

    def __init__(self, settings: ManualSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._words: dict[str, tuple[Vouching, Seen, float]] = {}
        self._spoken = asyncio.Condition()
        self._closed = False

    def check(self, plug: str) -> str | None:
        """Say that a person needs to know which host."""
        return None if plug and plug.isprintable() else "a person needs the name of the host"

    async def vouch(self, plug: str, word: Vouching) -> Seen:
        """Take the word of a person.

        Raises:
            RejectedError: it is not enough; each flaw says what is missing.
        """
        if flaws := self._flaws(plug, word):
            raise RejectedError("this is no confirmation", flaws=flaws)
        seen = Seen(word.supply, self._clock.now(), by=word.by)
        async with self._spoken:
            self._words[plug] = (word, seen, self._clock.monotonic())
            self._spoken.notify_all()
        return seen

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Say that a person reads labels, not GUIDs."""
        return Unknown(Doubt.NOT_OFFERED, "a person finds the host by its name")

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Return what was said of the host last, if anybody said something lately."""
        if self._closed:
            return Unknown(Doubt.CLOSED, "the device is closed")
        if deadline.has_passed:
            return Unknown(Doubt.LATE, "there was no time left to ask")
        known = self._words.get(plug)
        if known is None or self._clock.monotonic() - known[2] > self._settings.valid_for.total_seconds():
            return Unknown(Doubt.UNCONFIRMED, "nobody has confirmed it")
        return known[1]

    async def off(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Wait until somebody says that the host is off."""
        return await self._wait(plug, Supply.OFF, deadline)

    async def on(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Wait until somebody says that the host is on again."""
        return await self._wait(plug, Supply.ON, deadline)

    async def release(self, plug: str) -> None:
        """Forget what was said of a host: the next time it is asked anew."""
        self._words.pop(plug, None)

    async def close(self) -> None:
        """Listen to nobody any more."""
        self._closed = True
        async with self._spoken:
            self._spoken.notify_all()

    async def _wait(self, plug: str, wanted: Supply, deadline: Deadline) -> SwitchOutcome:
        reading: Reading = Unknown(Doubt.LATE, "there was no time left to ask")
        try:
            async with asyncio.timeout(deadline.left), self._spoken:
                while True:
                    reading = await self.status(plug, deadline)
                    if isinstance(reading, Seen) and reading.supply is wanted:
                        return Switched(reading)
                    if isinstance(reading, Unknown) and reading.doubt is Doubt.CLOSED:
                        return reading
                    await self._spoken.wait()
        except TimeoutError:
            match reading:
                case Seen():
                    return NotSwitched(Doubt.UNCONFIRMED, f"{reading.by} says that it is {reading.supply}")
                case Unknown():
                    return reading

    def _flaws(self, plug: str, word: Vouching) -> list[Flaw]:
        flaws = []
        if word.host != plug:
            flaws.append(Flaw("/host", f"is not the name of the host: type {plug!r}"))
        for name in ("by", "reason"):
            text = getattr(word, name)
            if not text.strip() or not text.isprintable() or len(text) > MOST_TEXT:
                flaws.append(Flaw(f"/{name}", "required: one line of text"))
        if self._settings.second_person:
            if not word.approved_by.strip():
                flaws.append(Flaw("/approved_by", "required: a second person approves"))
            elif word.approved_by.strip().casefold() == word.by.strip().casefold():
                flaws.append(Flaw("/approved_by", "is the same person: a second one is needed"))
        return flaws


def make(settings: Mapping[str, Any]) -> ManualFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    durations = {"valid_for": timedelta(seconds=1)}
    return ManualFence(convert(settings, ManualSettings, durations=durations))
