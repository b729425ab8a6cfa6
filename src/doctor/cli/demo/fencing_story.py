"""The story of a frozen host: told at once, cut off, proven dead, evacuated by its owner's instruction, and given back.

A frozen host may go on at any moment, and two machines that believe to be the same one destroy what they share. So the disk
of the machine is the judge: it shows who wrote to it, and when.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from doctor.cli.demo.fencing_site import (
    OWNER,
    PLACES,
    ROLES,
    SILENT,
    STRANGER,
    ZONE,
    FencingSite,
    fencing_site,
)
from doctor.cli.demo.guard import guarded_folder
from doctor.cli.demo.site import (
    BUDGET,
    Tell,
    admin_token,
    heard,
    milliseconds,
    of_type,
    run_command,
    time_of,
    timeline_of,
    until,
    wait_until_watched,
)
from doctor.cli.demo.storage import Writer
from doctor.cli.drawing import render
from doctor.model.checkpoint import Checkpoint, Timeline

if TYPE_CHECKING:
    from rich.text import Text

VICTIM, MACHINE = "compute-1", "red-act"
PATIENCE = 60.0  # seconds for any step; the longest takes ten when all is well

COMMANDS = (
    ("doctor fencing status", f"what could be cut off; the zone {ZONE} is not armed yet"),
    (f"$SITE/{VICTIM}/freeze", "nothing on it runs, and all of it may go on at any moment"),
    (f"$SITE/{VICTIM}/thaw", "it goes on"),
    (f"echo stuck > $SITE/bmc-{VICTIM}/mode", "its BMC has a bad day: stuck, slow or contrary; honest"),
    (f"tail -f $SITE/storage/machines/{MACHINE}", f"who writes to the disk of {MACHINE}"),
)


class FencingOutcome(NamedTuple):
    """What was seen. ``writers`` are those of the disk of the machine that was evacuated."""

    timeline: Timeline
    occurred_to_detected: timedelta
    detected_to_received: timedelta
    detected_to_instructed: timedelta
    detected_to_isolated: timedelta
    detected_to_running: timedelta
    told: dict[str, int]
    switched_over: bool
    writers: tuple[Writer, ...]
    ran_twice: list[str]
    moved_after_isolation: bool
    returned: bool
    cleared: bool

    def drawing(self, width: int, *, unicode: bool) -> "Text":
        """Draw where the time went."""
        return render(self.timeline, width, unicode=unicode)

    @property
    def is_good(self) -> bool:
        """Tell whether the promise was kept: told and heard within a second, and never two at once."""
        return (
            max(self.detected_to_received, self.detected_to_instructed) < BUDGET
            and self.told[STRANGER] == 0
            and self.switched_over
            and len(self.writers) == 2
            and not self.ran_twice
            and self.moved_after_isolation
            and self.returned
            and self.cleared
        )

    @property
    def verdict(self) -> str:
        """Say what was promised, and how it was kept, if it was."""
        if not self.is_good:
            return f"The promise was BROKEN: {self.as_json()}"
        return (
            f"The promise was kept: the owner was told {milliseconds(self.detected_to_received):.1f} ms after detection,"
            f" {VICTIM} was proven dead after {_seconds(self.detected_to_isolated)}, {MACHINE} ran elsewhere after"
            f" {_seconds(self.detected_to_running)}, and never twice; nobody else was told."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a program."""
        return {
            "occurred_to_detected_ms": milliseconds(self.occurred_to_detected),
            "detected_to_received_ms": milliseconds(self.detected_to_received),
            "detected_to_instructed_ms": milliseconds(self.detected_to_instructed),
            "detected_to_isolated_ms": milliseconds(self.detected_to_isolated),
            "detected_to_running_ms": milliseconds(self.detected_to_running),
            "told": self.told,
            "switched_over": self.switched_over,
            "writers": [one.host for one in self.writers],
            "ran_twice": self.ran_twice,
            "moved_after_isolation": self.moved_after_isolation,
            "returned": self.returned,
            "cleared": self.cleared,
        }


def play(tell: Tell) -> FencingOutcome:
    """Play the story once, and clean up after it.

    Raises:
        DemoError: something that it takes is missing, or something that should have happened did not.
    """
    with _site(tell) as site:
        run_command(site.doctor, site.folder, tell, "fencing", "arm", ZONE, "--reason", "a demonstration")
        wait_until_watched(site.doctor)
        return _freeze_and_return(site, tell)


def hands_on(tell: Tell, wait: Callable[[], None]) -> None:
    """Set the site up, say how to use it, and take it down when the wait is over.

    Raises:
        DemoError: something that it takes is missing.
    """
    with _site(tell) as site:
        tell("")
        tell("In another terminal:")
        tell(
            f"export DOCTOR_URL={site.doctor.url} DOCTOR_TOKEN={admin_token(site.folder)} SITE={site.folder}"
        )
        tell("")
        for command, meaning in COMMANDS:
            tell(f"  {command:40} {meaning}")
        tell("")
        wait()


@contextmanager
def _site(tell: Tell) -> Iterator[FencingSite]:
    with (
        guarded_folder("doctor-demo-") as folder,
        fencing_site(folder, tell) as site,
    ):
        machines = ", ".join(f"{name} ({ROLES[OWNER][name]}) on {PLACES[name]}" for name in ROLES[OWNER])
        tell(f"tenant {OWNER}: {machines}; its VNF manager has subscribed")
        tell(f"tenant {STRANGER}: blue-1 on {PLACES['blue-1']}; it has subscribed too, and must hear nothing")
        yield site


def _freeze_and_return(site: FencingSite, tell: Tell) -> FencingOutcome:
    owner = site.tenants[OWNER]
    tell("")
    occurred = datetime.now(UTC)
    site.hosts[VICTIM].freeze()
    tell(f"{VICTIM} freezes: nothing on it runs, and all of it may go on at any moment")
    received = owner.wait_for("received", of_type("fault"), seconds=PATIENCE)
    detected = timeline_of(site.doctor, VICTIM, occurred).checkpoints[Checkpoint.DETECTED]
    told_after = time_of(received, "received_time") - detected
    tell(f"  detected after {milliseconds(detected - occurred):.0f} ms")
    tell(
        f"  the owner was told {milliseconds(told_after):.1f} ms later:"
        f" {MACHINE} is in error, isolation {received['isolation'][0]}"
    )
    switched = owner.wait_for("switched_over", seconds=PATIENCE)
    instructed = time_of(owner.wait_for("instructed", seconds=PATIENCE), "instructed_time")
    tell(
        f"  its VNF manager made {switched['active']} active, and asked after"
        f" {milliseconds(instructed - detected):.1f} ms for {MACHINE} to be evacuated"
    )
    isolation: dict[str, Any] = until(lambda: _isolation(site, "fenced"), f"{VICTIM} to be isolated")
    _tell_of_isolation(site, isolation, detected, tell)
    changed = owner.wait_for("received", lambda line: line["isolation"] == ["isolated"], seconds=PATIENCE)
    isolated = datetime.fromisoformat(isolation["isolated_time"])
    tell(f"  the owner was told {milliseconds(time_of(changed, 'received_time') - isolated):.1f} ms later")
    writers = until(
        lambda: (found := site.storage.writers(MACHINE))[1:] and found, f"{MACHINE} to run elsewhere"
    )
    running = writers[1].first
    tell(
        f"  {MACHINE} runs on {writers[1].host} {milliseconds(running - isolated):.0f} ms after it was isolated"
    )
    owner.wait_for("received", of_type("instruction_result"), seconds=PATIENCE)
    returned = _return(site, tell)
    cleared = until(lambda: not list(site.doctor.items("/v1/alarms", state="active")), "all alarms to clear")
    tell("  all alarms are cleared")
    time.sleep(1)  # a machine that must not start would have started by now
    writers = site.storage.writers(MACHINE)
    ran_twice = site.storage.double()
    told = {OWNER: heard(owner), STRANGER: heard(site.tenants[STRANGER])}
    tell(f"tenant {STRANGER} heard {'nothing' if not told[STRANGER] else 'what it must not hear'}")
    spans = ", then by ".join(f"{one.host} until {_time(one.last)}" for one in writers)
    tell(
        f"the disk of {MACHINE} was written by {spans}: {'TWO AT ONCE' if ran_twice else 'never by two at once'}"
    )
    return FencingOutcome(
        timeline=timeline_of(site.doctor, VICTIM, occurred),
        occurred_to_detected=detected - occurred,
        detected_to_received=told_after,
        detected_to_instructed=instructed - detected,
        detected_to_isolated=isolated - detected,
        detected_to_running=running - detected,
        told=told,
        switched_over=switched["active"] == "red-stby",
        writers=tuple(writers),
        ran_twice=ran_twice,
        moved_after_isolation=isolated < running,
        returned=returned,
        cleared=cleared,
    )


def _tell_of_isolation(site: FencingSite, isolation: dict[str, Any], detected: datetime, tell: Tell) -> None:
    decisions = list(site.doctor.items("/v1/fence-decisions", host=VICTIM))
    authorised = next(one for one in decisions if one["decision"] == "authorise")
    vantages = sorted(
        {one["vantage"] for one in authorised["evidence"] if one["says"] == "dead" and one["vantage"]}
    )
    commanded = datetime.fromisoformat(isolation["commanded_time"])
    isolated = datetime.fromisoformat(isolation["isolated_time"])
    tell(
        f"  {' and '.join(vantages)} say that it is dead: its BMC was told to cut the power"
        f" after {_seconds(commanded - detected)}"
    )
    tell(f"  isolated after {_seconds(isolated - detected)}: {isolation['reason']}")


def _return(site: FencingSite, tell: Tell) -> bool:
    """Have the host given back, and see that nothing of the old starts there."""
    tell(f"{VICTIM} is given back")
    begun = time.monotonic()
    run_command(site.doctor, site.folder, tell, "fencing", "return", VICTIM, "--reason", "it was looked at")
    until(lambda: _isolation(site, "observed"), f"{VICTIM} to have its power back")
    until(lambda: site.storage.silent_for(VICTIM) < SILENT, f"{VICTIM} to live")
    tell(
        f"  it lives again after {time.monotonic() - begun:.1f} s, when no command of before could be on its way any more;"
        f" {MACHINE} stays on {site.storage.writers(MACHINE)[-1].host}"
    )
    return site.hosts[VICTIM].has_power


def _isolation(site: FencingSite, state: str) -> dict[str, Any]:
    found = site.doctor.get(f"/v1/isolations/{VICTIM}")["isolation"]
    return found if found is not None and found["state"] == state else {}


def _time(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.1f} s"
