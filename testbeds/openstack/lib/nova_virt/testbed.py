"""The hypervisor driver of the testbed: Nova's own fake driver, made steadier.

- The guests of a host are in a file, `guests` in its `instances_path`: after a restart of nova-compute, or a power loss,
  they are still there, as with a hypervisor, whatever has become of them elsewhere. The fake driver forgets them.
- A live migration takes TB_LIVE_MIGRATION_SECONDS (0.5) and can be aborted or forced to an end meanwhile.
- A host has the size of a common server instead of an endless one.
"""

import json
import os
import time
from pathlib import Path

import nova.conf
from nova import context, objects
from nova.compute import power_state
from nova.virt import fake

MIGRATION_SECONDS = float(os.environ.get("TB_LIVE_MIGRATION_SECONDS", "0.5"))


class Guests(dict):
    """The guests of a host by their uuids. Each change of the list is on disk before anything else happens."""

    def __init__(self, file, host):
        """Take back those of before; a host that has no such file yet has those that Nova knows of."""
        self._file = file
        if file.exists():
            found = [(uuid, *guest) for uuid, guest in json.loads(file.read_text()).items()]
        else:
            records = objects.InstanceList.get_by_host(context.get_admin_context(), host)
            found = [
                (one.uuid, one.name, one.power_state or power_state.RUNNING)
                for one in records
                if one.launched_at
            ]
        super().__init__({uuid: fake.FakeInstance(name, state, uuid) for uuid, name, state in found})
        self.save()

    def __setitem__(self, uuid, guest):
        """Define a guest."""
        super().__setitem__(uuid, guest)
        self.save()

    def __delitem__(self, uuid):
        """Take one away."""
        super().__delitem__(uuid)
        self.save()

    def save(self):
        """Write down which there are, and in which state."""
        new = self._file.with_name("guests.new")
        new.write_text(json.dumps({uuid: (guest.name, guest.state) for uuid, guest in self.items()}))
        new.rename(self._file)


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
        """Find the guests that are there."""
        super().init_host(host)
        self.instances = Guests(Path(nova.conf.CONF.instances_path, "guests"), host)

    def power_on(self, *args, **kwargs):
        """Remember that it runs."""
        super().power_on(*args, **kwargs)
        self.instances.save()

    def power_off(self, *args, **kwargs):
        """Remember that it does not run."""
        super().power_off(*args, **kwargs)
        self.instances.save()

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
