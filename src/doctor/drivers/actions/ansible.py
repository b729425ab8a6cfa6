"""A playbook of the operator's, run by his `ansible-playbook` and held to the one host that is worked on.

Exit status 0 is not enough: Ansible is content when no host matches. It was done if the recap names the host, and no
other.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from doctor.drivers.actions import process
from doctor.kit import program
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.model.maintenance_action import MOST_DETAIL, Done, Job, NotDone, RunOutcome

PROGRAM = "ansible-playbook"
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # else it is a pattern to Ansible, and may mean many
GROUPS = frozenset(("all", "ungrouped"))
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
FATAL = re.compile(r"^(?:fatal|ERROR|\[ERROR\]).*", re.MULTILINE)


class AnsibleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a playbook.

    - ``playbook_file``, ``inventory_file``: by their paths; the inventory calls hosts as the resource map does.
    - ``private_key_file``, ``vault_password_file``: for whoever logs in with a key, or has sealed variables.
    - ``variables``: more of them for the playbook. It finds the facts of the run in the variable `doctor`.
    - ``program``: where `ansible-playbook` is, if it is not on the path.
    """

    playbook_file: Path
    inventory_file: Path
    private_key_file: Path | None = None
    vault_password_file: Path | None = None
    variables: dict[str, Any] = {}
    program: str = PROGRAM


class AnsibleAction:
    """Runs the playbook (implements `doctor.ports.action.MaintenanceAction`)."""

    kind = "ansible"

    def __init__(self, settings: AnsibleSettings) -> None:
        self._settings = settings
        self._closed = False

    async def run(self, job: Job, deadline: Deadline) -> RunOutcome:
        """Run it to its end."""
        if self._closed:
            return NotDone("Doctor is being stopped")
        found = program.find(self._settings.program)
        if found is None:
            return NotDone(f"{self._settings.program}: there is no such program here")
        if job.host is not None and (not HOST.fullmatch(job.host) or job.host in GROUPS):
            return NotDone(f"{job.host} is no name of one host to Ansible, but a pattern")
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="doctor-ansible-"))
        try:
            return await self._play(job, found, folder, deadline)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # small, and there even if this was cancelled

    async def _play(self, job: Job, found: str, folder: Path, deadline: Deadline) -> RunOutcome:
        settings = self._settings
        facts = folder / "facts.json"  # arguments could be read by every user of this machine
        facts.write_bytes(msgspec.json.encode({**settings.variables, "doctor": job.facts}))
        arguments = [found, "--inventory", str(settings.inventory_file), "--extra-vars", f"@{facts}"]
        if settings.private_key_file is not None:
            arguments += ["--private-key", str(settings.private_key_file)]
        if settings.vault_password_file is not None:
            arguments += ["--vault-password-file", str(settings.vault_password_file)]
        if job.host is not None:
            arguments += ["--limit", job.host]
        environment = {
            "ANSIBLE_HOME": str(folder),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "DOCTOR_HOST": job.host or "",
        }
        finished = await process.run(job, [*arguments, str(settings.playbook_file)], deadline, environment)
        return finished if isinstance(finished, NotDone) else judged(finished, job.host)

    async def close(self) -> None:
        """Start it no more."""
        self._closed = True


def judged(finished: program.Finished, host: str | None) -> RunOutcome:
    """Say what came of a playbook by what was said of it; ``host`` is the one that it was for, None: all."""
    recap = {one[1]: one for one in RECAP.finditer(finished.output)}
    summary = "; ".join(f"{name}: {one[2]} ok, {one[3]} changed" for name, one in recap.items())
    if finished.code != 0:
        fatal = FATAL.findall(finished.output) or FATAL.findall(finished.errors)
        said = process.last_words("\n".join(fatal), finished.errors, finished.output)
        return NotDone(f"the playbook ended with {finished.code}: {said}")
    if not recap or (host is not None and host not in recap):
        return NotDone(
            f"the playbook was done on no host: the inventory and the playbook have to name {host or 'some'}"
        )
    if host is not None and len(recap) > 1:
        return NotDone(
            f"the playbook was done on other hosts, too: {', '.join(sorted(recap.keys() - {host}))}"
        )
    return Done(summary[:MOST_DETAIL])


def make(settings: Mapping[str, Any]) -> AnsibleAction:
    """Make the action from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, AnsibleSettings)
    for name in ("playbook_file", "inventory_file", "private_key_file", "vault_password_file"):
        path: Path | None = getattr(read, name)
        if path is not None and not path.exists():
            raise ValueError(f"{name}: {path}: there is no such file")
    if "doctor" in read.variables:
        raise ValueError("variables.doctor: has the facts of the run; call yours otherwise")
    if "/" in read.program and not Path(read.program).is_absolute():
        raise ValueError("program: name a program of the path, or write its whole path")
    return AnsibleAction(read)
