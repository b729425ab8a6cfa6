"""Looking again and again, in a thread, so that a disk that hangs delays no heartbeat."""

import asyncio
import time
from collections.abc import Callable

from doctor.agent.log import log


async def poll(name: str, every: float, look: Callable[[], None]) -> None:
    """Look each ``every`` seconds until cancelled. What goes wrong is logged once in a while, and tried again."""
    while True:
        begin = time.monotonic()
        try:
            await asyncio.to_thread(look)
        except Exception as error:  # one source that does not work here must not end the others
            log.repeat(f"{name}.not_seen", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(max(every - (time.monotonic() - begin), every / 10))
