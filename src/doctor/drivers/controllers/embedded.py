"""The controller that needs no cloud: its map is what the operator loads."""

from typing import Any

from doctor.model.resource_map import ResourceMap


class EmbeddedController:
    """Keeps a resource map that is replaced as a whole."""

    name = "embedded"

    def __init__(self, resource_map: ResourceMap | None = None) -> None:
        self._map = resource_map or ResourceMap()

    @property
    def resource_map(self) -> ResourceMap:
        """Return the map that was loaded last; an empty one at first."""
        return self._map

    def replace(self, resource_map: ResourceMap) -> None:
        """Take over a new map whole."""
        self._map = resource_map


def make(settings: dict[str, Any]) -> EmbeddedController:
    """Make the controller from its part of the settings.

    Raises:
        ValueError: there are settings; it has none.
    """
    if settings:
        raise ValueError(f"unknown setting {next(iter(settings))!r}: the embedded controller has none")
    return EmbeddedController()
