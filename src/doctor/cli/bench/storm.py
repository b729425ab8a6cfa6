"""The storm: one switch fails, and with it 40 hosts with 4,000 machines of 100 owners, who all have to be told."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from doctor.cli.bench.events import HOST_DOWN, SWITCH_DOWN, mark
from doctor.cli.bench.percentiles import spread
from doctor.cli.bench.processes import Doctor, Helper
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage, hosts_and_machines, loaded, put_map, subscribe
from doctor.kit.times import rfc3339

ABOUT = "a switch with 4,000 machines of 100 owners, and a host with 100 of 10"
SECONDS = 40
PATIENCE = 20.0  # seconds: what has not come by then counts as lost
SWITCH = "tor-1"


class Scene(NamedTuple):
    """What fails, and who is concerned."""

    name: str
    title: str
    hosts: int
    machines: int
    owners: int
    switch: str | None
    kind: str

    @property
    def root(self) -> str:
        """Return what fails."""
        return self.switch or "compute-0"

    @property
    def machines_each(self) -> int:
        """Return how many machines of each owner are concerned."""
        return (self.hosts if self.switch else 1) * self.machines // self.owners


class Round(NamedTuple):
    """One failure, or one return: when the first and the last owner knew, in nanoseconds since the POST."""

    first: int
    last: int
    answered: int
    told: int


class Played(NamedTuple):
    """All rounds on one server; each begins with the failure and ends with the return."""

    down: list[Round]
    up: list[Round]
    cpu_ms: float

    def as_json(self) -> dict[str, Any]:
        """Return the rounds for a program."""
        return {
            kind: {
                name: spread((getattr(one, name) for one in rounds), unit=1e6).as_json()
                for name in ("first", "last", "answered")
            }
            for kind, rounds in (("down_ms", self.down), ("up_ms", self.up))
        } | {"cpu_ms_per_round": self.cpu_ms}


def scenes(*, quick: bool) -> list[Scene]:
    """Return what to play."""
    if quick:
        return [Scene("switch", "switch with 40 machines of 5 owners", 4, 10, 5, SWITCH, SWITCH_DOWN)]
    return [
        Scene("switch", "switch with 4,000 machines of 100 owners", 40, 100, 100, SWITCH, SWITCH_DOWN),
        Scene("host", "host with 100 machines of 10 owners", 1, 100, 10, None, HOST_DOWN),
    ]


def measure(stage: Stage) -> Measured:
    """Play each scene on the floor and on a Doctor."""
    figures: list[Figure] = []
    counts: dict[str, tuple[int, int]] = {}
    rounds: dict[str, Any] = {}
    for scene in scenes(quick=stage.quick):
        stage.tell(f"  {scene.title}")
        floor, doctor = _on_floor(stage, scene), _on_doctor(stage, scene)
        figures += _figures(scene, floor, doctor)
        for name, played in (("", doctor), (" by the floor", floor)):
            every = [*played.down, *played.up]
            counts[f"{scene.name}: owners told{name}"] = (
                len(every) * scene.owners,
                sum(one.told for one in every),
            )
        rounds[scene.name] = {"doctor": doctor.as_json(), "floor": floor.as_json()}
    return Measured(figures=figures, counts=counts, rounds=rounds)


def _figures(scene: Scene, floor: Played, doctor: Played) -> list[Figure]:
    last, first = (
        spread((getattr(one, name) for one in doctor.down), unit=1e6) for name in ("last", "first")
    )
    back = spread((one.last for one in doctor.up), unit=1e6)
    least, least_first = (
        spread((getattr(one, name) for one in floor.down), unit=1e6) for name in ("last", "first")
    )
    return [
        Figure(
            name=f"storm.{scene.name}.{name}",
            title=f"{scene.title}: {title}",
            value=value,
            unit="ms",
            floor=beside,
        )
        for name, title, value, beside in (
            ("last_min", "all told, best", last.min, least.min),
            ("last_p50", "all told, median", last.p50, least.p50),
            ("last_p99", "all told, p99", last.p99, least.p99),
            ("first_p50", "first told, median", first.p50, least_first.p50),
            ("back_p50", "all told of the return, median", back.p50, None),
        )
    ]


def _on_floor(stage: Stage, scene: Scene) -> Played:
    with stage.receiver(scene.owners) as receiver:
        ports = receiver.started["ports"]
        with stage.floor(durable=True, consumers=ports, machines=scene.machines_each) as floor:
            return play(stage, scene, floor, receiver)


def _on_doctor(stage: Stage, scene: Scene) -> Played:
    owners = [f"owner-{number}" for number in range(scene.owners)]
    with stage.receiver(scene.owners) as receiver, stage.doctor() as doctor:
        put_map(doctor, hosts_and_machines(scene.hosts, scene.machines, owners, switch=scene.switch))
        subscribe(doctor, owners, receiver.started["ports"])
        return play(stage, scene, doctor, receiver)


def play(stage: Stage, scene: Scene, server: Doctor | Helper, receiver: Helper) -> Played:
    """Let the root of the scene fail and return, round after round."""
    rounds = stage.choose(20, 2)
    start = datetime.now(UTC)
    down, up = [], []
    cpu = 0.0
    with loaded(stage, server, connections=1) as load:
        for number in range(-2, rounds):  # the first two warm up
            time = rfc3339(start + timedelta(milliseconds=number))
            before = server.cpu_seconds
            failed = _round(scene, load.load, receiver, "down", time, mark("fault", time))
            back = _round(
                scene, load.load, receiver, "up", rfc3339(datetime.now(UTC)), mark("fault_cleared", time)
            )
            if number >= 0:
                cpu += server.cpu_seconds - before
                down.append(failed)
                up.append(back)
    return Played(down, up, round(1000 * cpu / rounds, 1))


def _round(scene: Scene, load: Helper, receiver: Helper, status: str, event_time: str, wanted: str) -> Round:
    answer = load.ask("one", kind=scene.kind, host=scene.root, status=status, event_time=event_time)
    came = receiver.ask("expect", count=scene.owners, seconds=PATIENCE)["told"]
    right = [one for one in came if one[2] == wanted and one[3] == scene.machines_each]
    whole = (
        {one[1] for one in right} if len(right) == len(came) and answer["statuses"] == {"202": 1} else set()
    )
    times = [when - answer["sent_ns"] for when, *_ in came] or [0]
    return Round(min(times), max(times), answer["answered_ns"] - answer["sent_ns"], len(whole))
