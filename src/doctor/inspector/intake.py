"""Drops what was already said.

In comes the id of an event, made from its content; out goes whether it is news. What it is not: a judge of
repeats. A new time on an open fault is a new event, and the alarm's life decides that nobody is told again.
"""

DEFAULT_MEMORY = 200_000


class Intake:
    """The memory of the newest event ids: two generations, so that forgetting costs nothing.

    Remembers at least the last ``memory`` ids that were seen and at most twice as many. What is said again and again
    is remembered for as long as that goes on.
    """

    def __init__(self, *, memory: int = DEFAULT_MEMORY) -> None:
        self._memory = memory
        self._young: set[str] = set()
        self._old: set[str] = set()

    def is_news(self, event_id: str) -> bool:
        """Tell whether the event was not seen before, and remember it."""
        if event_id in self._young:
            return False
        news = event_id not in self._old
        if len(self._young) >= self._memory:
            self._old = self._young
            self._young = set()
        self._young.add(event_id)
        return news
