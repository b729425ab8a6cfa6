"""Who said of which host that it is dead, or alive: kept with the event, so that it outlives the process [I-12].

What it is worth is judged when it matters (`doctor.fencing.evidence`). Here is only noted who has really spoken: the token
or the monitor behind the report, and not whom the event names as its source.
"""

import msgspec

from doctor.flows.situation import STATEMENT_MEMO, Situation
from doctor.flows.step import Step
from doctor.inspector.selection import Clear, Raise, Selected
from doctor.kit.ids import SEPARATOR
from doctor.model.event import RawEvent
from doctor.model.fault import ResourceState
from doctor.model.fence_job import Says, Statement
from doctor.model.resource import HOST
from doctor.ports.store import Memo

_encode = msgspec.msgpack.Encoder().encode


def hear(situation: Situation, event: RawEvent, verdict: Selected, step: Step) -> None:
    """Note what a report says of the life of a host, if it says anything."""
    says = _says(verdict)
    if says is None or not step.reporter:
        return
    host = situation.resources.find(event.resource)
    if host is None or host.type != HOST:
        return
    statement = situation.fence_book.hear(
        Statement(
            host=host.id,
            reporter=step.reporter,
            says=says,
            time=step.now,
            since=step.now,
            detail=event.type,
        )
    )
    step.heard[host.id] = None
    if statement.since != step.now:
        return  # said before; after a restart it is as old as then, and whoever lives says it again
    key = SEPARATOR.join((statement.host, statement.reporter))
    step.change.memos.append(Memo(kind=STATEMENT_MEMO, key=key, record=_encode(statement)))


def _says(verdict: Selected) -> Says | None:
    """Return what an event says of a host's life: that it is down, or that it is so no more."""
    match verdict:
        case Raise(rule=rule) if rule.state is ResourceState.DOWN:
            return Says.DEAD
        case Clear(faults=faults) if any(ended.rule.state is ResourceState.DOWN for ended in faults):
            return Says.ALIVE
        case _:
            return None
