"""All that the agent looks at on its host, as the settings say; what is not there is left alone, and said once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from doctor.agent.conditions import Conditions
from doctor.agent.identity import Identity
from doctor.agent.kernel_log import Bookmark, KernelLog, load_rules
from doctor.agent.links import LinkBook, Links, is_hardware
from doctor.agent.log import log
from doctor.agent.polling import poll
from doctor.agent.raid import MDSTAT, Raid
from doctor.agent.report import Report, Reporter
from doctor.agent.sensors import Sensors
from doctor.agent.settings import Settings
from doctor.agent.states import States

BOOKMARK = "kernel-log.json"
KEEP_EVERY = 10.0  # seconds: how far the kernel's log was read

Say = Callable[[Report], None]


class Sources:
    """The sources of one agent. Each has states of its own, for they run in threads of their own."""

    def __init__(self, settings: Settings, identity: Identity, say: Say) -> None:
        self._settings = settings
        self._identity = identity
        self._reporter = Reporter(settings.host)
        self._say = say
        self._conditions: list[Callable[[], Mapping[str, float]]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop."""
        with ExitStack() as open_ones:
            open_ones.enter_context(self._links())
            kernel_log = open_ones.enter_context(self._kernel_log())
            tasks = [asyncio.create_task(coroutine) for coroutine in self._polls(kernel_log)]
            try:
                await stop.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _states(self) -> States:
        return States(self._reporter, self._say)

    @contextmanager
    def _links(self) -> Iterator[None]:
        links = None
        if self._settings.links is not None:
            try:
                links = Links(LinkBook(self._reporter, self._settings.links, is_hardware), self._say)
                links.start()
            except OSError as error:
                log.warning("links.not_watched", error=str(error))
        try:
            yield
        finally:
            if links is not None:
                links.close()

    @contextmanager
    def _kernel_log(self) -> Iterator[KernelLog | None]:
        kernel_log = None
        if self._settings.kernel_log is not None:
            bookmark = Bookmark(self._settings.state / BOOKMARK, self._identity.boot)
            rules = load_rules(self._settings.kernel_log.rules_file)
            try:
                kernel_log = KernelLog(self._reporter, self._say, rules, bookmark)
                kernel_log.start()
            except OSError as error:
                log.warning("kernel_log.not_watched", error=str(error))
        try:
            yield kernel_log
        finally:
            if kernel_log is not None:
                kernel_log.close()

    def _polls(self, kernel_log: KernelLog | None) -> Iterator[Coroutine[None, None, None]]:
        settings = self._settings
        if kernel_log is not None:
            yield poll("kernel_log", KEEP_EVERY, kernel_log.keep)
        if settings.raid is not None and MDSTAT.exists():
            yield poll("raid", settings.raid.every.total_seconds(), Raid(self._states()).look)
        if settings.sensors is not None:
            sensors = Sensors(self._states())
            self._conditions.append(lambda: sensors.conditions)
            yield poll("sensors", settings.sensors.every.total_seconds(), sensors.look)
        if settings.disks is not None:
            from doctor.agent.disks import Disks

            disks = Disks(self._states(), settings.disks.devices)
            self._conditions.append(lambda: disks.conditions)
            yield poll("disks", settings.disks.every.total_seconds(), disks.look)
        for process in settings.processes:
            from doctor.agent.processes import Watched

            yield Watched(process, self._states()).run()
        if settings.guests is not None:
            from doctor.agent.guests import Guests

            yield Guests(settings.guests, self._states()).run()
        if settings.conditions is not None:
            conditions = Conditions(self._reporter, self._say, self._conditions)
            yield poll("conditions", settings.conditions.every.total_seconds(), conditions.look)
