"""Whether what was said of a host is evidence: who says so, from where, and whether he can be believed now [I-12].

A witness is somebody whom the settings name, with the class of its vantage; what anybody else says is a hint and never
counts. Witnesses of one class are one opinion. A witness that misses most of what it watches is blind itself.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import NamedTuple

from doctor.fencing.limits import Limits
from doctor.model.fence_job import Says, Statement, Weighed
from doctor.model.fencing import Vantage

BEFORE_RETURN = "it was said before the host was given back"

Statements = Mapping[str, Mapping[str, Statement]]  # by host and reporter


class Witness(NamedTuple):
    """Somebody whose word counts.

    ``fresh_for`` None: what it said stands until it says otherwise, as with a monitor that runs inside Doctor. ``only``
    are patterns of the hosts that it watches. A ``device`` sees one host, and was asked which.
    """

    vantage: Vantage
    fresh_for: timedelta | None = timedelta(seconds=60)
    only: tuple[str, ...] = ()
    device: bool = False

    def watches(self, host: str) -> bool:
        """Tell whether it is one of its hosts."""
        return not self.only or any(fnmatchcase(host, pattern) for pattern in self.only)


Witnesses = Mapping[str, Witness]  # by reporter


class Judgement(NamedTuple):
    """What the statements on a host come to.

    ``dead`` are the classes that say so and count; ``life`` are those who say that it is alive.
    """

    weighed: tuple[Weighed, ...]
    dead: frozenset[Vantage]
    life: tuple[Statement, ...]

    @property
    def summary(self) -> str:
        """Return a sentence on what there is."""
        classes = ", ".join(sorted(self.dead)) or "nobody"
        life = f"; alive to {', '.join(one.reporter for one in self.life)}" if self.life else ""
        return f"dead to {classes}{life}"

    def objection(self, limits: Limits) -> str | None:
        """Say why it is not enough to cut a host off, or None."""
        if self.life:
            return f"{self.life[0].reporter} says that it is alive"
        if len(self.dead) < limits.vantages:
            classes = ", ".join(sorted(self.dead)) or "none"
            return f"{limits.vantages} independent classes have to say that it is dead; there is {classes}"
        return None


def judge(
    host: str,
    statements: Statements,
    witnesses: Witnesses,
    hosts: Collection[str],
    limits: Limits,
    now: datetime,
    *,
    blind: Mapping[str, str] = {},
    returned: datetime | None = None,
) -> Judgement:
    """Weigh what was said of a host. ``hosts`` are all there are, ``blind`` are the reporters that may miss all, and why.

    ``returned`` is when the host was given back: that it was dead before says nothing of it since [I-12].
    """
    weighed = []
    for one in statements.get(host, {}).values():
        witness = witnesses.get(one.reporter)
        objection = _objection(one, witness, statements, hosts, limits, now)
        if objection is None and one.says is Says.DEAD:
            is_old = returned is not None and one.time < returned
            objection = BEFORE_RETURN if is_old else blind.get(one.reporter)
        vantage = witness.vantage if witness is not None and objection is None else None
        weighed.append(Weighed(statement=one, vantage=vantage, objection=objection or ""))
    counted = [one for one in weighed if one.vantage is not None]
    return Judgement(
        tuple(weighed),
        frozenset(
            one.vantage for one in counted if one.vantage is not None and one.statement.says is Says.DEAD
        ),
        tuple(one.statement for one in counted if one.statement.says is Says.ALIVE),
    )


def _objection(
    one: Statement,
    witness: Witness | None,
    statements: Statements,
    hosts: Collection[str],
    limits: Limits,
    now: datetime,
) -> str | None:
    """Say why a statement does not count, or None."""
    if witness is None:
        return "a hint: fencing.witnesses does not name it"
    if not witness.watches(one.host):
        return "a hint: this is none of its hosts"
    if witness.fresh_for is not None and now - one.time > witness.fresh_for:
        return f"too old: it was said {round((now - one.time).total_seconds())} s ago"
    if one.says is Says.DEAD and not witness.device:
        return _blindness(one, witness, statements, hosts, limits)
    return None


def _blindness(
    one: Statement, witness: Witness, statements: Statements, hosts: Collection[str], limits: Limits
) -> str | None:
    """Say why a witness may be blind, or None: it has to see most of its other hosts [I-13]."""
    others = [host for host in hosts if host != one.host and witness.watches(host)]
    if not others:
        return "it watches no other host, so nothing tells that it is not blind"
    missed = sum(_misses(one.reporter, host, statements) for host in others)
    if len(others) - missed < limits.sees * len(others):
        return f"it misses {missed} of its {len(others)} other hosts: it may be blind itself"
    return None


def _misses(reporter: str, host: str, statements: Statements) -> bool:
    said = statements.get(host, {}).get(reporter)
    return said is not None and said.says is Says.DEAD


def silent_since(statements: Statements, witnesses: Witnesses, now: datetime) -> dict[str, datetime]:
    """Return since when which hosts are dead to any witness, whatever that is worth.

    What a device has read counts as long as it is fresh: it is read when Doctor asks, and never takes anything back.
    """
    found: dict[str, datetime] = {}
    for host, said in statements.items():
        times = [one.since for one in said.values() if _is_missed(one, witnesses.get(one.reporter), now)]
        if times:
            found[host] = min(times)
    return found


def _is_missed(one: Statement, witness: Witness | None, now: datetime) -> bool:
    if witness is None or one.says is not Says.DEAD:
        return False
    return not witness.device or witness.fresh_for is None or now - one.time <= witness.fresh_for


def signs_of_life(
    host: str, statements: Statements, witnesses: Witnesses, since: datetime
) -> Iterable[Statement]:
    """Return who has said since a moment that a host is alive. To a claim that it is off any witness is enough [I-16]."""
    return [
        one
        for one in statements.get(host, {}).values()
        if one.says is Says.ALIVE
        and one.time >= since
        and one.reporter in witnesses
        and witnesses[one.reporter].watches(host)
    ]
