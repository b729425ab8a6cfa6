"""What the agent would do and see here, without doing it: for `doctor agent check`."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from doctor.agent.beating import Listener
from doctor.agent.identity import Identity
from doctor.agent.kernel_log import DEVICE, load_rules
from doctor.agent.links import is_hardware, list_now, state_of
from doctor.agent.processes import command_of, find
from doctor.agent.raid import MDSTAT, parse
from doctor.agent.sensors import memory_errors, temperatures
from doctor.agent.service import make_beating
from doctor.agent.settings import (
    DiskSettings,
    DoctorSettings,
    GuestSettings,
    HeartbeatSettings,
    KernelLogSettings,
    LinkSettings,
    PollSettings,
    Settings,
)
from doctor.client.access import read_token
from doctor.client.errors import ApiError, ClientError
from doctor.client.http import Client
from doctor.kit.beat import MOST_BYTES, Beat, Key, Kind, Malformed, pack, read
from doctor.kit.key_file import read_key

FINE, TROUBLE, OFF = "fine", "trouble", "off"
ANSWER_WITHIN = 1.0
NO_EVENTS = 400  # what Doctor answers to who may report, and reports nothing


class Finding(NamedTuple):
    """What was found out about a part of the agent."""

    part: str
    name: str
    state: str
    detail: str


def check(settings: Settings) -> Iterator[Finding]:
    """Look at each part, one after the other."""
    yield Finding("host", settings.host, FINE, f"boot id {Identity.of(settings.host).boot.hex()}")
    yield from _doctor(settings.doctor)
    yield from _heartbeat(settings.host, settings.heartbeat)
    yield from _links(settings.links)
    parts: list[tuple[str, Any, Callable[[Any], Iterator[Finding]]]] = [
        ("kernel_log", settings.kernel_log, _kernel_log),
        ("raid", settings.raid, _raid),
        ("sensors", settings.sensors, _sensors),
        ("disks", settings.disks, _disks),
        ("guests", settings.guests, _guests),
    ]
    for part, wanted, look in parts:
        if wanted is None:
            yield Finding(part, "", OFF, "not looked at")
            continue
        try:
            yield from look(wanted)
        except (OSError, ValueError) as error:
            yield Finding(part, "", TROUBLE, str(error))
    for process in settings.processes:
        number = find(re.compile(process.pattern), process.pid_file)
        detail = "it does not run" if number is None else f"process {number}: {command_of(number)[:80]}"
        yield Finding("processes", process.name, TROUBLE if number is None else FINE, detail)


def _kernel_log(wanted: KernelLogSettings) -> Iterator[Finding]:
    rules = sum(1 for _ in load_rules(wanted.rules_file))
    os.close(os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK))
    yield Finding("kernel_log", str(DEVICE), FINE, f"read by {rules} rules")


def _raid(wanted: PollSettings) -> Iterator[Finding]:
    if not MDSTAT.exists():
        yield Finding("raid", "", OFF, "there is no software RAID here")
        return
    for array in parse(MDSTAT.read_text()):
        yield Finding(
            "raid", array.name, TROUBLE if array.trouble else FINE, array.trouble or "all disks are there"
        )


def _sensors(wanted: PollSettings) -> Iterator[Finding]:
    found = [
        *(
            Finding(
                "sensors", one.name, FINE, f"{one.celsius:g} °C" + (f" of {one.most:g}" if one.most else "")
            )
            for one in temperatures()
        ),
        *(
            Finding(
                "sensors",
                one.controller,
                FINE,
                f"memory errors: {one.corrected} corrected, {one.uncorrected} not",
            )
            for one in memory_errors()
        ),
    ]
    yield from found or [
        Finding("sensors", "", OFF, "the kernel shows no temperatures and no memory errors here")
    ]


def _disks(wanted: DiskSettings) -> Iterator[Finding]:
    from doctor.agent.disks import asked

    for device, health in asked(wanted.devices):
        trouble = "it cannot be asked" if health is None else health.failed or health.aging
        yield Finding("disks", device, TROUBLE if trouble else FINE, trouble or "it says that it is well")


def _guests(wanted: GuestSettings) -> Iterator[Finding]:
    command = shutil.which("virsh")
    if command is None:
        raise FileNotFoundError("virsh (libvirt-clients) is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - found in the path, no shell
            [command, "--connect", wanted.uri, "list", "--name"], capture_output=True, text=True, timeout=10
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{wanted.uri} does not answer") from None
    if done.returncode:
        raise ValueError(done.stderr.strip().replace("\n", " ") or f"virsh ended with {done.returncode}")
    names = [line for line in done.stdout.split("\n") if line.strip()]
    yield Finding("guests", wanted.uri, FINE, f"{len(names)} machines run")


def _doctor(doctor: DoctorSettings | None) -> Iterator[Finding]:
    if doctor is None:
        yield Finding("doctor", "", OFF, "no events are reported: doctor.url is not set")
        return
    try:
        token = read_token(doctor.token_file) if doctor.token_file else None
        with Client(doctor.url, token, timeout=doctor.timeout.total_seconds()) as client:
            client.post("/v1/events", {"events": []})
    except ApiError as error:
        is_fine = error.status == NO_EVENTS
        detail = "it answers, and takes events from this token" if is_fine else str(error)
        yield Finding("doctor", doctor.url, FINE if is_fine else TROUBLE, detail)
    except ClientError as error:
        yield Finding("doctor", doctor.url, TROUBLE, str(error))


def _heartbeat(host: str, heartbeat: HeartbeatSettings | None) -> Iterator[Finding]:
    if heartbeat is None:
        yield Finding("heartbeat", "", OFF, "no heartbeats are sent: heartbeat is not set")
        return
    identity = Identity.of(host)
    try:
        beating = make_beating(heartbeat, identity)
        key = Key(read_key(heartbeat.key_file, "heartbeat.key_file"))
    except (OSError, ValueError) as error:
        yield Finding("heartbeat", "", TROUBLE, str(error))
        return
    for listener in beating.listeners:
        name = f"{listener.network} to {listener.address[0]}:{listener.address[1]}"
        took = _challenged(listener, identity, key)
        if took is None:
            detail = "nothing came back: is Doctor there, is the host in its map, has it this key?"
            yield Finding("heartbeat", name, TROUBLE, detail)
        else:
            yield Finding(
                "heartbeat",
                name,
                FINE,
                f"Doctor knows this host and key, and answered in {1000 * took:.1f} ms",
            )
        listener.sock.close()


def _challenged(listener: Listener, identity: Identity, key: Key) -> float | None:
    """Send one heartbeat, and return how long it took until Doctor asked for proof; that much changes nothing there."""
    beat = Beat(Kind.BEAT, identity.host, listener.network, identity.boot, identity.session, 1)
    begin = time.monotonic()
    listener.sock.settimeout(ANSWER_WITHIN)
    try:
        listener.sock.sendto(pack(beat, key), listener.address)
        while time.monotonic() < begin + ANSWER_WITHIN:
            data = memoryview(listener.sock.recv(MOST_BYTES + 1))
            answer, end = read(data)
            if answer.session == identity.session and key.has_signed(data[:end], data[end:]):
                return time.monotonic() - begin
    except (OSError, Malformed):
        pass
    return None


def _links(links: LinkSettings | None) -> Iterator[Finding]:
    if links is None:
        yield Finding("links", "", OFF, "switched off")
        return
    try:
        found = list_now()
    except OSError as error:
        yield Finding("links", "", TROUBLE, str(error))
        return
    for link in found:
        if link.is_loopback:
            continue
        if not links.is_watched(link.name, is_hardware=is_hardware(link.name)):
            yield Finding("links", link.name, OFF, "not watched")
            continue
        trouble = state_of(link).trouble
        yield Finding("links", link.name, TROUBLE if trouble else FINE, trouble or "carrier")
