"""One episode: a real Doctor and real hosts, on which happens what a plan says, and an oracle that sees what comes of it."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Timer
from typing import Any

from doctor.cli.demo.fencing_site import WITNESS, Hypervisors, StorageWitness
from doctor.client import Client
from doctor.client.errors import ApiError, ClientError
from doctor.flows.human_call import FAULT_TYPE as CALL
from doctor.model.checkpoint import Checkpoint
from doctor.testing.fence import Mode
from doctor.testing.running import RunningDoctor
from tests.fleet.oracle import Oracle, Violation
from tests.fleet.owner import Owner
from tests.fleet.plan import HARMLESS, Blow, Fault, Plan, Recovery, Return
from tests.fleet.rack import HOSTS, NEIGHBOUR, PORT, SOMEBODY_ELSE, SPARE, VICTIM, Rack

ZONE, OWNER, SLANDERER = "az1", "red", "peers"
LOOK_EVERY = 0.2
PATIENCE = 150.0  # seconds for an episode to come to an end; most take ten
STAYS = 1.5  # seconds in which an end has to stay what it is
# Patient enough that a busy machine, which lets processes wait for a second, is no failure of theirs.
SILENT = 2.5
SEEN_BY_THEN = 4.0  # seconds after which Doctor has long seen that a host is back
PING = {
    "driver": "ping",
    "interval": 0.2,
    "misses": 5,
    "method": "tcp",
    "tcp_port": PORT,
    "tcp_refused": "down",
}
LIMITS = {"start_up": 2, "attempt": 8, "confirm": 10, "patience": 12}
MUCH_TOO_LATE = LIMITS["attempt"] + 2.0  # seconds after which no command of before is on its way any more
STORM_LASTS = 7.0  # nothing is to happen, and that takes its time


class Interrupted(Exception):
    """The episode is given up, and so are all others."""


@dataclass
class Figures:
    """What was seen. In seconds: told after detection, isolated after the suspicion, confirmed after the last command,
    recovered after the fault itself.
    """

    kills: int = 0
    pauses: int = 0
    lied: bool = False
    told: float | None = None
    isolated: float | None = None
    confirmed: float | None = None
    recovered: float | None = None


@dataclass
class Surroundings:
    """What all episodes share: where owners hear of faults, and whether the tests were interrupted."""

    endpoint: str
    over: Event = field(default_factory=Event)


class Episode:
    """One episode on a rack."""

    doctor_class = RunningDoctor

    def __init__(self, rack: Rack, plan: Plan, folder: Path, surroundings: Surroundings) -> None:
        self.rack = rack
        self.plan = plan
        # What an episode before has left is not to be taken for its machines, though it be played twice.
        self.machines = {f"{folder.name}-{n}": host for n, host in enumerate((VICTIM, *HOSTS[:3]), 1)}
        self.oracle = Oracle(rack, plan, self.machines)
        (folder / "doctor").mkdir(parents=True)
        self.doctor = self.doctor_class(folder / "doctor", **self._settings(folder))
        self.story: list[str] = []
        self.figures = Figures()
        self._surroundings = surroundings
        self._began = time.monotonic()
        self._blows = list(plan.blows)
        self._struck = float("inf")
        self._struck_at = 0.0  # by the clock of the disks
        self._woke_at = float("inf")  # by that clock, too
        self._turns = 0
        self._state: str | None = None

    def _settings(self, folder: Path) -> dict[str, Any]:
        known = self.rack.settings(folder)
        devices = {name: known[name] for name in (*self.plan.levels, SPARE)}
        if self.plan.mode is Mode.WRONG:
            devices[self.plan.levels[0]]["identity"] = str(SOMEBODY_ELSE)
        return {
            "monitors": [PING],
            "fencing": {
                "devices": devices,
                "hosts": {VICTIM: {"levels": list(self.plan.levels)}, NEIGHBOUR: {"levels": [SPARE]}},
                "witnesses": {WITNESS: "storage", SLANDERER: "peer"},
                "limits": LIMITS,
            },
            "log": {"format": "json"},
        }

    def _note(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self._began:6.1f} s  {what}")

    # --- the story ---

    def run(self) -> str | None:
        """Play it, and return in which state the isolation of the host ended.

        Raises:
            Violation: what must never be, was, or it did not come to an end as it should.
            Interrupted: the tests were interrupted.
        """
        self.rack.make_well()
        self.rack.storage.place(self.machines)
        with ExitStack() as stack:
            stack.callback(self.doctor.stop)
            self.doctor.start()
            self._set_up(stack)
            self._strike(stack)
            end = self._come_to_an_end()
            if end == "fenced":
                self._see_recovered_and_back()
            else:
                self.oracle.see_untouched()
            if end == "needs_human":
                self._until(self._is_called, "a person to be called")
            if self.plan.fault in HARMLESS:
                self._take_back()
            self._look_back()
            return end

    def _set_up(self, stack: ExitStack) -> None:
        url = self.doctor.url
        self.admin = stack.enter_context(Client(url, self.doctor.token))
        clients = {}
        for role, name in (("monitor", WITNESS), ("monitor", SLANDERER), ("auditor", "hypervisors")):
            token = self.admin.post("/v1/tokens", {"role": role, "name": name})["token"]
            clients[name] = stack.enter_context(Client(url, token))
        token = self.admin.post("/v1/tokens", {"role": "consumer", "project": OWNER, "name": "vnfm"})["token"]
        struck = [machine for machine, host in self.machines.items() if host == VICTIM]
        self.owner = Owner(stack.enter_context(Client(url, token)), self.plan, struck)
        self.slanderer = clients[SLANDERER]
        self.witness = StorageWitness(clients[WITNESS], self.rack.storage, HOSTS, silent=SILENT)
        hypervisors = Hypervisors(clients["hypervisors"], self.rack.storage)
        self._unhurried = (
            hypervisors.look,
            self.owner.look,
        )  # by turns: looking takes Doctor's time and ours
        hosts = [
            {"id": name, "type": "host", "zone_id": ZONE, "address": host.address}
            for name, host in self.rack.hosts.items()
        ]
        machines = [{"id": name, "host": host, "owner": OWNER} for name, host in self.machines.items()]
        self.admin.put("/v1/resource-map", {"physical_resources": hosts, "virtual_resources": machines})
        self.admin.put(f"/v1/fencing/{ZONE}", {"mode": "armed", "reason": "a test"})
        self.owner.prepare(self._surroundings.endpoint)
        self._until(lambda: all(self.rack.storage.writers(one) for one in self.machines), "machines to run")
        for _ in range(6):  # a monitor misses only whom it has seen
            self._turn()

    def _strike(self, stack: ExitStack) -> None:
        plan, victim = self.plan, self.rack.hosts[VICTIM]
        if plan.mode is not Mode.WRONG:
            self.rack.bmcs[plan.levels[0]].behave(plan.mode)
        self._note(f"{plan.fault}, {' then '.join(plan.levels)}, the first {plan.mode.name}, {plan.recovery}")
        self._struck, self._struck_at = time.monotonic(), time.time()
        match plan.fault:
            case Fault.FREEZE:
                victim.freeze()
            case Fault.BLINK:
                victim.freeze()
                waking = Timer(plan.lasts, self._wake)  # whatever happens to Doctor meanwhile
                stack.callback(waking.join)
                stack.callback(waking.cancel)
                waking.start()
            case Fault.STORM:
                victim.freeze()
                self.rack.hosts[HOSTS[3]].freeze()
            case Fault.KILL:
                victim.put(on=False)
            case Fault.UNPLUG:
                victim.put(on=False)
                for device in plan.levels:
                    self.rack.bmcs[device].put(on=False)
            case Fault.CUT:
                self.rack.links[VICTIM].cut()
            case Fault.ALONE:
                for link in self.rack.links.values():
                    link.cut()
            case Fault.SLANDER:
                self._slander("down")

    def _wake(self) -> None:
        self.rack.hosts[VICTIM].thaw()
        self._woke_at = time.time()
        self._note("it goes on, if it is there")

    def _slander(self, status: str) -> None:
        details = {"hostname": VICTIM, "status": status}
        event = {"time": datetime.now(UTC).isoformat(), "type": "compute.host.down", "details": details}
        self.slanderer.post("/v1/events", {"event": event})

    def _come_to_an_end(self) -> str | None:
        """Wait for a state in which it may end, and that stays."""
        least = {
            Fault.STORM: STORM_LASTS,
            Fault.ALONE: STORM_LASTS,
            Fault.BLINK: self.plan.lasts + SEEN_BY_THEN,
        }
        earliest = self._struck + least.get(self.plan.fault, 0.0)
        since, last = time.monotonic(), self._turn()
        while True:
            state, now = self._turn(), time.monotonic()
            if state != last:
                since, last = now, state
            if state in self.plan.ends and now - since > STAYS and now > earliest:
                return state
            if now - self._struck > PATIENCE:
                wanted = " or ".join(str(one) for one in self.plan.ends)
                raise Violation(
                    "", f"it has been {state} for {now - since:.0f} s, and should end as {wanted}"
                )

    def _see_recovered_and_back(self) -> None:
        if self.plan.returns is not Return.AT_ONCE:
            self._see_recovered()
        if self.plan.returns is not Return.NEVER:
            self._give_back()

    def _see_recovered(self) -> None:
        """See that the machines of a dead host run elsewhere, if somebody wanted that, and nowhere else."""
        if self.plan.recovery is Recovery.NOBODY:
            self.oracle.see_untouched()
            return
        self._until(lambda: self.oracle.all_run_elsewhere, "machines to run elsewhere")
        self._note("machines run elsewhere")

    def _give_back(self) -> None:
        """Mend what was wrong, give the host back, and see that nothing of the old starts there."""
        self._mend_devices()
        self._note("it is given back")
        self._until(self._takes_it_back, "Doctor to give it back")
        asked = list(self.owner.asked)
        self._until(lambda: self._state == "observed", "the host to have its power back")
        if self.owner.waits_for(asked):
            what = f"{VICTIM} has its power back, and its machines are still being evacuated"
            raise Violation("I-15", what)
        self._until(lambda: self.rack.storage.silent_for(VICTIM) < 0.5, "the host to live")
        for _ in range(10):
            self._turn()
        self._note("it is back")
        self.oracle.see_none_of_the_old_back()

    def _mend_devices(self) -> None:
        for device in self.plan.levels:
            self.rack.mend(device)
        if self.plan.mode is Mode.WRONG:
            settings = self.doctor.folder / "doctor.yaml"
            right = self.rack.settings(settings.parent)[self.plan.levels[0]]["identity"]
            settings.write_text(settings.read_text().replace(str(SOMEBODY_ELSE), right))
            self.doctor.stop()
            self.doctor.start()

    def _takes_it_back(self) -> bool:
        with suppress(ApiError):  # what is on its way elsewhere has to arrive first
            self.admin.post(f"/v1/isolations/{VICTIM}/return", {"reason": "repaired"})
            return True
        return False

    def _is_called(self) -> bool:
        return any(one["fault_type"] == CALL for one in self.admin.items("/v1/alarms", state="active"))

    def _take_back(self) -> None:
        """End what was done to hosts that must not be harmed, and see that all is forgotten."""
        for name, host in self.rack.hosts.items():
            host.thaw()
            self.rack.links[name].mend()
        if self.plan.fault is Fault.SLANDER:
            self._slander("up")
        self._until(lambda: self._turn() in (None, "cancelled"), "the suspicion to end")

    def _look_back(self) -> None:
        """Hold the whole episode against the truth once more, and take its figures."""
        self.oracle.see_none_twice()
        if not (audit := self.admin.get("/v1/fence-decisions/audit"))["whole"]:
            raise Violation("I-17", f"the log of decisions is broken: {audit}")
        if self.oracle.all_run_elsewhere:
            self.figures.recovered = self.oracle.all_run_since - self._struck_at
        found = self.admin.get("/v1/timelines", limit=20)["items"]
        for timeline in (one for one in found if one["resource_id"] == VICTIM):
            at = {name: datetime.fromisoformat(when) for name, when in timeline["checkpoints"].items()}
            detected = at.get(Checkpoint.DETECTED)
            if detected is not None and Checkpoint.RECEIVED in at:
                self.figures.told = (at[Checkpoint.RECEIVED] - detected).total_seconds()

    # --- what goes on all the time ---

    def _turn(self) -> str | None:
        """Let all that is around Doctor do its part once, and hold what Doctor says against the truth."""
        if self._surroundings.over.wait(LOOK_EVERY):
            raise Interrupted
        self._turns += 1
        for work in (self.witness.look, self._look, self._unhurried[self._turns % 2]):
            with suppress(ClientError):
                work()
        for blow in [one for one in self._blows if self._is_due(one)]:
            self._blows.remove(blow)
            self._hit(blow)
        return self._state

    def _look(self) -> None:
        """Ask Doctor how far it is, and hold that against the truth."""
        none: dict[str, Any] = {"state": None}
        found = next(self.admin.items("/v1/isolations", host=VICTIM), none)
        if found["state"] != self._state:
            self._state = found["state"]
            self._note(f"{self._state}")
            if self._state == "fenced":
                isolated = datetime.fromisoformat(found["isolated_time"])
                suspected, commanded = (
                    datetime.fromisoformat(found[one]) for one in ("since", "commanded_time")
                )
                self.figures.isolated = (isolated - suspected).total_seconds()
                self.figures.confirmed = (isolated - commanded).total_seconds()
        self.figures.lied |= self.oracle.is_lied_to
        lived_for = self.rack.hosts[VICTIM].cut_at - self._woke_at
        self.oracle.see_safe(self._state, lived_for, MUCH_TOO_LATE)

    def _is_due(self, blow: Blow) -> bool:
        late = time.monotonic() - self._struck > blow.after
        return late if blow.state is None else self._state == blow.state

    def _hit(self, blow: Blow) -> None:
        if blow.state is not None:
            time.sleep(blow.after)
        self._note(f"Doctor is {'killed' if blow.kills else 'paused'} for {blow.lasts:.1f} s")
        assert self.doctor.process is not None
        if blow.kills:
            self.figures.kills += 1
            self.doctor.kill()
            self._surroundings.over.wait(blow.lasts)
            self.doctor.start()
        else:
            self.figures.pauses += 1
            os.kill(self.doctor.process.pid, signal.SIGSTOP)
            self._surroundings.over.wait(blow.lasts)
            os.kill(self.doctor.process.pid, signal.SIGCONT)

    def _until(self, found: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not found():
            self._turn()
            if time.monotonic() > end:
                raise Violation("", f"waited {PATIENCE:.0f} s in vain for {what}")
