"""What can be set about the heartbeat monitor, and how the settings are read."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec

from doctor.drivers.monitors.heartbeat.pacing import PaceSettings
from doctor.drivers.monitors.ping.judging import Rule
from doctor.drivers.monitors.ping.settings import Count, PingSettings, Text
from doctor.drivers.monitors.sockets import addresses
from doctor.kit.options import convert, duration, mapping

DURATIONS = {
    "fastest": timedelta(milliseconds=10),
    "slowest": timedelta(milliseconds=100),
    "slack": timedelta(milliseconds=1),
    "tolerance": timedelta(0),
    "start_grace": timedelta(0),
    "agent_grace": timedelta(0),
}
SHORTEST_SLACK = 0.005
LONGEST_SLACK = 0.1
LAG_STEP_US = (
    10_000  # an announced lag is rounded up to these, so that not each heartbeat has a rule of its own
)
MOST_RULES = 10_000
FOR_PING = ("canaries", "vantage")


class HeartbeatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the heartbeat monitor. A host is silent when ``misses`` heartbeats in a row came on none of its networks.

    - ``listen``: addresses and ports (UDP) on which heartbeats are taken; one for each network.
    - ``master_key_file``, ``keys_file``: where the keys of the hosts come from: all from one, or a line for each.
    - ``misses``: more forgives more loss, and takes an interval longer each. The interval is the agent's.
    - ``recover``: so many heartbeats in a row make a host up again.
    - ``fastest``, ``slowest``: intervals that are taken from agents; others are taken for the nearest of these.
    - ``slack``: how late a heartbeat may be; by default a quarter of the interval, within 5 and 100 ms.
    - ``tolerance``: an agent says how late it was lately; its host is given so much more time, up to this.
    - ``only``: patterns of the ids of hosts that are watched; none means all of the map.
    - ``expect``: patterns of the hosts that have to send. Without it a host is missed once it was heard.
    - ``start_grace``: for so long the silence of one that was never heard is no news.
    - ``confirm``: ask a host that misses a heartbeat by ping; if it answers, only its agent is silent.
    - ``agent_grace``: for so long an agent may be silent on a host that answers.
    - ``peers``: so many agents of other hosts are asked whether they hear a host that is missed; 0 asks nobody.
    - ``paces``: how often which agents are wished to speak.
    - ``ping``: how a host is asked, and canaries: as for the ping monitor.
    - ``canaries``, ``vantage``: as for the ping monitor.
    """

    listen: tuple[Text, ...]
    master_key_file: Path | None = None
    keys_file: Path | None = None
    misses: Count = 3
    recover: Count = 2
    fastest: timedelta = timedelta(milliseconds=20)
    slowest: timedelta = timedelta(seconds=10)
    slack: timedelta | None = None
    tolerance: timedelta = timedelta(seconds=1)
    only: tuple[Text, ...] = ()
    expect: tuple[Text, ...] = ()
    start_grace: timedelta = timedelta(seconds=10)
    confirm: bool = True
    agent_grace: timedelta = timedelta(seconds=10)
    paces: PaceSettings = PaceSettings()
    peers: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3
    ping: Annotated[PingSettings, msgspec.Meta(description="how hosts and canaries are asked")] = (
        PingSettings()
    )

    @property
    def vantage(self) -> str:
        """Return what this place to look from is called."""
        return self.ping.vantage

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return where to listen."""
        return addresses(self.listen, 12346)

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Read the settings as they stand in the YAML file.

        Raises:
            ValueError: something is wrong; the message names the place.
        """
        given = dict(settings)
        ping = dict(mapping(given.pop("ping", {}), "ping"))
        for name in FOR_PING:
            if name in ping:
                raise ValueError(f"ping.{name}: write it beside ping, not in it")
        common = {name: given.pop(name) for name in FOR_PING if name in given}
        try:
            parsed_ping = PingSettings.parse({"vantage": "heartbeat", **common, **ping})
        except ValueError as error:
            place = "" if str(error).startswith(FOR_PING) else "ping."
            raise ValueError(f"{place}{error}") from None
        listen = given.get("listen", ())
        if not listen:
            raise ValueError("listen: required: an address and port (UDP), such as 192.0.2.1:12346")
        given["listen"] = [listen] if isinstance(listen, str) else listen
        given["paces"] = _paces(mapping(given.get("paces", {}), "paces"))
        read = convert({**given, "ping": parsed_ping}, cls, durations=DURATIONS)
        _ = read.addresses
        if read.master_key_file is None and read.keys_file is None:
            raise ValueError("master_key_file: required, or keys_file: what heartbeats are signed with")
        if read.fastest > read.slowest:
            raise ValueError("fastest: is slower than slowest")
        return read


def _paces(given: Mapping[str, Any]) -> PaceSettings:
    least = timedelta(milliseconds=10)
    read = dict(given)
    for name in ("hosts", "zones", "levels"):
        if name in given:
            read[name] = {
                str(key): duration(value, f"paces.{name}.{key}", least=least)
                for key, value in mapping(given[name], f"paces.{name}").items()
            }
    return convert(read, PaceSettings, "paces.", durations={"troubled": least, "owners": least})


class Rules:
    """The rules by which hosts are judged: one for each interval and lag that agents announce."""

    def __init__(self, settings: HeartbeatSettings) -> None:
        self._settings = settings
        self._most_lag = int(settings.tolerance.total_seconds() * 1e6)
        self._made: dict[tuple[int, int], Rule] = {}

    def of(self, interval_us: int, lag_us: int) -> Rule:
        """Return the rule for an agent that announces this; the same object for the same announcement."""
        lag = min(lag_us, self._most_lag) // LAG_STEP_US
        rule = self._made.get((interval_us, lag))
        if rule is None:
            if len(self._made) > MOST_RULES:
                self._made.clear()
            late = min((lag + 1) * LAG_STEP_US, self._most_lag) / 1e6 if lag else 0.0
            rule = self._made[interval_us, lag] = self._make(interval_us / 1e6, late)
        return rule

    def _make(self, announced: float, lag: float) -> Rule:
        given = self._settings
        interval = min(max(announced, given.fastest.total_seconds()), given.slowest.total_seconds())
        slack = (
            min(max(interval / 4, SHORTEST_SLACK), LONGEST_SLACK)
            if given.slack is None
            else given.slack.total_seconds()
        )
        return Rule(
            interval=interval,
            timeout=interval + max(slack, lag),
            misses=given.misses,
            recover=given.recover,
            start_grace=given.start_grace.total_seconds(),
        )
