"""What knows the infrastructure and holds its states: a cloud's own services, or Doctor's embedded controller."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from doctor.model.instruction import Command, Progress
from doctor.model.map_news import MapNews
from doctor.model.marking import Mark, Standing
from doctor.model.resource_map import ResourceMap

Tell = Callable[[MapNews], Awaitable[None]]


class Controller(Protocol):
    """The source of the resource map, and the keeper of the states that users of a cloud read [D 5.1.3].

    The map itself is in memory: a look-up at fault time never leaves the process. All verbs but `watch` have an end
    of their own: what takes too long is a `TransientError`.
    """

    name: str

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell what there is, then what changes, until cancelled; bad days of the cloud are told and outlived.

        ``known`` is the map that Doctor still has from before. What a resource stands on is told no later than the
        resource. It is told one piece after the other: the next when the one before has been taken in.
        """
        ...

    async def read(self, mark: Mark) -> Standing:
        """Return what is true now of the side of a resource that a mark is about.

        Raises:
            RejectedError: there is no such resource (any more).
            TransientError: it cannot be said for now.
        """
        ...

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it. The same twice is the same as once.

        Raises:
            RejectedError: there is no such resource (NOT_FOUND), or it cannot be set as it is now (CONFLICT).
            TransientError: it may have been set or not; try again.
            PermanentError: Doctor may not.
        """
        ...

    async def look(self, command: Command) -> Progress:
        """Return what has become of a command since what ``command.since`` names; None: nothing of it is asked for yet.

        A machine that is gone is a command to terminate that has succeeded.

        Raises:
            RejectedError: there is no such machine (any more).
            TransientError: it cannot be said for now.
        """
        ...

    async def tell(self, command: Command) -> None:
        """Give a command; it returns when that is taken, and `look` says the rest. One that has halted goes on to its end.

        Whoever evacuates has made sure that the host is off: here only what the cloud itself asks for is looked at.

        Raises:
            RejectedError: there is no such machine (NOT_FOUND), it cannot be done as things are now (CONFLICT), or not at
                all.
            TransientError: it may have been taken or not: `look`.
            PermanentError: Doctor may not.
        """
        ...

    async def leaving(self, host: str) -> Sequence[str]:
        """Return, in words, which machines are on their way from a host that has failed, whoever has asked for it.

        Until they have arrived the host must stay off: they would run twice.

        Raises:
            TransientError: it cannot be said for now.
            PermanentError: Doctor may not.
        """
        ...

    async def close(self) -> None:
        """Let go of threads and connections."""
        ...
