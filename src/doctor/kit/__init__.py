"""Small tools that know nothing of faults: clocks, ids, times, retry schedules."""
