"""The settings: one YAML file, all of it optional.

Errors name the path and what would be right. What belongs to a driver is read by the driver.
"""

import os
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml

from doctor.app.fencing import FencingSettings, anchored, anchored_files
from doctor.drivers.identities.keystone import KeystoneSettings
from doctor.flows.instruction import InstructionRules
from doctor.flows.silence import SilenceLimits
from doctor.flows.subscription import SubscriptionLimits
from doctor.model.errors import Flaw, RejectedError
from doctor.model.instruction import Action
from doctor.model.maintenance import MaintenanceLimits
from doctor.model.marking import ForceDown
from doctor.model.recovery import RecoveryLimits
from doctor.profiler.availability import SHIPPED, Levels, ServiceAvailabilityLevel

SYSTEM_DATA = Path("/var/lib/doctor")

# Settings that have their name already, so that a file written for a later Doctor is refused for the right reason.
PLANNED = (("database",),)


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """HTTPS at the doors. ``client_ca`` demands client certificates of that authority."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class AuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may come in.

    ``anonymous_events_from`` are the networks from which `/events` takes events without a token (none);
    ``anonymous_events_timezone`` is the zone of times without one there (the server's). ``keystone`` lets in users of a
    cloud too.
    """

    anonymous_events_from: list[str] = []
    anonymous_events_timezone: str | None = None
    keystone: KeystoneSettings | None = None


class AdministratorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the Administrator is told of every physical fault without subscribing."""

    endpoints: list["AdministratorEndpoint"] = []


class AdministratorEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An endpoint of the Administrator; ``secret_file`` holds the ``whsec_`` secret for signing."""

    url: str
    format: Literal["doctor", "cloudevents", "aodh", "fenix", "fenix-aodh"] = "doctor"
    secret_file: Path | None = None


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is expected of somebody who reports: he is missed when he says nothing for ``silent_after`` seconds."""

    silent_after: Annotated[float, msgspec.Meta(ge=1, le=31_536_000)]


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many days events, notifications, cleared faults and timelines are kept. Open faults always stay."""

    days: Annotated[float, msgspec.Meta(gt=0)] = 30


class LevelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A service availability level: what it promises, and the capabilities that it needs.

    ``detection``, ``recovery`` and ``burn_over`` are seconds, ``availability`` and ``impact`` shares such as 0.999.
    """

    detection: Annotated[float, msgspec.Meta(gt=0)]
    recovery: Annotated[float, msgspec.Meta(gt=0)]
    needs: list[str] = []
    availability: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    window_days: Annotated[float, msgspec.Meta(ge=0.01, le=366)] = 30
    burn_rate: Annotated[float, msgspec.Meta(gt=0)] | None = 14.4
    burn_over: Annotated[float, msgspec.Meta(ge=1, le=31 * 86400)] = 3600
    impact: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    failures_per_day: Annotated[float, msgspec.Meta(ge=0)] | None = None

    @property
    def level(self) -> ServiceAvailabilityLevel:
        """Return the level."""
        return ServiceAvailabilityLevel(
            detection=self.detection,
            recovery=self.recovery,
            needs=tuple(self.needs),
            availability=self.availability,
            window=timedelta(days=self.window_days),
            burn_rate=self.burn_rate,
            burn_over=timedelta(seconds=self.burn_over),
            impact=self.impact,
            failures_per_day=self.failures_per_day,
        )


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much one project may ask for: subscriptions in all, and endpoints of each; silences, and how many hours of each."""

    subscriptions_per_project: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    endpoints_per_subscription: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    silences_per_project: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    silence_hours: Annotated[float, msgspec.Meta(gt=0, le=8784)] = 168

    @property
    def of_subscriptions(self) -> SubscriptionLimits:
        """Return those of subscriptions as the flow takes them."""
        return SubscriptionLimits(self.subscriptions_per_project, self.endpoints_per_subscription)

    @property
    def of_silences(self) -> SilenceLimits:
        """Return those of silences as the flow takes them."""
        return SilenceLimits(timedelta(hours=self.silence_hours), self.silences_per_project)


class InstructionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What owners may have done to their machines.

    ``forbidden`` are actions that are refused to everybody; ``begin_within`` is the seconds that one has to begin unless it
    says otherwise; ``longest_wait`` is the most that it may say; ``per_project`` is of how many machines of a project
    something is still to be done at most.
    """

    forbidden: list[Action] = []
    begin_within: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 600
    longest_wait: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 86_400
    per_project: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000

    @property
    def rules(self) -> InstructionRules:
        """Return them as the flow takes them."""
        return InstructionRules(
            frozenset(self.forbidden),
            timedelta(seconds=self.begin_within),
            timedelta(seconds=self.longest_wait),
            self.per_project,
        )


class RecoverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Within which limits machines are recovered by what their owners have said beforehand.

    ``at_once``, ``per_zone`` and ``per_host`` are how many are under way in all, in one zone, on one host; ``reserved`` are
    hosts that are kept for recovery, each with the service availability levels that it is for (all, if it names none). For
    one machine ``most`` steps are begun ``within`` so many seconds.
    """

    at_once: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    per_zone: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    per_host: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 2
    reserved: dict[str, list[str | int]] = {}
    most: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    within: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 3600

    @property
    def limits(self) -> RecoveryLimits:
        """Return them as the flow takes them."""
        return RecoveryLimits(
            at_once=self.at_once,
            per_zone=self.per_zone,
            per_host=self.per_host,
            reserved={host: frozenset(map(str, levels)) for host, levels in self.reserved.items()},
            most=self.most,
            within=timedelta(seconds=self.within),
        )


class MaintenanceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Within which limits hosts are emptied.

    ``at_once``, ``per_zone`` and ``per_host`` are how many machines leave at one time in all, for one zone, for one host.
    Each is told to leave ``tries`` times, ``retry_after`` seconds apart. ``floor`` is the share of the hosts of a zone that
    has to go on serving. ``usual_timeout`` is how long emptying a host may take unless it is said (seconds),
    ``longest_timeout`` how long at most. ``sessions`` is how many may be open. ``actions`` are what sessions can have done
    around the work, by name: each with its ``driver``, what that wants to know, and the ``timeout`` of a run.
    ``return_within`` is how many seconds a host may take to come back when the work on it is done. ``open_on_disabled`` is a
    pattern with wildcards: a host that somebody disables in its cloud with such a reason is emptied.
    """

    at_once: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    per_zone: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    per_host: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 2
    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    retry_after: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5
    floor: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.51
    usual_timeout: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 1800
    longest_timeout: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 604_800
    sessions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    actions: dict[str, dict[str, Any]] = {}
    return_within: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600
    open_on_disabled: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None

    @property
    def limits(self) -> MaintenanceLimits:
        """Return them as the flow takes them."""
        return MaintenanceLimits(
            at_once=self.at_once,
            per_host=self.per_host,
            per_zone=self.per_zone,
            tries=self.tries,
            retry_after=timedelta(seconds=self.retry_after),
            floor=self.floor,
            usual=timedelta(seconds=self.usual_timeout),
            longest=timedelta(seconds=self.longest_timeout),
            sessions=self.sessions,
            returns=timedelta(seconds=self.return_within),
        )


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is written to standard error, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings. ``data`` defaults to /var/lib/doctor, or $XDG_STATE_HOME/doctor where that is not writable."""

    listen: str = "127.0.0.1:12345"
    public_url: str | None = None
    tls: TlsSettings | None = None
    data: Path | None = None
    auth: AuthSettings = AuthSettings()
    administrator: AdministratorSettings = AdministratorSettings()
    controllers: list[dict[str, Any]] = []
    monitors: list[dict[str, Any]] = []
    sources: dict[str, SourceSettings] = {}
    channels: list[dict[str, Any]] = []
    policy: Path | None = None
    endpoints: dict[str, Any] = {}
    fencing: FencingSettings = FencingSettings()
    service_availability_levels: dict[str, LevelSettings] = {}
    instructions: InstructionSettings = InstructionSettings()
    recovery: RecoverySettings = RecoverySettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port to listen on."""
        return split_address(self.listen)

    def with_overrides(self, **values: Any) -> "Settings":
        """Return the settings with some replaced, checked again.

        Raises:
            RejectedError: they are wrong now.
        """
        settings = msgspec.structs.replace(self, **values)
        flaws = _flaws(settings)
        if flaws:
            raise RejectedError("the settings are wrong", flaws=flaws)
        return settings

    @property
    def on_loopback(self) -> bool:
        """Tell whether nobody from outside this machine can come in."""
        return is_loopback(self.address[0])

    @property
    def data_folder(self) -> Path:
        """Return where state is kept; it may not exist yet."""
        return self.data or default_data()

    @property
    def levels(self) -> Levels:
        """Return the service availability levels: those that ship, and the operator's."""
        return SHIPPED | {name: one.level for name, one in self.service_availability_levels.items()}

    @property
    def promised(self) -> dict[str, timedelta]:
        """Return who is expected to report, and how long he may be silent."""
        return {name: timedelta(seconds=one.silent_after) for name, one in self.sources.items()}

    @property
    def anonymous_networks(self) -> list[IPv4Network | IPv6Network]:
        """Return the networks that may report at `/events` without a token."""
        return [ip_network(one) for one in self.auth.anonymous_events_from]

    @property
    def anonymous_zone(self) -> ZoneInfo | None:
        """Return the zone of times without one at `/events`; None is the server's."""
        name = self.auth.anonymous_events_timezone
        return ZoneInfo(name) if name else None


def load_settings(path: Path | None) -> Settings:
    """Read a settings file; without one everything is as it ships.

    Raises:
        RejectedError: each flaw with its path.
    """
    if path is None:
        return Settings()
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise RejectedError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RejectedError(f"{path}: not valid YAML: {error}") from None
    return parse_settings({} if document is None else document, folder=path.parent)


def parse_settings(document: Any, *, folder: Path = Path()) -> Settings:
    """Read settings from a document; relative paths in it start at ``folder``.

    Raises:
        RejectedError: each flaw with its path.
    """
    planned = [
        Flaw(".".join(path), "is not supported by this version of Doctor: leave it out")
        for path in PLANNED
        if _has(document, path)
    ]
    if planned:
        raise RejectedError("the settings are wrong", flaws=planned)
    try:
        settings = msgspec.convert(document, Settings, dec_hook=lambda _, value: folder / value)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        raise RejectedError(
            "the settings are wrong", flaws=[Flaw(where.rstrip("`").lstrip("."), text)]
        ) from None
    actions = {name: anchored_files(one, folder) for name, one in settings.maintenance.actions.items()}
    settings = msgspec.structs.replace(
        settings,
        fencing=anchored(settings.fencing, folder),
        maintenance=msgspec.structs.replace(settings.maintenance, actions=actions),
        monitors=[anchored_files(monitor, folder) for monitor in settings.monitors],
    )
    flaws = _flaws(settings)
    if flaws:
        raise RejectedError("the settings are wrong", flaws=flaws)
    return settings


def _has(document: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


def _flaws(settings: Settings) -> list[Flaw]:
    flaws: list[Flaw] = []
    try:
        split_address(settings.listen)
        if not settings.on_loopback and settings.tls is None:
            flaws.append(
                Flaw("listen", "is not loopback: set tls.certificate and tls.key, or listen on 127.0.0.1")
            )
    except ValueError as error:
        flaws.append(Flaw("listen", str(error)))
    if settings.public_url is not None and not _is_web_address(settings.public_url):
        flaws.append(Flaw("public_url", "is no web address: write https://doctor.example"))
    for index, network in enumerate(settings.auth.anonymous_events_from):
        try:
            ip_network(network)
        except ValueError as error:
            flaws.append(Flaw(f"auth.anonymous_events_from[{index}]", str(error)))
    try:
        _ = settings.anonymous_zone
    except (ZoneInfoNotFoundError, ValueError):
        flaws.append(
            Flaw("auth.anonymous_events_timezone", "is no time zone: use a name like Europe/Berlin or UTC")
        )
    for name, level in settings.service_availability_levels.items():
        looks_back = level.availability is not None or level.failures_per_day is not None
        if looks_back and level.window_days > settings.retention.days:
            flaws.append(
                Flaw(
                    f"service_availability_levels.{name}.window_days",
                    f"is {level.window_days:g}, and retention.days is {settings.retention.days:g}: "
                    "what is older is not known",
                )
            )
        if level.burn_over > level.window_days * 86400:
            flaws.append(
                Flaw(
                    f"service_availability_levels.{name}.burn_over",
                    "is longer than the window: make it shorter",
                )
            )
    for name in ("controllers", "monitors", "channels"):
        for index, driver in enumerate(getattr(settings, name)):
            if name == "controllers" and driver.get("force_down", ForceDown.AUTO) not in list(ForceDown):
                words = ", ".join(ForceDown)
                flaws.append(Flaw(f"controllers[{index}].force_down", f"use one of: {words}"))
            if not isinstance(driver.get("driver"), str):
                flaws.append(Flaw(f"{name}[{index}].driver", "required: the name of a driver"))
    return flaws


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    )


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[v6]:port``.

    Raises:
        ValueError: it is no address and port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address and port: write 127.0.0.1:12345")
    host = host.strip("[]") or "127.0.0.1"
    if host != "localhost":
        try:
            ip_address(host)
        except ValueError:
            raise ValueError(f"{host!r} is no IP address") from None
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own and nobody else's."""
    return host == "localhost" or ip_address(host).is_loopback


def default_data() -> Path:
    """Return where state is kept when the settings do not say."""
    parent = SYSTEM_DATA if SYSTEM_DATA.exists() else SYSTEM_DATA.parent
    if os.access(parent, os.W_OK):
        return SYSTEM_DATA
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "doctor"
