"""From where Doctor looks itself, and what can be seen from there.

A *vantage* is a monitor of Doctor's own that asks whether somebody is there. When it hears of nobody any more it may be
deaf. *Canaries* are what it asks beside the hosts to know: targets outside of what is monitored.
"""

import msgspec

VANTAGE = "monitor"  # the type of resource of a vantage
CANARY = "canary"
CANARY_EVENT = "monitor.canary"
SIGHT_EVENT = "monitor.sight"


class Sight(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a vantage saw while a host fell silent.

    Of the ``hosts`` and ``canaries`` that were there until then, so many have answered what they were asked meanwhile.
    Whatever else has fallen silent by now is reported within ``settles_in`` seconds, and if the vantage turns out to see,
    that too. Doctor's own monitors say this; at no door can it be said.
    """

    vantage: str
    hosts: int = 0
    hosts_heard: int = 0
    canaries: int = 0
    canaries_heard: int = 0
    settles_in: float = 0.0

    @property
    def is_clear(self) -> bool:
        """Tell whether the vantage can see for sure: a canary has answered, or half of the hosts have."""
        return self.canaries_heard > 0 or 0 < self.hosts <= 2 * self.hosts_heard
