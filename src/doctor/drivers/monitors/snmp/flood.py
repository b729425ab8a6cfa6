"""How much is taken of a device whose word could be anybody's: a burst, and then so much each second."""

MOST_DEVICES = 100_000


class Brake:
    """A bucket for each device. Times come in."""

    def __init__(self, burst: int, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._levels: dict[str, tuple[float, float]] = {}  # what may come, as of when

    def lets(self, device: str, now: float) -> bool:
        """Tell whether one more is taken of this device."""
        level, since = self._levels.get(device, (float(self._burst), now))
        level = min(level + (now - since) * self._rate, self._burst)
        is_taken = level >= 1
        if device in self._levels or len(self._levels) < MOST_DEVICES:
            self._levels[device] = (level - is_taken, now)
        return is_taken
