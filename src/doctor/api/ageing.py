"""The door to how long the past is kept [HA 5.2]."""

from doctor.api.operation import Answer, Call, operation
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.api.wire.alarm import AgeingIn, AgeingOut, ageing_out, keep_of
from doctor.flows.ageing import AgeingFlow


class AgeingDoor:
    """The operations on the ageing of history."""

    def __init__(self, ageing: AgeingFlow) -> None:
        self._ageing = ageing

    @operation("GET", "/v1/settings/ageing", tag="Alarms", roles=OVERSEERS)
    async def get_ageing(self, call: Call[None, None]) -> Answer[AgeingOut]:
        """Show how long cleared faults with their alarms are kept, and how many, by their worst severity."""
        return Answer(ageing_out(self._ageing.current.keep))

    @operation(
        "PUT",
        "/v1/settings/ageing",
        tag="Alarms",
        roles=ADMINISTRATORS,
        example={"critical": {"days": 90, "count": 10000}, "warning": {"days": 7}},
    )
    async def put_ageing(self, call: Call[AgeingIn, None]) -> Answer[AgeingOut]:
        """Say how long cleared faults are kept; within the hour the rest is forgotten.

        For a severity that is missing `retention.days` of the settings counts. What is open is always kept.
        """
        await self._ageing.apply(keep_of(call.body), user=call.identity.name)
        return Answer(ageing_out(self._ageing.current.keep))
