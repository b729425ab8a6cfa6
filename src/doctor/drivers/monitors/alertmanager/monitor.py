"""Asks an Alertmanager for all alerts that it has: what its webhook has lost is found by that."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from doctor.drivers.monitors.alertmanager.payload import NAME, Alert, payload
from doctor.drivers.monitors.asking import AskingMonitor, AskSettings, Item, Line, Unanswered
from doctor.kit.options import convert

TOLD = "active"  # the state of an alert that is neither silenced nor inhibited there


class AlertmanagerSettings(AskSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom to ask; ``receiver`` is by which receiver Doctor is told: alerts of others are not for it."""

    receiver: str | None = None


def make(settings: Mapping[str, Any]) -> AskingMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    parsed = convert(settings, AlertmanagerSettings)
    query = f"?{urlencode({'receiver': parsed.receiver})}" if parsed.receiver else ""

    def fetch(line: Line) -> list[Item]:
        return _alerts(line, query)

    return AskingMonitor(NAME, payload, parsed, fetch)


def _alerts(line: Line, query: str) -> list[Item]:
    token = line.token
    headers = {"authorization": f"Bearer {token}"} if token else {}
    document = line.ask(f"/api/v2/alerts{query}", headers=headers)
    try:
        alerts = msgspec.convert(document, list[Alert])
    except msgspec.ValidationError as error:
        raise Unanswered(f"its alerts are not as they should be: {error}") from None
    # The end that is shown here is a guess of Alertmanager's, which it moves on as long as the alert fires.
    return [Item(msgspec.structs.replace(alert, endsAt=None), _is_told(alert)) for alert in alerts]


def _is_told(alert: Alert) -> bool:
    return not isinstance(alert.status, dict) or alert.status.get("state") == TOLD
