"""The shape of an alarm as it is asked for: what is told of it, and what has become of it since."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import asdict

from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.notification import FaultInfo
from doctor.notifier.message import Describer


class AlarmOut(FaultInfo, frozen=True, gc=False, kw_only=True):
    """One alarm: the fields of a fault as owners are told it, and the resource that it is on [D 5.5.3]."""

    resource_id: str
    resource_type: str
    ack_state: str = "unacknowledged"
    acknowledged_time: datetime | None = None
    user: str | None = None
    comments: list[dict[str, Any]] = msgspec.field(default_factory=list)


def alarm_out(record: AlarmedFault, alarm: Alarm, describer: Describer) -> AlarmOut:
    """Return an alarm as the viewer of the describer may see it."""
    return AlarmOut(
        **asdict(describer.fault(record, alarm)),
        resource_id=alarm.resource_id,
        resource_type=alarm.resource_type,
    )
