"""The hypervisor driver of the testbed: Nova's own fake driver, made steadier.

- After a restart of nova-compute its guests are still there, as with a hypervisor; the fake driver forgets them.
- A live migration takes TB_LIVE_MIGRATION_SECONDS (0.5) and can be aborted or forced to an end meanwhile.
- A host has the size of a common server instead of an endless one.
"""

import os
import time

from nova import context, objects
from nova.compute import power_state, vm_states
from nova.virt import fake

MIGRATION_SECONDS = float(os.environ.get("TB_LIVE_MIGRATION_SECONDS", "0.5"))


class TestbedDriver(fake.FakeLiveMigrateDriver):
    """A host without a hypervisor."""

    vcpus = int(os.environ.get("TB_HOST_VCPUS", "64"))
    memory_mb = int(os.environ.get("TB_HOST_MEMORY_MB", "262144"))
    local_gb = int(os.environ.get("TB_HOST_DISK_GB", "4000"))

    started = time.time()

    def get_host_uptime(self):
        """Return what uptime(1) prints; the fake driver raises."""
        minutes = int(time.time() - self.started) // 60
        days, hours = divmod(minutes // 60, 24)
        clock = time.strftime("%H:%M:%S")
        return f"{clock} up {days} days, {hours}:{minutes % 60:02d}, 0 users, load average: 0.00, 0.00, 0.00"

    def init_host(self, host):
        """Take the guests back, from Nova's records."""
        super().init_host(host)
        for guest in objects.InstanceList.get_by_host(context.get_admin_context(), host):
            if guest.deleted or guest.vm_state == vm_states.BUILDING:
                continue
            state = guest.power_state
            if state is None or guest.vm_state == vm_states.ERROR:
                state = power_state.RUNNING
            self.instances[guest.uuid] = fake.FakeInstance(guest.name, state, guest.uuid)

    def live_migration(
        self,
        context,
        instance,
        dest,
        post_method,
        recover_method,
        block_migration=False,
        migrate_data=None,
    ):
        """Take a while, then be done."""
        self._abort_migration = False
        self._migrating = True
        end = time.monotonic() + MIGRATION_SECONDS
        while self._migrating and time.monotonic() < end:
            time.sleep(0.05)
        if self._abort_migration:
            recover_method(context, instance, dest, migrate_data, migration_status="cancelled")
        else:
            post_method(context, instance, dest, block_migration, migrate_data)
