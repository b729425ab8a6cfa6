"""The door to silences: what is not told for a while, who said so and why (design part 4)."""

from collections.abc import Callable
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OWNERS, READERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.silence import (
    SilenceOut,
    SilencePatch,
    SilenceRequest,
    SilenceResponse,
    edit_of,
    order_of,
    silence_made,
    silence_out,
)
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.model.silence import Silence, SilenceState

_KEYS: dict[str, Callable[[Silence], Key]] = {
    "start": lambda one: microseconds(one.start),
    "end": lambda one: microseconds(one.until),
}


class SilenceQuery(PageQuery, frozen=True, kw_only=True):
    """Which silences, and in which order. `current` are those that are planned or active."""

    state: Literal["current", "planned", "active", "ended", "all"] = "current"
    sort: Literal["start", "-start", "end", "-end"] = "start"


class SilencesDoor:
    """The operations on silences."""

    def __init__(self, situation: Situation, silences: SilenceFlow, clock: Clock) -> None:
        self._situation = situation
        self._silences = silences
        self._clock = clock

    @operation(
        "POST",
        "/v1/silences",
        tag="Silences",
        roles=OWNERS,
        answers={201: "The silence, in force for the very next event or from its start on."},
        example={
            "matcher": {"resource_id": ["compute-7"]},
            "reason": "new memory modules",
            "owner": "alice",
            "duration": "PT2H",
        },
    )
    async def silence(self, call: Call[SilenceRequest, None]) -> Answer[SilenceResponse]:
        """Do not tell, for a while, what happens to some resources.

        It is judged, kept, shown and acted upon all the same. The end of what was told before is told. Whatever began or
        changed meanwhile and is still so is told when the silence is over; what came and went is in the history of its
        alarm. An owner silences what he himself is told of his own alarms; the Administrator what he is told, and with
        `audience` `everybody` what owners are told too. `warnings` say what the matcher does not find.
        """
        silence, doubts = await self._silences.create(call.identity, order_of(call.body))
        alarms = (await self._silences.covered([silence]))[silence.silence_id]
        tally = self._situation.silences.tally(silence.silence_id)
        answer = silence_made(silence, self._clock.now(), tally, alarms, doubts)
        return Answer(answer, 201, {"Location": f"/v1/silences/{silence.silence_id}"})

    @operation("GET", "/v1/silences", tag="Silences", roles=READERS)
    async def list_silences(self, call: Call[None, SilenceQuery]) -> Answer[Page[SilenceOut]]:
        """List my silences, the Administrator those of all: planned and active ones unless asked otherwise."""
        query, now = call.query, self._clock.now()
        states = _STATES[query.state]
        rows = [one for one in self._silences.all(call.identity) if one.state(now) in states]
        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.silence_id)
        counts = await self._silences.covered(rows)
        return Answer(
            await sorted_page(
                rows, query, order, lambda _: True, lambda one: self._shown(one, counts[one.silence_id])
            )
        )

    @operation("GET", "/v1/silences/{silence_id}", tag="Silences", roles=READERS)
    async def get_silence(self, call: Call[None, None]) -> Answer[SilenceOut]:
        """Show a silence, also one that is over, with all that was done to it and what it has withheld."""
        return Answer(await self._counted(self._silences.get(call.identity, call.path["silence_id"])))

    @operation("PATCH", "/v1/silences/{silence_id}", tag="Silences", roles=OWNERS)
    async def change_silence(self, call: Call[SilencePatch, None]) -> Answer[SilenceOut]:
        """Change the end, the reason or the owner of a silence that is not over, or the start of a planned one."""
        changed = await self._silences.change(call.identity, call.path["silence_id"], edit_of(call.body))
        return Answer(await self._counted(changed))

    @operation(
        "DELETE",
        "/v1/silences/{silence_id}",
        tag="Silences",
        roles=OWNERS,
        answers={200: "It is over; what it has withheld and still holds is on its way."},
    )
    async def end_silence(self, call: Call[None, None]) -> Answer[SilenceOut]:
        """End a silence before its time, or cancel one that is planned. It stays in the list of those that are over."""
        return Answer(await self._counted(await self._silences.end(call.identity, call.path["silence_id"])))

    async def _counted(self, silence: Silence) -> SilenceOut:
        return self._shown(silence, (await self._silences.covered([silence]))[silence.silence_id])

    def _shown(self, silence: Silence, alarms: int) -> SilenceOut:
        tally = self._situation.silences.tally(silence.silence_id)
        return silence_out(silence, self._clock.now(), tally, alarms)


_STATES = {
    "current": (SilenceState.PLANNED, SilenceState.ACTIVE),
    "all": tuple(SilenceState),
    **{state.value: (state,) for state in SilenceState},
}
