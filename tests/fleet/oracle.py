"""Who knows the truth about an episode, and asks Doctor nothing: it knows the disks, the processes of hosts, and the BMCs."""

from collections.abc import Mapping

from doctor.testing.fence import Mode
from tests.fleet.plan import HARMLESS, Plan, Recovery
from tests.fleet.rack import NEIGHBOUR, SPARE, VICTIM, Rack


class Violation(AssertionError):
    """What must never be, was. ``promise`` is its name, none if it only did not end as it should."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}" if promise else what)
        self.promise = promise


class Oracle:
    """The truth about one episode. ``machines`` are those that ran on the host, by where they ran at first."""

    def __init__(self, rack: Rack, plan: Plan, machines: Mapping[str, str]) -> None:
        self._rack = rack
        self._plan = plan
        self._struck = [machine for machine, host in machines.items() if host == VICTIM]

    @property
    def is_lied_to(self) -> bool:
        """Tell whether a BMC of the host reads other than it is."""
        return any(self._rack.lies(device) for device in self._plan.levels)

    @property
    def all_run_elsewhere(self) -> bool:
        """Tell whether all machines of the host run elsewhere."""
        return all(self._runs_elsewhere(machine) for machine in self._struck)

    @property
    def all_run_since(self) -> float:
        """Return since when all machines of the host run where they are, by the clock of the disks."""
        return max(self._rack.storage.writers(machine)[-1].first.timestamp() for machine in self._struck)

    def _runs_elsewhere(self, machine: str) -> bool:
        return self._rack.storage.writers(machine)[-1].host != VICTIM

    def see_safe(self, state: str | None, lived_for: float, too_long: float) -> None:
        """Hold the state of the isolation against the truth; ``lived_for`` is how long the host was back when it was cut off.

        Raises:
            Violation: what must never be, is.
        """
        plan, rack = self._plan, self._rack
        if state == "fenced" and rack.hosts[VICTIM].has_power:
            raise Violation("I-16", f"{VICTIM} counts as isolated, and its processes are there")
        if rack.was_cut(SPARE):
            raise Violation("I-12", f"{NEIGHBOUR} was cut off, and nothing was wrong with it")
        if plan.mode is Mode.WRONG and rack.was_cut(plan.levels[0]):
            raise Violation("I-16", "a BMC of another machine was told to cut its power")
        if plan.fault in HARMLESS and any(rack.was_cut(device) for device in plan.levels):
            raise Violation("I-12", f"{VICTIM} was cut off by {plan.fault}")
        if lived_for > too_long:
            raise Violation("I-12", f"{VICTIM} was cut off {lived_for:.1f} s after it was back")

    def see_untouched(self) -> None:
        """See that nothing was started elsewhere.

        Raises:
            Violation: it was.
        """
        for machine in self._struck:
            if elsewhere := [one.host for one in self._rack.storage.writers(machine) if one.host != VICTIM]:
                what = f"{machine} was started on {elsewhere[0]} although {VICTIM} was not isolated"
                raise Violation("I-15", what)

    def see_none_of_the_old_back(self) -> None:
        """See that on a host that was given back nothing runs but what was left there.

        Raises:
            Violation: something does, or what was left does not.
        """
        for machine in self._struck:
            is_back = not self._runs_elsewhere(machine)
            if is_back is not (self._plan.recovery is Recovery.NOBODY):
                does = "runs" if is_back else "does not run"
                raise Violation("I-15", f"{machine} {does} on {VICTIM} after its return")

    def see_none_twice(self) -> None:
        """See that no machine ran twice at any time.

        Raises:
            Violation: one did.
        """
        if twice := self._rack.storage.double():
            raise Violation("I-15", f"ran twice: {', '.join(twice)}")
