"""How a helping process takes orders: a line of JSON each on standard input, one line of answer each.

The end of the input ends the process, so that none outlives the bench.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Order = Callable[..., Awaitable[dict[str, Any]]]

LONGEST = 1 << 24


def tell(answer: Mapping[str, Any]) -> None:
    """Answer the bench."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def obey(orders: Mapping[str, Order]) -> None:
    """Carry out orders by their names until there are no more."""
    lines = asyncio.StreamReader(limit=LONGEST)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order = json.loads(line)
        try:
            answer = await orders[order.pop("order")](**order)
        except (OSError, RuntimeError, TimeoutError) as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        tell(answer)
