"""The limits within which Doctor may cut hosts off, with their defaults. A small site sets its own, openly."""

from datetime import timedelta

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must hold before and while a host is cut off.

    - ``vantages``: so many independent classes have to say that the host is dead.
    - ``sees``: a witness counts as long as it sees more than this share of its other hosts.
    - ``heartbeat``: how often a living host gives a sign; without one for two of them it counts as silent.
    - ``attempt``, ``confirm``: how long a level has to switch, and to be confirmed.
    - ``patience``: a suspicion that is not resolved by then is put before a person.
    - ``zone_share``, ``zone_within``: at most this share of a zone's hosts (one at least) is cut off in this time.
    - ``site_every``, ``site_burst``, ``at_once``: one is begun so often, so many in a row at most, so many at a time.
    - ``storm_hosts``, ``storm_share``, ``storm_within``, ``storm_calm``: so many hosts of one failure domain, or this
      share, silent within this time are a storm; it is over when nothing has happened for the last.
    - ``floor``: this share of a zone's hosts must be well.
    - ``capacity``: the machines of the host must fit elsewhere.
    - ``start_up``: nothing is cut off for so long after a start.
    - ``probation``, ``in_probation``, ``in_a_day``: how often one host may be cut off.
    - ``map_age``: a resource map of a cloud must have been put right within this time.
    - ``identity``: each device must know which machine is behind it.
    - ``second_person``: the word of one person that a host is off needs that of another.
    """

    vantages: int = 2
    sees: float = 0.5
    heartbeat: timedelta = timedelta(seconds=1)
    attempt: timedelta = timedelta(seconds=5)
    confirm: timedelta = timedelta(seconds=10)
    patience: timedelta = timedelta(seconds=60)
    zone_share: float = 0.1
    zone_within: timedelta = timedelta(minutes=10)
    site_every: timedelta = timedelta(seconds=10)
    site_burst: int = 2
    at_once: int = 3
    storm_hosts: int = 2
    storm_share: float = 0.1
    storm_within: timedelta = timedelta(seconds=10)
    storm_calm: timedelta = timedelta(seconds=60)
    floor: float = 0.51
    capacity: bool = True
    start_up: timedelta = timedelta(seconds=60)
    probation: timedelta = timedelta(minutes=15)
    in_probation: int = 2
    in_a_day: int = 3
    map_age: timedelta = timedelta(seconds=60)
    identity: bool = True
    second_person: bool = True

    @property
    def quiet(self) -> timedelta:
        """Return for how long a host has to be silent after it reads off."""
        return 2 * self.heartbeat

    @property
    def longest_command(self) -> timedelta:
        """Return after which time no command that was begun before can still be on its way."""
        return self.attempt + self.confirm
