"""The resource map at its full size: what a machine costs in memory, and what a look-up costs in time."""

from typing import Any

from doctor.cli.bench.processes import Helper
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage

ABOUT = "the resource map with 1,000,000 machines on 10,000 hosts"
SECONDS = 60
PATIENCE = 300.0


def measure(stage: Stage) -> Measured:
    """Make the map in processes of its own: from objects, and from the document that an operator loads."""
    hosts = stage.choose(10_000, 200)
    document = stage.place("map.json")
    stage.tell("  made from objects")
    made = _process(stage, "made", str(hosts))
    stage.tell("  written as a document")
    _process(stage, "written", str(hosts), str(document))
    stage.tell("  loaded from the document")
    loaded = _process(stage, "loaded", str(document))
    document.unlink()
    return Measured(
        figures=[
            Figure(
                name="map.bytes_per_machine",
                title="map, memory per machine",
                value=loaded["bytes"],
                unit="B",
                floor=made["bytes"],
            ),
            Figure(
                name="map.load",
                title="map, decoded and indexed",
                value=round(loaded["decode_s"] + loaded["index_s"], 2),
                unit="s",
            ),
            Figure(name="map.decode", title="map, decoded only", value=loaded["decode_s"], unit="s"),
            Figure(
                name="map.gc_pause",
                title="map, a full garbage collection",
                value=loaded["gc_pause_ms"],
                unit="ms",
            ),
            Figure(
                name="map.host",
                title="what a host with 100 machines affects",
                value=loaded["host_us"],
                unit="us",
            ),
            Figure(
                name="map.switch_4000",
                title="what a switch with 4,000 machines affects",
                value=loaded["switch_us"]["tor-4000"],
                unit="us",
            ),
            Figure(
                name="map.switch_12000",
                title="what a switch with 12,000 machines affects",
                value=loaded["switch_us"]["tor-12000"],
                unit="us",
            ),
            Figure(
                name="map.listed_us", title="machines on a host, listed", value=loaded["listed_us"], unit="us"
            ),
        ],
        counts={
            "machines": (hosts * 100, loaded["machines"]),
            "machines found": (loaded["to_find"], loaded["found"]),
        },
        rounds={"made": made, "loaded": loaded},
    )


def _process(stage: Stage, *words: str) -> dict[str, Any]:
    with Helper("map_process", words, stage.place("map.log"), patience=PATIENCE) as process:
        return process.started
