"""Masakari's door (service type ``instance-ha``): its monitors of hosts, processes and machines work unchanged.

They post notifications, which are read by the payload ``masakari``. They try again whatever is not answered 202, 400 or 409,
so a notification that was known is answered as it was the first time.
"""

import json
from datetime import datetime
from typing import Any

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.payloads import AnyPayload, PayloadsDoor
from doctor.api.roles import REPORTERS
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_id

TAG = "Masakari"
BASE = "/instance-ha"
KIND = "masakari"
OLDEST, NEWEST = "1.0", "1.2"  # microversions: of notifications they differ in nothing
SINCE = "2018-07-31T00:00:00Z"
_NOTIFICATION = {
    "notification": {
        "type": "PROCESS",
        "hostname": "compute-1",
        "generated_time": "2026-11-22T05:06:07.000000",
        "payload": {"process_name": "nova-compute", "event": "STOPPED"},
    }
}


class Link(msgspec.Struct, frozen=True):
    """Where a version is: relative to where it was asked."""

    rel: str
    href: str


class ApiVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of Masakari's API."""

    id: str = "v1.0"
    status: str = "CURRENT"
    version: str = NEWEST
    min_version: str = OLDEST
    updated: str = SINCE
    links: tuple[Link, ...] = (Link("self", f"{BASE}/v1/"),)


class ApiVersions(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    versions: tuple[ApiVersion, ...] = (ApiVersion(),)


class OneVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One of them."""

    version: ApiVersion = ApiVersion()


class NotificationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that is durable."""

    notification_uuid: str
    source_host_uuid: str
    type: str
    status: str = "new"
    generated_time: str
    payload: dict[str, Any]
    created_at: datetime
    updated_at: datetime | None = None


class NotificationMade(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor is answered."""

    notification: NotificationOut


class MasakariDoor:
    """The operations of Masakari that its monitors use."""

    def __init__(self, payloads: PayloadsDoor, clock: Clock) -> None:
        self._payloads = payloads
        self._clock = clock

    @operation("GET", BASE, tag=TAG, roles=None, lenient=True)
    async def list_masakari_versions(self, call: Call[None, None]) -> Answer[ApiVersions]:
        """List the versions of Masakari's API: the one."""
        return Answer(ApiVersions())

    @operation("GET", f"{BASE}/", tag=TAG, roles=None, lenient=True)
    async def list_masakari_versions_below(self, call: Call[None, None]) -> Answer[ApiVersions]:
        """List the versions of Masakari's API, with a slash behind the address."""
        return Answer(ApiVersions())

    @operation("GET", f"{BASE}/v1", tag=TAG, roles=None, lenient=True)
    async def get_masakari_version(self, call: Call[None, None]) -> Answer[OneVersion]:
        """Show the version of Masakari's API."""
        return Answer(OneVersion())

    @operation("GET", f"{BASE}/v1/", tag=TAG, roles=None, lenient=True)
    async def get_masakari_version_below(self, call: Call[None, None]) -> Answer[OneVersion]:
        """Show the version of Masakari's API, with a slash behind the address."""
        return Answer(OneVersion())

    @operation(
        "POST",
        f"{BASE}/v1/notifications",
        tag=TAG,
        roles=REPORTERS,
        lenient=True,
        example=_NOTIFICATION,
        answers={202: "It is durable. One that was known is answered alike."},
    )
    async def create_masakari_notification(self, call: Call[AnyPayload, None]) -> Answer[NotificationMade]:
        """Report a host, a process or a machine, as masakari-monitors do."""
        name, now = call.identity.name, self._clock.now()
        _, taken = await self._payloads.take(KIND, name, now, call.raw)
        said = json.loads(call.raw, strict=False)["notification"]
        made = NotificationOut(
            notification_uuid=taken[0].event_id,
            source_host_uuid=stable_id("masakari host", said["hostname"]),
            type=said["type"],
            generated_time=said["generated_time"],
            payload=said["payload"],
            created_at=now,
        )
        headers = {"OpenStack-API-Version": f"instance-ha {NEWEST}", "Vary": "OpenStack-API-Version"}
        return Answer(NotificationMade(notification=made), 202, headers)
