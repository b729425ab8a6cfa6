"""What the agent would do and see here, without doing it: for `doctor agent check`."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from doctor.agent.beating import Listener
from doctor.agent.identity import Identity
from doctor.agent.links import is_hardware, list_now, state_of
from doctor.agent.service import make_beating
from doctor.agent.settings import DoctorSettings, HeartbeatSettings, LinkSettings, Settings
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
