"""What keeps the resource map: a cloud's own services, or Doctor's embedded one."""

from typing import Protocol

from doctor.model.resource_map import ResourceMap


class Controller(Protocol):
    """The source of the resource map [D 5.1.3].

    The map itself is in memory: a look-up at fault time never leaves the process.
    """

    name: str

    @property
    def resource_map(self) -> ResourceMap:
        """Return the map as it is known now."""
        ...

    def replace(self, resource_map: ResourceMap) -> None:
        """Take over a new map whole.

        Raises:
            RejectedError: the map is the cloud's and is not edited here.
        """
        ...
