"""The doors for what sources push in forms of their own, and Doctor in the place of an Alertmanager.

Each kind of source has a `Payload` that says how it is read; what of it is news is judged as any event. Prometheus and
amtool see the part of the API of Alertmanager (version 2) that they use.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec

from doctor import __version__
from doctor.api.operation import Answer, Call, operation
from doctor.api.problem import Limits
from doctor.api.roles import OVERSEERS, REPORTERS
from doctor.api.southbound import AcceptedEvent, EventsAnswer
from doctor.api.wire.payload import Understood, understand
from doctor.flows.sources import Sources
from doctor.flows.standing import Standing, Taken
from doctor.inspector.standing import Stand
from doctor.kit.clock import Clock
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.ports.payload import Payload, Told

ALERTMANAGER, VES = "alertmanager", "ves"

# A group of Alertmanager has all alerts that belong to it, and a body cannot be sent in parts.
LARGE = Limits(body=8 * 1024 * 1024)

AnyPayload = Annotated[
    bytes, msgspec.Meta(description="What the source sends; see the page on each in the documentation.")
]


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an alert is handled. Here it always is: silences are Doctor's own."""

    state: str = "active"
    silencedBy: tuple[str, ...] = ()  # noqa: N815 - as Alertmanager writes it
    inhibitedBy: tuple[str, ...] = ()  # noqa: N815


class Receiver(msgspec.Struct, frozen=True):
    """Who is told of an alert."""

    name: str = "doctor"


class AlertOut(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that stands, as Alertmanager shows it."""

    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: datetime  # noqa: N815
    endsAt: datetime  # noqa: N815
    updatedAt: datetime  # noqa: N815
    generatorURL: str  # noqa: N815
    fingerprint: str
    status: AlertStatus = AlertStatus()
    receivers: tuple[Receiver, ...] = (Receiver(),)


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Doctor is no member of a cluster of Alertmanagers."""

    status: str = "disabled"
    name: str = ""
    peers: tuple[str, ...] = ()


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What answers."""

    version: str = __version__
    branch: str = "doctor"
    revision: str = ""
    buildUser: str = ""  # noqa: N815
    buildDate: str = ""  # noqa: N815
    goVersion: str = ""  # noqa: N815


class ConfigOut(msgspec.Struct, frozen=True):
    """Alertmanager shows its configuration here. Doctor's is in its settings."""

    original: str = "# this is Doctor; see doctor serve --help\n"


class StatusOut(msgspec.Struct, frozen=True, kw_only=True):
    """The status of an Alertmanager."""

    uptime: datetime
    cluster: ClusterStatus = ClusterStatus()
    versionInfo: VersionInfo = VersionInfo()  # noqa: N815
    config: ConfigOut = ConfigOut()


class AlertsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts are wanted. ``filter`` are matchers such as `host="compute-1"` or `severity!="info"`."""

    filter: list[str] = []
    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    unprocessed: bool = True
    receiver: str | None = None


class Matcher(NamedTuple):
    """What a label has to be, or not to be."""

    name: str
    is_equal: bool
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels are as wanted; one that is missing is empty."""
        return (labels.get(self.name, "") == self.value) is self.is_equal


_MATCHER = re.compile(
    r'\{?\s*([a-zA-Z_][a-zA-Z0-9_.]*)\s*(!=|=~|!~|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"]*))\s*\}?'
)


class PayloadsDoor:
    """The operations of sources that push."""

    def __init__(
        self, payloads: Mapping[str, Payload], standing: Standing, sources: Sources, clock: Clock
    ) -> None:
        self._payloads = payloads
        self._standing = standing
        self._sources = sources
        self._clock = clock

    @operation(
        "POST",
        "/v1/monitors/{kind}",
        tag="Monitors",
        roles=REPORTERS,
        limits=LARGE,
        path_help={"kind": "Whose form it is: `alertmanager`, `collectd`, `masakari`, `ves`, `zabbix`."},
        answers={202: "What is news of it is durable."},
    )
    async def report_in_own_form(self, call: Call[AnyPayload, None]) -> Answer[EventsAnswer]:
        """Report what is wrong in the form of another program.

        What was said before and still stands is answered as a duplicate. What is wrong with one item does not harm the
        others: it is told in `rejected`. 400 if none can be accepted. A sign of life (the alert `Watchdog`, an event of the
        type `monitor.heartbeat`) becomes no event.
        """
        return await self._answer(call.path["kind"], call)

    @operation(
        "POST",
        "/v1/monitors/ves/eventListener/v7",
        tag="Monitors",
        roles=REPORTERS,
        limits=LARGE,
        answers={202: "What is news of it is durable."},
    )
    async def report_ves_event(self, call: Call[AnyPayload, None]) -> Answer[EventsAnswer]:
        """Report a fault, a change of state, or a heartbeat, as an agent of VES 7 does."""
        return await self._answer(VES, call)

    @operation(
        "POST",
        "/v1/monitors/ves/eventListener/v7/eventBatch",
        tag="Monitors",
        roles=REPORTERS,
        limits=LARGE,
        answers={202: "What is news of it is durable."},
    )
    async def report_ves_events(self, call: Call[AnyPayload, None]) -> Answer[EventsAnswer]:
        """Report several events at once, as an agent of VES 7 does."""
        return await self._answer(VES, call)

    async def _answer(self, kind: str, call: Call[bytes, None]) -> Answer[EventsAnswer]:
        understood, taken = await self.take(kind, call.identity.name, self._clock.now(), call.raw)
        accepted = [
            AcceptedEvent(index, one.event_id, one.is_duplicate)
            for index, one in zip(understood.indexes, taken, strict=True)
            if one.event_id
        ]
        return Answer(EventsAnswer(accepted, understood.rejected), 202)

    @operation(
        "POST",
        "/api/v2/alerts",
        tag="Monitors",
        roles=REPORTERS,
        limits=LARGE,
        lenient=True,
        answers={200: "What is news of it is durable."},
    )
    async def post_alerts(self, call: Call[AnyPayload, None]) -> Answer[None]:
        """Report alerts as Prometheus and amtool do to an Alertmanager.

        Good alerts are taken if others are wrong; 400 if none can be accepted. An alert has ended when its `endsAt` has
        passed, or when that passes and its source goes on speaking of others.
        """
        await self.take(ALERTMANAGER, call.identity.name, self._clock.now(), call.raw)
        return Answer(None)

    async def take(
        self, kind: str, source: str, received: datetime, body: bytes
    ) -> tuple[Understood, list[Taken]]:
        """Take what a source sends in a form of its own.

        Raises:
            RejectedError: nothing is known of the form, or nothing of this can be accepted.
        """
        told = Told(source, received)
        payload = self._payloads.get(kind)
        if payload is None:
            known = ", ".join(sorted(self._payloads))
            raise RejectedError(f"nothing is known of this form; there are: {known}", reason=Reason.NOT_FOUND)
        try:
            understood = understand(body, payload, told)
        except RejectedError:
            self._sources.refuses(told.source, 1)
            raise
        self._sources.refuses(told.source, len(understood.rejected))
        return understood, await self._standing.take(kind, told, understood.readings)

    @operation(
        "GET",
        "/api/v2/alerts",
        tag="Monitors",
        roles=REPORTERS | OVERSEERS,
        lenient=True,
        answers={200: "The alerts that stand."},
    )
    async def list_alerts(self, call: Call[None, AlertsQuery]) -> Answer[list[AlertOut]]:
        """List the alerts that stand by what Prometheus, Alertmanager and amtool say. All are active."""
        query = call.query
        matchers = list(_matchers(query.filter))
        if not query.active or query.receiver not in (None, "", Receiver().name):
            return Answer([])
        shown = (_shown(stand) for stand in self._standing.at(ALERTMANAGER))
        return Answer([one for one in shown if all(matcher.fits(one.labels) for matcher in matchers)])

    @operation("GET", "/api/v2/status", tag="Monitors", roles=REPORTERS | OVERSEERS, lenient=True)
    async def alertmanager_status(self, call: Call[None, None]) -> Answer[StatusOut]:
        """Answer as an Alertmanager that is well."""
        return Answer(StatusOut(uptime=self._sources.since))


def _matchers(texts: list[str]) -> Iterator[Matcher]:
    for index, text in enumerate(texts):
        found = _MATCHER.fullmatch(text)
        if found is None:
            flaw = Flaw(f"/filter/{index}", 'is no matcher: write name="value" or name!="value"')
            raise RejectedError("a filter cannot be read", reason=Reason.MALFORMED, flaws=[flaw])
        name, how, quoted, plain = found.groups()
        if how in ("=~", "!~"):
            flaw = Flaw(f"/filter/{index}", "regular expressions are not supported: use = or !=")
            raise RejectedError("a filter cannot be used", reason=Reason.MALFORMED, flaws=[flaw])
        value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        yield Matcher(name, how == "=", value)


def _shown(stand: Stand) -> AlertOut:
    event, details = stand.event, stand.event.details
    return AlertOut(
        labels=details.get("labels") or {"alertname": event.type},
        annotations=details.get("annotations") or {},
        startsAt=event.time,
        endsAt=stand.until or event.time,
        updatedAt=event.time,
        generatorURL=details.get("generator") or "",
        fingerprint=event.monitor_event_id,
    )
