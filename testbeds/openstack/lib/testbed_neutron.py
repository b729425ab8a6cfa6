"""ML2 mechanism driver of the testbed: binds every port on every host, but those that are named in `neutron/unbindable`.

There are no agents and no data plane; a bound port is ACTIVE at once.
"""

import os
from pathlib import Path

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

UNBINDABLE = Path(os.environ["OPENSTACK_TESTBED"], "neutron", "unbindable")


class TestbedMechanismDriver(api.MechanismDriver):
    """A network that is there at once."""

    @property
    def connectivity(self):
        """Return what it connects."""
        return portbindings.CONNECTIVITY_L2

    def initialize(self):
        """Prepare nothing."""

    def bind_port(self, context):
        """Bind a port wherever it is wanted, unless it is to fail: then its server cannot be moved."""
        if UNBINDABLE.exists() and context.current["id"] in UNBINDABLE.read_text().split():
            return
        for segment in context.segments_to_bind:
            context.set_binding(
                segment[api.ID],
                portbindings.VIF_TYPE_OVS,
                {portbindings.CAP_PORT_FILTER: False},
                status=constants.PORT_STATUS_ACTIVE,
            )
            return
