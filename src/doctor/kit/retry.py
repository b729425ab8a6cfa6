"""The schedule of repeated attempts."""

import random
from datetime import timedelta

FIRST_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_DELAY = 60.0
GIVE_UP_AFTER = timedelta(hours=24)


def delay_before(attempt: int, *, rng: random.Random | None = None) -> float:
    """Return the seconds to wait before attempt number ``attempt`` (the first is 1 and waits 0).

    Quick at first, since most failures are a restart of the other side; then each minute with 10 % jitter.
    """
    if attempt <= 1:
        return 0.0
    if attempt - 2 < len(FIRST_DELAYS):
        return FIRST_DELAYS[attempt - 2]
    return STEADY_DELAY * (rng or random).uniform(0.9, 1.1)
