"""What the agent reports: an event as Doctor takes it at `/v1/events`."""

from datetime import UTC, datetime
from typing import Any

import msgspec

DOWN, UP = "down", "up"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An event, with the time of this host's clock. What has the same ``key`` is about the same thing: the latest counts."""

    time: datetime
    type: str
    details: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what it is about."""
        details = self.details
        about = details.get("resource_id") or details.get("hostname") or ""
        return (self.type, str(about), str(details.get("monitor_event_id", "")))


class Reporter:
    """Makes the reports of one host."""

    def __init__(self, host: str) -> None:
        self.host = host

    def report(
        self,
        kind: str,
        status: str,
        cause: str,
        *,
        part: str = "",
        resource_type: str | None = None,
        resource_id: str | None = None,
        **details: object,
    ) -> Report:
        """Return a report on the host, or on a part of it, which has an id of its own."""
        about: dict[str, Any] = {"hostname": self.host}
        if part:
            about["resource_id"] = resource_id or part_id(self.host, part)
        if resource_type is not None:
            about["resource_type"] = resource_type
        return Report(
            time=datetime.now(UTC),
            type=kind,
            details={
                **about,
                "status": status,
                "cause": cause[:1000],
                "source": f"agent@{self.host}",
                "monitor_event_id": f"{self.host} {part}".rstrip(),
                **details,
            },
        )


def part_id(host: str, part: str) -> str:
    """Return the id of a part of a host, where the settings name no other: what the map should call it, if it has it."""
    return f"{host}:{part}"
