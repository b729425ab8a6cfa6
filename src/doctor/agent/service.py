"""The running agent: what starts in which order, and how it ends."""

import asyncio
import signal
from collections.abc import Callable

from doctor.agent.beating import Beating
from doctor.agent.identity import Identity
from doctor.agent.log import log
from doctor.agent.pace import Pace
from doctor.agent.report import Report
from doctor.agent.settings import DoctorSettings, HeartbeatSettings, Settings
from doctor.agent.sources import Sources
from doctor.kit.beat import Key
from doctor.kit.key_file import read_key

SPOOL = "events.jsonl"

Say = Callable[[Report], None]


class Unusable(Exception):
    """The agent cannot run here by these settings; the text says why."""


def run(settings: Settings) -> None:
    """Run until told to stop.

    Raises:
        Unusable: an address is not ours, a file is missing, the state folder cannot be made.
    """
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    identity = Identity.of(settings.host)
    try:
        beating = make_beating(settings.heartbeat, identity) if settings.heartbeat else None
        say, end = _sending(settings, settings.doctor) if settings.doctor else (_unheard, _nothing)
    except (OSError, ValueError) as error:
        raise Unusable(str(error)) from error
    if beating is not None:
        beating.start()
    sources = Sources(settings, identity, say) if settings.doctor else None
    log.info("agent.started", host=settings.host, boot_id=identity.boot.hex())
    try:
        if sources is None:
            await stop.wait()
        else:
            await sources.run(stop)
    finally:
        if beating is not None:
            await beating.stop()
        await asyncio.to_thread(end)
        log.info("agent.stopped")


def make_beating(settings: HeartbeatSettings, identity: Identity) -> Beating:
    """Make what sends the heartbeats.

    Raises:
        ValueError: the key cannot be read.
        OSError: an address or a device is not ours.
    """
    key = Key(read_key(settings.key_file, "heartbeat.key_file"))
    pace = Pace(settings.interval.total_seconds(), settings.fastest.total_seconds())
    return Beating(identity, key, settings.networks, pace)


def _sending(settings: Settings, doctor: DoctorSettings) -> tuple[Say, Callable[[], None]]:
    from doctor.agent.sending import Sending
    from doctor.client.access import read_token
    from doctor.client.errors import Misconfigured
    from doctor.client.http import Client

    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        token = read_token(doctor.token_file) if doctor.token_file else None
        client = Client(doctor.url, token, timeout=doctor.timeout.total_seconds())
    except Misconfigured as error:
        raise ValueError(f"doctor: {error}") from error
    sending = Sending(settings.host, client, settings.state / SPOOL, doctor.keep)
    sending.start()
    return sending.say, sending.stop


def _unheard(report: Report) -> None:
    log.repeat("events.nobody_to_tell", type=report.type)


def _nothing() -> None:
    pass
