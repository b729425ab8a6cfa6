"""The door to figures for Prometheus: who reports, how much, how late."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from doctor.api.operation import Answer, Call, operation
from doctor.api.roles import OVERSEERS, REPORTERS
from doctor.flows.sources import Sources
from doctor.flows.standing import Standing
from doctor.inspector.source import Source

MEDIA_TYPE = "text/plain"
PREFIX = "doctor_monitor_"

COUNTER, GAUGE = "counter", "gauge"


class Figure(NamedTuple):
    """One figure of each source; None: it has none."""

    name: str
    kind: str
    help: str
    of: Callable[[Source], float | None]


class MetricsDoor:
    """The operation that Prometheus calls."""

    def __init__(self, sources: Sources, standing: Standing) -> None:
        self._sources = sources
        self._figures = (
            Figure("events_total", COUNTER, "Events that came.", lambda one: one.events),
            Figure("duplicates_total", COUNTER, "Events that were known.", lambda one: one.duplicates),
            Figure(
                "rejected_total",
                COUNTER,
                "Events or requests that were wrong.",
                lambda one: one.rejected + sources.counts_of(one.name).get("rejected", 0),
            ),
            Figure(
                "lost_total",
                COUNTER,
                "Events that were lost on the way.",
                lambda one: sources.counts_of(one.name).get("lost", 0),
            ),
            Figure(
                "lag_seconds",
                GAUGE,
                "By how much later than it says the newest event came.",
                lambda one: None if one.lag is None else one.lag.total_seconds(),
            ),
            Figure(
                "last_heard_timestamp_seconds",
                GAUGE,
                "When it spoke last.",
                lambda one: None if one.last_heard is None else one.last_heard.timestamp(),
            ),
            Figure(
                "standing", GAUGE, "Things that are wrong there now.", lambda one: standing.count(one.name)
            ),
            Figure("silent", GAUGE, "1: it should have spoken.", lambda one: int(one.is_silent)),
        )

    @operation(
        "GET",
        "/metrics",
        tag="Service",
        roles=OVERSEERS | REPORTERS,
        open_on_loopback=True,
        lenient=True,
        produces=MEDIA_TYPE,
        answers={200: "The figures, in the text format of Prometheus."},
    )
    async def metrics(self, call: Call[None, None]) -> Answer[str]:
        """Show figures of every source of events, for Prometheus to scrape."""
        return Answer("".join(f"{line}\n" for line in self._lines()))

    def _lines(self) -> Iterator[str]:
        sources = self._sources.all
        for figure in self._figures:
            name = PREFIX + figure.name
            yield f"# HELP {name} {figure.help}"
            yield f"# TYPE {name} {figure.kind}"
            for source in sources:
                value = figure.of(source)
                if value is not None:
                    labels = f'monitor="{_escaped(source.name)}",kind="{_escaped(source.kind)}"'
                    yield f"{name}{{{labels}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
