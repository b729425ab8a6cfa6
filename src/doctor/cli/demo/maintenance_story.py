"""The story of two hosts that are emptied in turns for work on them, with the consent of those whose machines run there.

One owner is asked and answers, and switches over before his active machine leaves; the other one has said beforehand what
may be done. Each host is worked on when it is empty, and given back. Who asked for it hears one answer.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from doctor.cli.chart import ASCII, UNICODE, Bar, draw
from doctor.cli.demo.guard import guarded_folder
from doctor.cli.demo.processes import Line, Talker
from doctor.cli.demo.site import (
    BUDGET,
    Tell,
    milliseconds,
    resource_map,
    run_command,
    running_doctor,
    tenant,
    time_of,
    until,
)
from doctor.cli.drawing import append_lines, duration
from doctor.cli.verify.mailbox import Mailbox, listener
from doctor.client.http import Client

if TYPE_CHECKING:
    from rich.text import Text

HOSTS = ("compute-1", "compute-2", "compute-3")
TURNS = HOSTS[:2]
ASKED, SAID = "red", "blue"
ROLES = {ASKED: {"red-act": "ACT", "red-stby": "STBY"}, SAID: {"blue-1": "ACT", "blue-2": "ACT"}}
PLACES = {"red-act": "compute-1", "red-stby": "compute-2", "blue-1": "compute-1", "blue-2": "compute-2"}
BEFOREHAND = {"blue-1": "live_migrate", "blue-2": "stop"}
OFF = "blue-2"  # during the work
OLD, NEW = "1.0", "1.1"  # of the firmware

Moment = tuple[datetime, str]


class Turn(NamedTuple):
    """One host: when it began to be emptied, was empty, and was given back, and when which machine was out of the way."""

    host: str
    began: datetime
    emptied: datetime
    ended: datetime
    changed: str
    out: Mapping[str, datetime]


class MaintenanceOutcome(NamedTuple):
    """What was seen. ``tries`` is how often which machine was told to leave."""

    turns: tuple[Turn, ...]
    begun_to_asked: tuple[timedelta, ...]
    switched_before_leaving: bool
    tries: dict[str, int]
    places: dict[str, str]
    started_again: bool
    heard_of_others: int
    answers: tuple[str, ...]
    enabled: bool

    @property
    def is_good(self) -> bool:
        """Tell whether the promise was kept: asked in time, no machine moved twice, all serve again, and one answer."""
        return (
            max(self.begun_to_asked) < BUDGET
            and self.switched_before_leaving
            and self.tries == dict.fromkeys(PLACES, 1)
            and self.places[OFF] == PLACES[OFF]
            and all(self.places[name] != PLACES[name] for name in PLACES if name != OFF)
            and self.places["red-act"] != self.places["red-stby"]
            and self.started_again
            and self.heard_of_others == 0
            and [one.changed for one in self.turns] == [f"firmware {OLD} -> {NEW}"] * len(TURNS)
            and self.answers == ("done",)
            and self.enabled
        )

    @property
    def verdict(self) -> str:
        """Say what was promised, and how it was kept, if it was."""
        if not self.is_good:
            return f"The promise was BROKEN: {self.as_json()}"
        return (
            f"The promise was kept: the owner was asked {milliseconds(max(self.begun_to_asked)):.1f} ms after a host's turn had"
            f" come, at the latest; {ASKED} switched over first, no machine moved twice, {' and '.join(TURNS)} were worked on and"
            " serve again; who asked for it had one answer."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a program."""
        return {
            "begun_to_asked_ms": [milliseconds(one) for one in self.begun_to_asked],
            "emptied_ms": {one.host: milliseconds(one.emptied - one.began) for one in self.turns},
            "switched_before_leaving": self.switched_before_leaving,
            "tries": self.tries,
            "places": self.places,
            "started_again": self.started_again,
            "heard_of_others": self.heard_of_others,
            "update_status": {one.host: one.changed for one in self.turns},
            "answers": list(self.answers),
            "enabled": self.enabled,
        }

    def drawing(self, width: int, *, unicode: bool) -> "Text":
        """Draw when each host was emptied and worked on, and when its machines left."""
        from rich.text import Text

        drawing = Text("Hosts in turns\n", "bold")
        append_lines(drawing, draw(list(self._bars()), min(width, 100), UNICODE if unicode else ASCII))
        drawing.rstrip()
        return drawing

    def _bars(self) -> Iterator[Bar]:
        for one in self.turns:
            began, emptied, ended = (moment.timestamp() for moment in (one.began, one.emptied, one.ended))
            yield Bar(f"{one.host} emptied", began, emptied, duration(one.emptied - one.began), "yellow")
            for machine, out in sorted(one.out.items(), key=lambda pair: pair[1]):
                yield Bar(f"  {machine}", out.timestamp(), out.timestamp(), "", "bold", "mark")
            yield Bar(f"{one.host} worked on", emptied, ended, duration(one.ended - one.emptied), "green")


def play(tell: Tell) -> MaintenanceOutcome:
    """Play the story once, and clean up after it.

    Raises:
        DemoError: something that should have happened did not.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(guarded_folder("doctor-demo-"))
        client = stack.enter_context(running_doctor(folder))
        tell(f"Doctor listens on {client.url}; it knows the hosts {', '.join(HOSTS)}, with firmware {OLD}")
        client.put("/v1/resource-map", _map())
        tenants = {
            project: stack.enter_context(tenant(client, project, ROLES[project], folder))
            for project in (ASKED, SAID)
        }
        named = ", ".join(f"{name} ({ROLES[ASKED][name]}) on {PLACES[name]}" for name in ROLES[ASKED])
        tell(f"tenant {ASKED}: {named}; its VNF manager answers when it is asked")
        for name, action in BEFOREHAND.items():
            client.put(f"/v1/maintenance-policies/machine:{name}?project={SAID}", {"action": action})
        named = ", ".join(f"{name} on {PLACES[name]} ({action})" for name, action in BEFOREHAND.items())
        tell(f"tenant {SAID}: {named}; it has said beforehand what may be done")
        office = Mailbox()
        url = stack.enter_context(listener(office))
        return _Story(client, folder, tenants, office, tell).play(url)


def _map() -> dict[str, Any]:
    addresses = {name: f"192.0.2.{number}" for number, name in enumerate(HOSTS, 1)}  # nobody's [RFC 5737]
    document = resource_map(addresses, ROLES, PLACES)
    for host in document["physical_resources"]:
        host["firmware_version"] = OLD
    for machine in document["virtual_resources"]:
        machine["constraints"] = {"anti_affinity": machine["owner"] == ASKED}
    return document


class _Story:
    def __init__(
        self, client: Client, folder: Path, tenants: Mapping[str, Talker], office: Mailbox, tell: Tell
    ) -> None:
        self._client = client
        self._folder = folder
        self._tenants = tenants
        self._office = office
        self._tell = tell
        self._session = ""
        self._zero = datetime.now(UTC)

    def play(self, reply_to: str) -> MaintenanceOutcome:
        self._tell("")
        self._run("maintenance", "plan", *TURNS, "--at-once", "1")
        asked = ("--at-once", "1", "--reason", f"firmware {NEW}", "--timeout", "60s")
        self._run("maintenance", "request", *TURNS, *asked, "--reply-to", reply_to)
        session = next(self._client.items("/v1/maintenance"))
        self._session, self._zero = session["session_id"], _time(session["created"])
        turns = tuple(self._turn(host) for host in TURNS)
        until(lambda: self._office.messages, "the answer")
        until(self._started_again, f"{OFF} to be started again")
        self._tell(f"  {OFF} is started again")
        answer = self._office.messages[0][1]
        self._tell(f"who asked for it has the answer: {answer['result']}")
        return self._outcome(turns)

    def _turn(self, host: str) -> Turn:
        """See a host emptied, work on it, and give it back."""
        empty = until(lambda: self._work(host, "empty"), f"{host} to be empty")
        leavers = [one for one in PLACES if PLACES[one] == host]
        out = {name: self._left(name, host) for name in leavers}
        told = [*sorted(self._told_of(host, empty, out))]
        told.append(
            (max(_time(empty["emptied"]), told[-1][0]), f"{host} is in maintenance: nobody is in the way")
        )
        for moment, text in told:
            self._tell(f"  {(moment - self._zero).total_seconds():5.2f} s  {text}")
        self._tell(f"{host} is worked on: it gets firmware {NEW}")
        document = self._client.get("/v1/resource-map")
        for one in document["physical_resources"]:
            if one["id"] == host:
                one["firmware_version"] = NEW
        self._client.put("/v1/resource-map", document)
        self._run("maintenance", "return", host)
        back = until(lambda: self._work(host, "returned"), f"{host} to be given back")
        self._tell(f"  {back['update_status']}; it takes machines again")
        return Turn(
            host,
            _time(empty["began"]),
            _time(empty["emptied"]),
            _time(back["ended"]),
            back["update_status"],
            out,
        )

    def _told_of(self, host: str, empty: Mapping[str, Any], out: Mapping[str, datetime]) -> Iterator[Moment]:
        """Tell what happened to a host, each with its moment."""
        yield _time(empty["began"]), f"{host} is going to maintenance; it takes no new machines"
        places = self._places()
        for project, talker in self._tenants.items():
            mine = [name for name in out if name in ROLES[project]]
            for line in _lines_of(talker, mine, "received", "planned"):
                word = "is asked" if project == ASKED else "is told"
                yield time_of(line, "received_time"), f"{project} {word}: {', '.join(mine)}"
            for line in _lines_of(talker, mine, "replied", "planned"):
                yield time_of(line, "replied_time"), f"{project} agrees"
            for line in _lines_of(talker, mine, "switched_over", "planned"):
                yield time_of(line, "switched_time"), f"{project} has switched over to {line['active']}"
        for name, moment in out.items():
            where = f"runs on {places[name]}" if places[name] != host else f"is off, and stays on {host}"
            yield moment, f"{name} {where}"

    def _outcome(self, turns: tuple[Turn, ...]) -> MaintenanceOutcome:
        machines = self._status()["machines"]
        asked, switched = [], []
        for one in turns:
            mine = [name for name in one.out if name in ROLES[ASKED]]
            talker = self._tenants[ASKED]
            (received,) = _lines_of(talker, mine, "received", "planned")
            (over,) = _lines_of(talker, mine, "switched_over", "planned")
            asked.append(time_of(received, "received_time") - one.began)
            switched.append(time_of(over, "switched_time") < one.out[mine[0]])
        return MaintenanceOutcome(
            turns=turns,
            begun_to_asked=tuple(asked),
            switched_before_leaving=all(switched),
            tries=dict(Counter(one["virtual_resource_id"] for one in machines for _ in one["instructions"])),
            places=self._places(),
            started_again=self._started_again(),
            heard_of_others=sum(
                not set(line["resources"]) <= ROLES[project].keys()
                for project, talker in self._tenants.items()
                for line in talker.lines
                if line["what"] == "received"
            ),
            answers=tuple(body["result"] for _, body in self._office.messages),
            enabled=not self._in_maintenance(),
        )

    # --- what is read ---

    def _run(self, *words: str) -> None:
        run_command(self._client, self._folder, self._tell, *words)

    def _status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(f"/v1/maintenance/{self._session}")
        return found

    def _work(self, host: str, stage: str) -> dict[str, Any]:
        works = self._status()["hosts"]
        return next(
            (one for one in works if (one["physical_resource_id"], one["stage"]) == (host, stage)), {}
        )

    def _left(self, machine: str, host: str) -> datetime:
        """Return when the instruction by which a machine was out of the way had ended."""
        found = next(one for one in self._status()["machines"] if one["virtual_resource_id"] == machine)
        done = self._client.get(f"/v1/instructions/{found['instructions'][-1]}")
        return _time(done["ended"])

    def _places(self) -> dict[str, str]:
        found = self._client.items("/v1/virtual-resources")
        return {one["virtual_resource_id"]: one["location"]["physical_resource_id"] for one in found}

    def _started_again(self) -> bool:
        """Tell whether what was shut down for the work has been started after it."""
        done = self._client.items("/v1/instructions", action=["stop", "start"], state="over")
        return [(one["action"], one["acknowledged"]) for one in done] == [("start", True), ("stop", True)]

    def _in_maintenance(self) -> list[str]:
        hosts = self._client.items("/v1/physical-resources")
        return [one["physical_resource_id"] for one in hosts if one["physical_resource_state"] != "normal"]


def _lines_of(talker: Talker, machines: list[str], what: str, phase: str) -> list[Line]:
    """Return what a VNF manager has written of a phase of the maintenance of machines."""
    return [
        line
        for line in talker.lines
        if line["what"] == what and line["phase"] == phase and set(line["resources"]) & set(machines)
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
