"""Where the name of a driver becomes a driver: the entry points of Doctor and of other people's packages.

An entry point names a factory: it gets the driver's own part of the settings as plain data and returns the driver, or
raises ValueError with the path of what is wrong.
"""

from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from doctor.model.errors import Flaw, RejectedError
from doctor.ports.payload import Payload

MONITORS = "doctor.monitors"
CONTROLLERS = "doctor.controllers"
CHANNELS = "doctor.channels"
FENCES = "doctor.fences"
MAINTENANCE_ACTIONS = "doctor.maintenance_actions"
PAYLOADS = "doctor.payloads"  # no factories: a payload has no settings


def make(group: str, settings: dict[str, Any], *, path: str) -> Any:
    """Make the driver that ``settings["driver"]`` names, with the rest of the settings.

    Raises:
        RejectedError: no such driver, or its settings are wrong; ``path`` is where they stand.
    """
    name = settings["driver"]
    known = {point.name: point for point in entry_points(group=group)}
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(known))}"
        raise RejectedError(
            "the settings are wrong", flaws=[Flaw(f"{path}.driver", f"no driver {name!r}: {hint}")]
        )
    factory: Callable[[dict[str, Any]], Any] = known[name].load()
    try:
        return factory({key: value for key, value in settings.items() if key != "driver"})
    except ValueError as error:
        raise RejectedError("the settings are wrong", flaws=[Flaw(path, str(error))]) from None


def payloads() -> dict[str, Payload]:
    """Return how the payloads of sources that push are read, by the name of the source."""
    return {point.name: point.load() for point in entry_points(group=PAYLOADS)}
