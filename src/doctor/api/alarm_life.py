"""The door to the life of an alarm [D 5.5.3, IFA 005]: what people do to it, and what has happened to it."""

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import ADMINISTRATORS, OWNERS, READERS
from doctor.api.wire.alarm import (
    AlarmOut,
    AlarmPatch,
    CommentRequest,
    Rebuilt,
    alarm_out,
    end_of,
    person,
)
from doctor.flows.alarm import AlarmFlow
from doctor.flows.alarm_history import AlarmHistory
from doctor.flows.alarm_list import AlarmListFlow
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.model.history import HistoryItem
from doctor.model.identity import Identity


class AlarmLifeDoor:
    """The operations on one alarm."""

    def __init__(
        self,
        situation: Situation,
        alarms: AlarmFlow,
        silences: SilenceFlow,
        history: AlarmHistory,
        lists: AlarmListFlow,
    ) -> None:
        self._situation = situation
        self._alarms = alarms
        self._silences = silences
        self._history = history
        self._lists = lists

    @operation(
        "PATCH",
        "/v1/alarms/{alarm_id}",
        tag="Alarms",
        roles=OWNERS,
        answers={200: "The alarm as it is now."},
        example={"action": "acknowledge", "user": "alice"},
    )
    async def act_on_alarm(self, call: Call[AlarmPatch, None]) -> Answer[AlarmOut]:
        """Acknowledge, shelve or clear an alarm, or take the first two back.

        To say it twice is no error. A shelved alarm stays open until its time (`until`); its owner is not told of its
        changes, but is of its end. Only the Administrator clears, and only the alarm of the fault itself: those that
        follow from it end with it. If the fault is still there, the next report raises it anew.
        """
        given = call.body
        await self._alarms.act(
            call.identity,
            call.path["alarm_id"],
            given.action,
            user=person(given.user),
            until=end_of(given),
        )
        return Answer(await self._shown(call.identity, call.path["alarm_id"]))

    @operation(
        "POST",
        "/v1/alarms/{alarm_id}/comments",
        tag="Alarms",
        roles=OWNERS,
        answers={201: "The alarm with its comments, the newest last."},
        example={"text": "the power supply is on its way", "user": "alice"},
    )
    async def comment_on_alarm(self, call: Call[CommentRequest, None]) -> Answer[AlarmOut]:
        """Say something about an alarm. All who see the alarm can read it."""
        given = call.body
        await self._alarms.comment(call.identity, call.path["alarm_id"], given.text, user=person(given.user))
        return Answer(await self._shown(call.identity, call.path["alarm_id"]), 201)

    @operation("GET", "/v1/alarms/{alarm_id}/history", tag="Alarms", roles=READERS)
    async def get_alarm_history(self, call: Call[None, PageQuery]) -> Answer[Page[HistoryItem]]:
        """Tell everything that happened to an alarm, in order.

        Its life, what people did, who was told, and who was not and why: as subscriptions are now. An owner reads of
        his own subscriptions, the Administrator of all whom it concerns.
        """
        after = position_in(call.query.cursor, int) or 0
        scope = call.identity.scope
        record, alarm = await self._alarms.find(call.identity, call.path["alarm_id"])
        items = list(enumerate(await self._history.of(record, alarm, scope), 1))
        rows = [row for row in items if row[0] > after][: call.query.limit + 1]
        return Answer(page_of(rows, call.query.limit, lambda row: row[1], lambda row: row[0]))

    @operation(
        "POST",
        "/v1/alarms/rebuild",
        tag="Alarms",
        roles=ADMINISTRATORS,
        answers={202: "The lists are durable and on their way."},
    )
    async def rebuild_alarm_lists(self, call: Call[None, None]) -> Answer[Rebuilt]:
        """Tell every subscription all that is open, in one notification `alarm_list_rebuilt`.

        For when state had to be restored, and Consumers may believe something else. What is not in it is over.
        """
        return Answer(Rebuilt(subscriptions=await self._lists.rebuild(user=call.identity.name)), 202)

    async def _shown(self, identity: Identity, alarm_id: str) -> AlarmOut:
        record, alarm = await self._alarms.find(identity, alarm_id)
        describer = self._situation.describer(identity.scope)
        silences = self._silences.over(record, alarm, identity.scope)
        return alarm_out(record, alarm, describer, self._situation.notes.of(alarm_id), silences)
