"""What silences leave of what happened, for the owners and for the Administrator, and what is told when they are over.

In comes a transition of a fault; out goes the transition as each of the two hears it. Beginnings and changes of covered
alarms are withheld. An end is told to whoever was told of the beginning, silence or not, and to nobody else. What
somebody does not know of an alarm that is still open is remembered: it is told as soon as nothing covers the alarm any
more, as it is then.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.history import Late, Side, Silenced, Standing, standing_of
from doctor.model.silence import Silence, Unheard
from doctor.notifier.matching import is_of_the_vim
from doctor.notifier.silences import Coverage

NOTHING = Unheard()


class Heard(NamedTuple):
    """A transition as the owners hear it, and as the Administrator does."""

    owners: Transition
    administrator: Transition

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody has anything to hear."""
        return not any(one.raised or one.changed or one.cleared or one.corrected for one in self)

    def by_side(self) -> Iterator[tuple[Side, Transition]]:
        """Return what each of the two hears."""
        return zip((Side.OWNER, Side.ADMINISTRATOR), self, strict=True)


class Withheld(NamedTuple):
    """What one silence withholds; ``alarms`` are the ids of those of which somebody knew all until now."""

    silence: Silence
    news: Heard
    alarms: frozenset[str]


class Hearing(NamedTuple):
    """What is told now, what is to be remembered as not told, and which silence it is that withholds it."""

    news: Heard
    unheard: Unheard
    withheld: tuple[Withheld, ...] = ()


def side_of(project: str | None) -> Side:
    """Return as whom a project hears of alarms, or the Administrator (None)."""
    return Side.ADMINISTRATOR if project is None else Side.OWNER


def hear(
    transition: Transition, unheard: Unheard, coverage: Coverage, before: Mapping[str, Standing]
) -> Hearing:
    """Decide what is heard of a transition. ``before`` is how the changed alarms were, by alarm id."""
    record = transition.record
    owners = _Part(Side.OWNER, unheard.owners, coverage)
    administrator = _Part(Side.ADMINISTRATOR, unheard.administrator, coverage)
    for part in (owners, administrator):
        part.sift(transition, before)
    withheld = tuple(
        Withheld(
            silence,
            Heard(owners.withheld[key].of(record), administrator.withheld[key].of(record)),
            frozenset(owners.new[key] | administrator.new[key]),
        )
        for key, silence in (owners.silences | administrator.silences).items()
    )
    return Hearing(
        Heard(owners.told.of(record), administrator.told.of(record)),
        Unheard(owners=owners.unheard, administrator=administrator.unheard),
        withheld,
    )


def overdue(
    record: AlarmedFault, unheard: Unheard, coverage: Coverage, shelved: Collection[str] = ()
) -> tuple[Heard, Unheard]:
    """Return what can be told at last of an open fault, and what still cannot.

    Of ``shelved`` alarms those whose they are do not hear changes: those stay until the alarm is back.
    """
    alarms = {alarm.alarm_id: alarm for alarm in record.alarms.values()}
    told = {side: _Alarms() for side in Side}
    left: dict[Side, dict[str, Standing | None]] = {side: {} for side in Side}
    for side in Side:
        for alarm_id, known in unheard.of(side).items():
            alarm = alarms.get(alarm_id)
            if alarm is None or standing_of(alarm) == known:
                continue
            is_aside = known is not None and alarm_id in shelved and side is side_of(alarm.project)
            if is_aside or coverage.of(alarm).by(side) is not None:
                left[side][alarm_id] = known
            elif known is None:
                told[side].raised.append(alarm)
            else:
                told[side].changed.append(alarm)
    news = Heard(told[Side.OWNER].of(record), told[Side.ADMINISTRATOR].of(record))
    return news, Unheard(owners=left[Side.OWNER], administrator=left[Side.ADMINISTRATOR])


def silenced_of(transition: Transition, withheld: Withheld) -> Iterator[Silenced]:
    """Return what is kept of a silence in the history of a fault: who it kept from hearing of which alarms."""
    silence = withheld.silence
    for side, part in withheld.news.by_side():
        alarms = _all_of(part)
        if not alarms:
            continue
        everything = len(alarms) == sum(1 for _ in _concerning(side, _all_of(transition), transition.record))
        yield Silenced(
            side,
            silence.silence_id,
            silence.project,
            silence.owner,
            silence.reason,
            None if everything else _ids(alarms),
        )


def late_of(news: Heard) -> Iterator[Late]:
    """Return what is kept in the history of a fault of what is told when silences are over."""
    for side, part in news.by_side():
        if part.raised or part.changed:
            yield Late(side, _ids(part.raised), _ids(part.changed))


def _ids(alarms: tuple[Alarm, ...]) -> tuple[str, ...]:
    return tuple(alarm.alarm_id for alarm in alarms)


def _all_of(transition: Transition) -> tuple[Alarm, ...]:
    return (*transition.raised, *transition.changed, *transition.cleared, *transition.corrected)


def _concerning(side: Side, alarms: Iterable[Alarm], record: AlarmedFault) -> Iterable[Alarm]:
    """Return the alarms that one of the two is told of: what is physical is no owner's, but for the VIM."""
    if side is Side.ADMINISTRATOR or is_of_the_vim(record.fault):
        return alarms
    return (one for one in alarms if one.project is not None)


class _Alarms:
    """Some of the alarms of a transition."""

    def __init__(self) -> None:
        self.raised: list[Alarm] = []
        self.changed: list[Alarm] = []
        self.cleared: list[Alarm] = []
        self.corrected: list[Alarm] = []

    def of(self, record: AlarmedFault) -> Transition:
        return Transition(
            record=record,
            raised=tuple(self.raised),
            changed=tuple(self.changed),
            cleared=tuple(self.cleared),
            corrected=tuple(self.corrected),
        )


class _Part:
    """What the owners, or the Administrator, are told of a transition and what they are not.

    ``withheld`` and ``new`` are by silence: what it withholds, and of which alarms until now all was known.
    """

    def __init__(self, side: Side, unheard: Mapping[str, Standing | None], coverage: Coverage) -> None:
        self._side = side
        self._coverage = coverage
        self.told = _Alarms()
        self.unheard = dict(unheard)
        self.silences: dict[str, Silence] = {}
        self.withheld: defaultdict[str, _Alarms] = defaultdict(_Alarms)
        self.new: defaultdict[str, set[str]] = defaultdict(set)

    def sift(self, transition: Transition, before: Mapping[str, Standing]) -> None:
        """Take the transition apart."""
        for alarm in self._concerning(transition.raised, transition):
            silence = self._covered(alarm)
            if silence is None:
                self.told.raised.append(alarm)
            else:
                self._owe(alarm, None, silence)
                self.withheld[silence.silence_id].raised.append(alarm)
        for alarm in self._concerning(transition.changed, transition):
            silence = self._covered(alarm)
            is_owed = alarm.alarm_id in self.unheard
            if silence is not None:
                if not is_owed:
                    self._owe(alarm, before.get(alarm.alarm_id), silence)
                self.withheld[silence.silence_id].changed.append(alarm)
            elif is_owed and self.unheard.pop(alarm.alarm_id) is None:
                self.told.raised.append(alarm)
            else:
                self.told.changed.append(alarm)
        for alarm in self._concerning(transition.cleared, transition):
            self._over(alarm).cleared.append(alarm)
        for alarm in self._concerning(transition.corrected, transition):
            self._over(alarm).corrected.append(alarm)

    def _concerning(self, alarms: Iterable[Alarm], transition: Transition) -> Iterable[Alarm]:
        return _concerning(self._side, alarms, transition.record)

    def _over(self, alarm: Alarm) -> _Alarms:
        """Return where an end belongs: it is told, withheld, or nobody needs to hear of it."""
        if alarm.alarm_id not in self.unheard or self.unheard.pop(alarm.alarm_id) is not None:
            return self.told
        silence = self._covered(alarm)
        return _Alarms() if silence is None else self.withheld[silence.silence_id]

    def _covered(self, alarm: Alarm) -> Silence | None:
        silence = self._coverage.of(alarm).by(self._side)
        if silence is not None:
            self.silences[silence.silence_id] = silence
        return silence

    def _owe(self, alarm: Alarm, known: Standing | None, silence: Silence) -> None:
        self.unheard[alarm.alarm_id] = known
        self.new[silence.silence_id].add(alarm.alarm_id)
