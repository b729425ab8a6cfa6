"""What the bench reports: events as Monitors write them, in requests that are ready to send.

99 of 100 events are of a type that no rule of the policy names: readings, of which Doctor gets the most and makes
nothing. One in 100 is named. In a load (`readings`) it repeats a fault that is open already: the policy is asked, the
repeat is counted and kept, nobody is told again. On the way to a webhook (`outages`) it is a host that goes down or
comes back, and its owners are told.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from doctor.kit.times import rfc3339

READING = "compute.host.reading"
NAMED = "compute.host.nic.error"
HOST_DOWN = "compute.host.down"
SWITCH_DOWN = "network.switch.down"
NAMED_OF_100 = 1
HOSTS = 100

_EVENT = (
    '{{"time":"{time}","type":"{type}","details":{{"hostname":"{host}","status":"{status}","severity":"{severity}",'
    '"source":"bench","monitor":"bench","monitor_event_id":"{id}"}}}}'
)


def event(kind: str, host: str, status: str, *, time: str, number: int, severity: str = "critical") -> str:
    """Write one event, of about 200 bytes; the number makes it another one than all before."""
    return _EVENT.format(
        time=time, type=kind, host=host, status=status, severity=severity, id=f"{number:09d}"
    )


def wrapped(text: str) -> bytes:
    """Return the body that reports one event."""
    return f'{{"event":{text}}}'.encode()


def readings(first: int, count: int) -> Iterator[str]:
    """Return events of a load, with the numbers from ``first`` on."""
    now = rfc3339(datetime.now(UTC))
    for number in range(first, first + count):
        host = f"compute-{number // 100 % HOSTS}"
        if number % 100 < NAMED_OF_100:
            yield event(NAMED, host, "down", time=now, number=number)
        else:
            yield event(READING, host, "up", time=now, number=number, severity="info")


def bulk(first: int, size: int) -> bytes:
    """Return the body that reports many events at once."""
    return together(readings(first, size))


def together(texts: Iterable[str]) -> bytes:
    """Return the body that reports these events at once."""
    return ('{"events":[' + ",".join(f'{{"event":{text}}}' for text in texts) + "]}").encode()


def outages(first: int, count: int, *, every: int, host: str) -> Iterator[tuple[str, str | None]]:
    """Return events of which one in ``every`` is a host that goes down, or comes back, in turn.

    With each comes by what the notification can be told: its type and the time of the outage; None for readings.
    """
    start = datetime.now(UTC)
    other = rfc3339(start)
    down = ""
    for index in range(count):
        number = first + index
        if index % every:
            yield event(READING, "compute-1", "up", time=other, number=number, severity="info"), None
            continue
        is_down = index // every % 2 == 0
        time = rfc3339(start + timedelta(microseconds=index))
        if is_down:
            down = time
        text = event(HOST_DOWN, host, "down" if is_down else "up", time=time, number=number)
        yield text, mark("fault" if is_down else "fault_cleared", down)


def mark(kind: str, event_time: str) -> str:
    """Return by what a notification is known again: its type and the time of the outage."""
    return f"{kind} {event_time}"
