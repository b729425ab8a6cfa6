"""The settings of the controller for OpenStack, as they stand in the file of settings."""

from pathlib import Path
from typing import Annotated, Any

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class NotificationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the cloud says what changes.

    ``url_file`` holds the address of the message bus, ``amqp://user:password@host:port/``. The exchanges and topics
    are those that the services have in ``control_exchange`` and ``oslo_messaging_notifications.topics``.
    """

    url_file: Path
    nova_exchange: str = "nova"
    nova_topic: str = "versioned_notifications"
    neutron_exchange: str = "neutron"
    neutron_topic: str = "notifications"


class OpenStackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One region of one cloud.

    ``cloud`` is its name in clouds.yaml (``clouds_file``, else where every OpenStack tool looks), ``name`` what Doctor
    calls it, the same unless said otherwise. ``host_prefix`` is put before the names of hosts where several clouds
    have hosts of the same name. Without ``notifications`` changes are seen at each reconciliation only.
    """

    cloud: str
    name: Name | None = None
    region: str | None = None
    interface: str | None = None
    clouds_file: Path | None = None
    host_prefix: Annotated[str, msgspec.Meta(max_length=64)] = ""
    notifications: NotificationSettings | None = None
    reconcile_every: Seconds = 300
    services_every: Seconds = 10
    timeout: Seconds = 20
    readers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 2
    writers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 6
    page: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 250


def parse(settings: dict[str, Any]) -> OpenStackSettings:
    """Read the settings.

    Raises:
        ValueError: with the path of what is wrong.
    """
    try:
        return msgspec.convert(settings, OpenStackSettings, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        path = where.rstrip("`").lstrip(".")
        raise ValueError(f"{path}: {text}" if path else text) from None
