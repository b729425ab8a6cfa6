"""What happens in an episode: a seed decides all of it, and nothing else does."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from doctor.testing.fence import Mode


class Fault(StrEnum):
    """What is done to hosts."""

    FREEZE = "freeze"  # nothing on it runs, and all of it may go on
    KILL = "kill"  # all on it is dead, and it has power
    UNPLUG = "unplug"  # it has no power, and its BMC says so
    BLINK = "blink"  # it freezes, and goes on after a while
    CUT = "cut"  # its link is cut, and it lives
    ALONE = "alone"  # all links are cut, and all hosts live
    SLANDER = "slander"  # a monitor says that it is dead, and it lives
    STORM = "storm"  # two hosts freeze together


class Recovery(StrEnum):
    """Who says what is to be done to the machines of the host."""

    OWNER_AT_ONCE = "the owner, as soon as he hears of it"
    OWNER_PATIENT = "the owner, when the host is isolated"
    PREDEFINED = "the owner, beforehand"
    NOBODY = "nobody"


class Return(StrEnum):
    """When the Administrator gives the host back."""

    NEVER = "never"
    LATER = "when its machines run elsewhere"
    AT_ONCE = "as soon as it is isolated"


HARMLESS = frozenset((Fault.CUT, Fault.ALONE, Fault.SLANDER, Fault.STORM))  # nothing may be cut off
WISHED_BEFORE = (Recovery.OWNER_AT_ONCE, Recovery.PREDEFINED)  # known when the host is isolated
STATES = ("suspect", "attempt", "confirming", "fenced")
IPMI, REDFISH = "ipmi", "redfish"
LEVELS = ((IPMI,), (REDFISH,), (IPMI, REDFISH), (REDFISH, IPMI))
WORKING = (Mode.HONEST, Mode.SLOW)
BAD = (Mode.STUCK, Mode.CONTRARY, Mode.DEAF, Mode.LYING, Mode.WRONG)


@dataclass(frozen=True)
class Blow:
    """What is done to Doctor: killed or paused, for so many seconds.

    It comes so many seconds after the isolation of the host is in a state, or after the fault (None).
    """

    state: str | None
    after: float
    lasts: float
    kills: bool

    @classmethod
    def by(cls, dice: Random) -> "Blow":
        """Return one that these dice decide."""
        state = dice.choice((*STATES, None))
        # A long one outlasts all that Doctor had decided before.
        lasts = dice.uniform(7, 9) if dice.random() < 0.15 else dice.uniform(0, 1.5)
        return cls(state, dice.uniform(0, 0.5) if state else dice.uniform(1, 7), lasts, dice.random() < 0.7)


@dataclass(frozen=True)
class Plan:
    """One episode. ``mode`` is how the device of the first level behaves; that of a second is honest."""

    seed: int
    fault: Fault
    levels: tuple[str, ...]
    mode: Mode = Mode.HONEST
    recovery: Recovery = Recovery.NOBODY
    lasts: float = 0.0  # seconds that a blink takes
    blows: tuple[Blow, ...] = ()
    returns: Return = Return.NEVER

    @classmethod
    def of(cls, seed: int) -> "Plan":
        """Return what this seed decides."""
        dice = Random(seed)
        fault = dice.choices(tuple(Fault), (9, 3, 2, 3, 2, 1, 2, 1))[0]
        is_bad = dice.random() < 0.5 and fault in (Fault.FREEZE, Fault.KILL)
        mode = dice.choice(BAD if is_bad else WORKING)
        blows = tuple(Blow.by(dice) for _ in range(dice.choice((0, 0, 1, 1, 2))))
        recovery = dice.choice(tuple(Recovery))
        soonest = Return.AT_ONCE if recovery in WISHED_BEFORE else Return.LATER
        return cls(
            seed=seed,
            fault=fault,
            lasts=dice.uniform(0.2, 6),
            levels=dice.choice(LEVELS),
            mode=mode,
            recovery=recovery,
            blows=blows,
            returns=dice.choices((Return.NEVER, Return.LATER, soonest), (4, 1, 1))[0],
        )

    @property
    def ends(self) -> frozenset[str | None]:
        """Return in which states the isolation of the host may end."""
        fenced, person = {"fenced"}, {"needs_human"}
        match self.fault, self.mode:
            case (Fault.CUT, _):
                return frozenset(person)
            case (Fault.SLANDER, _):
                # A Doctor that has just started sees the host for the first time, and believes that.
                return frozenset(person | ({"cancelled"} if any(one.kills for one in self.blows) else set()))
            case (Fault.ALONE, _):
                return frozenset({None, "suspect"})
            case (Fault.STORM, _):
                return frozenset({"suspect"})
            case (Fault.BLINK, _):
                return frozenset({None, "cancelled"} | fenced | person)
            case (_, Mode.HONEST | Mode.SLOW):
                return frozenset(fenced)
            case (_, Mode.LYING):
                # The lie is told to a frozen host that wakes by it. One that is dead anyway is off for all that matters, and
                # one whose lie came too late is cut off by the second BMC.
                is_person = self.fault is not Fault.KILL and len(self.levels) == 1
                return frozenset(person if is_person else fenced | person)
            case (_, Mode.CONTRARY):
                return frozenset(fenced | person)
            case _:
                return frozenset(fenced if len(self.levels) > 1 else person)
