"""OpenStack as a controller: Nova, Neutron and Cinder of one region, over their APIs and the message bus."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from doctor.drivers.controllers.openstack.settings import parse

if TYPE_CHECKING:
    from doctor.drivers.controllers.openstack.controller import OpenStackController

NEEDED = ("aio_pika", "keystoneauth1", "openstack")


def make(settings: dict[str, Any]) -> "OpenStackController":
    """Make the controller from its part of the settings.

    Raises:
        ValueError: with the path of what is wrong, or with what is not installed.
    """
    read = parse(settings)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} is not installed: pip install 'doctor-nfvi[openstack]'")
    from doctor.drivers.controllers.openstack.controller import OpenStackController

    return OpenStackController(read)
