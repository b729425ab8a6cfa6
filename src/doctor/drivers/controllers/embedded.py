"""The controller that needs no cloud: its map is what the operator loads, its states are what was set last."""

import asyncio
from typing import Any

from doctor.model.errors import Reason, RejectedError
from doctor.model.marking import HEALTHY, Mark, Standing
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Tell


class EmbeddedController:
    """Knows of no change by itself, and remembers states."""

    name = "embedded"

    def __init__(self) -> None:
        self._map = ResourceMap()
        self._standings: dict[Mark, Standing] = {}

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell nothing: the map is what was loaded."""
        self._map = known
        await asyncio.Event().wait()

    async def read(self, mark: Mark) -> Standing:
        """Return what was set last."""
        if self._map.get(mark.resource_id) is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        return self._standings.get(mark) or Standing(HEALTHY[mark.kind])

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Remember it."""
        await self.read(mark)
        self._standings[mark] = standing

    async def close(self) -> None:
        """Do nothing."""


def make(settings: dict[str, Any]) -> EmbeddedController:
    """Make the controller from its part of the settings.

    Raises:
        ValueError: there are settings; it has none.
    """
    if settings:
        raise ValueError(f"unknown setting {next(iter(settings))!r}: the embedded controller has none")
    return EmbeddedController()
