"""Asks Zabbix for the problems that are not solved: what its webhook has lost is found by that.

Only problems with the tag ``doctor_type`` are Doctor's; those are what the action of `doctor monitor setup zabbix` sends.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from doctor.drivers.monitors.asking import AskingMonitor, AskSettings, Item, Line, Unanswered
from doctor.drivers.monitors.zabbix.payload import NAME, Problem, Tag, payload
from doctor.kit.options import convert

API = "/api_jsonrpc.php"
MOST = 5_000  # problems: who has more of them is not listed by halves
BEARER_SINCE = (6, 4)  # before that version the token goes into the body
TAG = "doctor_type"


class ProblemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A problem as `problem.get` returns it."""

    eventid: str
    objectid: str
    clock: str
    name: str
    severity: str
    opdata: str = ""
    suppressed: str = "0"
    tags: list[Tag] = []


class HostOut(msgspec.Struct, frozen=True):
    """A host of a trigger."""

    host: str


class TriggerOut(msgspec.Struct, frozen=True):
    """A trigger as `trigger.get` returns it."""

    triggerid: str
    hosts: list[HostOut]


def make(settings: Mapping[str, Any]) -> AskingMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    parsed = convert(settings, AskSettings)
    if parsed.token_file is None:
        raise ValueError("token_file: required: the file with a token of Zabbix's API")
    return AskingMonitor(NAME, payload, parsed, problems)


def problems(line: Line) -> list[Item]:
    """Return the problems that are Doctor's."""
    version = _version(_call(line, "apiinfo.version", {}, None))
    token = line.token
    found = _typed(
        _call(
            line,
            "problem.get",
            {
                "output": ["eventid", "objectid", "clock", "name", "severity", "opdata", "suppressed"],
                "selectTags": "extend",
                "source": 0,
                "object": 0,
                "tags": [{"tag": TAG, "value": "", "operator": 0}],  # contains
                "limit": MOST,
            },
            token,
            version,
        ),
        list[ProblemOut],
    )
    if len(found) >= MOST:
        raise Unanswered(f"{MOST} problems and maybe more")
    triggers = _typed(
        _call(
            line,
            "trigger.get",
            {
                "output": ["triggerid"],
                "selectHosts": ["host"],
                "triggerids": sorted({one.objectid for one in found}),
            },
            token,
            version,
        ),
        list[TriggerOut],
    )
    hosts = {one.triggerid: one.hosts[0].host for one in triggers if one.hosts}
    return [
        Item(_problem(one, hosts[one.objectid]), is_told=one.suppressed != "1")
        for one in found
        if one.objectid in hosts
    ]


def _problem(found: ProblemOut, host: str) -> Problem:
    return Problem(
        event_id=found.eventid,
        value="1",
        host=host,
        name=found.name,
        time=_time(found.clock),
        nseverity=found.severity,
        tags=found.tags,
        trigger_id=found.objectid,
        opdata=found.opdata,
    )


def _time(clock: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(clock), UTC)
    except (ValueError, OverflowError, OSError):
        raise Unanswered(f"{clock[:40]!r} is no time") from None


def _call(
    line: Line, method: str, params: Mapping[str, Any], token: str | None, version: tuple[int, ...] = ()
) -> Any:
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
    headers = {"content-type": "application/json-rpc"}
    if token is not None and version >= BEARER_SINCE:
        headers["authorization"] = f"Bearer {token}"
    elif token is not None:
        request["auth"] = token
    answer = line.ask(API, request, headers=headers)
    if not isinstance(answer, dict) or "result" not in answer:
        error = answer.get("error") if isinstance(answer, dict) else None
        told = error.get("data") or error.get("message") if isinstance(error, dict) else None
        raise Unanswered(f"{method}: {str(told or 'no result')[:200]}")
    return answer["result"]


def _version(said: Any) -> tuple[int, ...]:
    numbers = str(said).split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _typed(result: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(result, kind)
    except msgspec.ValidationError as error:
        raise Unanswered(f"its answer is not as it should be: {error}") from None
