"""Wakes those who wait for the next change of something."""

import asyncio


class Watchers:
    """Who waits for what, by its key; nobody costs nothing."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def watcher(self, key: str) -> asyncio.Event:
        """Return what is set at the next change, and once; ask before looking how it is now."""
        return self._events.setdefault(key, asyncio.Event())

    def rouse(self, key: str) -> None:
        """Wake those who wait for this one."""
        event = self._events.pop(key, None)
        if event is not None:
            event.set()

    def rouse_all(self) -> None:
        """Wake everybody: anything may be otherwise."""
        for key in list(self._events):
            self.rouse(key)
