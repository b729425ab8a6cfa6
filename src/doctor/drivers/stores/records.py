"""What every store has to know of the records it keeps."""

from datetime import UTC, datetime

from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.checkpoint import Checkpoint, Timeline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_ID_BYTES = 16

# The clocks of others: they may be wrong by years, so nothing is kept or forgotten by them.
FOREIGN_CHECKPOINTS = {Checkpoint.OCCURRED, Checkpoint.DETECTED, Checkpoint.HANDLED}


def newest(timeline: Timeline) -> datetime:
    """Return how new a timeline is: the last time of Doctor's own clock in it."""
    own = (time for name, time in timeline.checkpoints.items() if name not in FOREIGN_CHECKPOINTS)
    return max(own, default=EPOCH)


def with_ended(record: AlarmedFault, alarm: Alarm) -> AlarmedFault:
    """Return a fault with an alarm that ended before it in the place of the alarm of today on that resource."""
    return AlarmedFault(fault=record.fault, alarms={**record.alarms, alarm.resource_id: alarm})
