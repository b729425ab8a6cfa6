"""A cloud in memory: a map that changes, states that can be set, and as many bad days as a test wants."""

import asyncio
from collections import defaultdict

from doctor.model.errors import DoctorError, Reason, RejectedError
from doctor.model.map_news import MapDelta, MapNews, MapStatus, Phase
from doctor.model.marking import HEALTHY, Mark, Standing
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Tell


class FakeCloud:
    """A controller whose cloud is this object. ``log`` has what was asked of it, in order."""

    def __init__(self, name: str = "cloud", content: MapDelta | None = None) -> None:
        self.name = name
        self.standings: dict[Mark, Standing] = {}
        self.log: list[tuple[str, Mark]] = []
        self.delay = 0.0
        self.failure: DoctorError | None = None
        self.fails_after_writing = False
        self._map = ResourceMap()
        self._news: asyncio.Queue[MapNews] = asyncio.Queue()
        self._failures: defaultdict[Mark, list[DoctorError]] = defaultdict(list)
        if content is not None:
            self.say(content)
            self.say(MapStatus(phase=Phase.CURRENT, listening=True))

    def say(self, news: MapNews) -> None:
        """Let the cloud change, or say something of itself."""
        if isinstance(news, MapDelta):
            self._map.apply(news)
        self._news.put_nowait(news)

    def fail(self, mark: Mark, *errors: DoctorError) -> None:
        """Let what is asked of this mark fail, each time with the next of the errors."""
        self._failures[mark] += errors

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell what was said."""
        while True:
            await tell(await self._news.get())

    async def read(self, mark: Mark) -> Standing:
        """Return how it is."""
        await self._meet("read", mark)
        if self._map.get(mark.resource_id) is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        return self.standings.get(mark) or Standing(HEALTHY[mark.kind])

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it."""
        if self.fails_after_writing:
            self.standings[mark] = standing
        await self._meet("write", mark)
        if self._map.get(mark.resource_id) is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        self.standings[mark] = standing

    async def close(self) -> None:
        """Do nothing."""

    async def _meet(self, verb: str, mark: Mark) -> None:
        self.log.append((verb, mark))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self._failures[mark]:
            raise self._failures[mark].pop(0)
        if self.failure is not None:
            raise self.failure
