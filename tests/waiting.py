"""Wait for the world, where there is no other time than its own."""

import time
from collections.abc import Callable
from typing import Any


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    """Return what is found, as soon as that is something.

    Raises:
        AssertionError: it was nothing for so long.
    """
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found
