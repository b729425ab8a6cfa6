"""RAID, disks, temperatures and memory: from real output, and from folders made like those of the kernel."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.agent import disks
from doctor.agent.conditions import CONDITIONS, MOST, Conditions, of_host
from doctor.agent.disks import Disks, health_of_nvme, health_of_smartctl
from doctor.agent.raid import Array, Raid, parse
from doctor.agent.sensors import Sensors
from tests.unit.agent.reports import Said

SAMPLES = Path(__file__).parents[2] / "samples" / "host"


@pytest.fixture
def said() -> Said:
    return Said()


def mdstats() -> dict[str, str]:
    parts = (SAMPLES / "mdstat_and_detail_degraded.txt").read_text().split("--- ")[1:]
    return {part.split(maxsplit=1)[0].rstrip(":"): part.partition("\n")[2] for part in parts}


def test_a_real_raid_fails_and_is_rebuilt(said: Said, tmp_path: Path) -> None:
    file, found = tmp_path / "mdstat", mdstats()
    raid = Raid(said.states, file)
    steps = [
        ("healthy", ["up"]),
        ("healthy", []),
        ("degraded", ["down"]),
        ("degraded", []),
        ("rebuilt", ["up"]),
    ]
    for step, statuses in steps:
        file.write_text(found[step])
        raid.look()
        if step == "degraded" and statuses:
            assert said.reports[0].details["failed_disks"] == ["loop2"]
            assert said.reports[0].details["cause"] == "1 of 2 disks, failed: loop2"
        assert said.take() == [("compute.disk.crash", "c1:md0", status) for status in statuses]
    file.write_text("Personalities : [raid1]\nunused devices: <none>\n")
    raid.look()
    assert said.take() == [("compute.disk.crash", "c1:md0", "down")]


def test_other_forms_of_mdstat() -> None:
    text = """Personalities : [raid6] [raid5] [raid4]
md127 : active (auto-read-only) raid6 sdd1[3] sdc1[2] sdb1[1] sda1[0](F)
      3906764800 blocks super 1.2 level 6, 512k chunk, algorithm 2 [4/3] [_UUU]
      [==>..................]  recovery = 12.6% (246/1953) finish=127.5min speed=33440K/sec
      bitmap: 0/15 pages [0KB], 65536KB chunk

md1 : inactive sde1[0](S)
      1048576 blocks super 1.2
"""
    first, second = parse(text)
    assert first == Array("md127", "active", 4, 3, ("sda1",), "recovery 12.6 %")
    assert first.trouble == "3 of 4 disks, failed: sda1, recovery 12.6 %"
    assert second.trouble == "the array is inactive"


@given(st.text(max_size=300))
def test_no_mdstat_breaks_the_reader(text: str) -> None:
    list(parse(text))
    list(parse("md0 : active raid1 " + text))


def smart(name: str) -> dict[str, object]:
    read: dict[str, object] = json.loads((SAMPLES / name).read_text())
    return read


def test_a_real_disk_that_says_that_it_is_failing() -> None:
    healthy = health_of_smartctl(smart("smartctl_nvme_healthy.json"), 0)
    failing = health_of_smartctl(smart("smartctl_nvme_failing.json"), 8)
    assert healthy is not None and failing is not None
    assert (healthy.aging, healthy.failed) == (None, None)
    assert failing.aging == "it says that it is failing: reliability degraded"
    assert failing.failed is None
    assert healthy.conditions["temperature"] == 50
    assert failing.conditions["critical_warning"] == 4


def test_nvme_says_the_same() -> None:
    healthy = health_of_nvme(smart("nvme_smart_log.json"))
    assert healthy is not None
    assert (healthy.aging, healthy.conditions["temperature"], healthy.conditions["media_errors"]) == (
        None,
        50,
        0,
    )
    failing = health_of_nvme({**smart("nvme_smart_log.json"), "critical_warning": "12"})
    assert failing is not None
    assert failing.aging == "it warns: reliability degraded, media read only"
    assert failing.failed == "the medium has become read-only"
    assert health_of_nvme({}) is None


def test_an_ata_disk_counts_its_bad_sectors() -> None:
    table = [
        {"id": 5, "raw": {"value": 7}},
        {"id": 9, "raw": {"value": 1}},
        {"id": 197, "raw": "?"},
        "nonsense",
    ]
    document = {"smart_status": {"passed": True}, "ata_smart_attributes": {"table": table}}
    health = health_of_smartctl(document, 16)
    assert health is not None
    assert health.conditions == {"reallocated_sectors": 7}
    assert health.aging == "an attribute that foretells failure has passed its threshold"


@pytest.mark.parametrize("status", [1, 2, 3])
def test_a_disk_that_cannot_be_asked_says_nothing(status: int) -> None:
    assert health_of_smartctl({"smart_status": {"passed": False}}, status) is None
    assert health_of_smartctl({"smart_status": "?"}, 0) is None


def program(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text("#!/bin/sh\n" + text)
    file.chmod(0o755)


def test_disks_are_asked_by_the_program(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    scan = '{"devices": [{"name": "/dev/nvme0"}, {"name": "/dev/vda"}]}'
    program(
        tmp_path,
        "smartctl",
        f"""case "$*" in
        --scan*) echo '{scan}' ;;
        *nvme0*) cat {SAMPLES}/smartctl_nvme_$(cat {tmp_path}/state).json; [ $(cat {tmp_path}/state) = healthy ] || exit 8 ;;
        *) echo '{{}}'; exit 1 ;;
        esac""",
    )
    looked = Disks(said.states)
    for state, told in (
        ("healthy", ["up", "up"]),
        ("failing", ["down"]),
        ("failing", []),
        ("healthy", ["up"]),
    ):
        (tmp_path / "state").write_text(state)
        looked.look()
        assert [status for _, _, status in said.take()] == told
    assert looked.conditions["disk_nvme0_temperature"] == 50


def test_disks_are_asked_by_the_other_program(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    listed = '{"Devices": [{"DevicePath": "/dev/nvme0n1"}]}'
    program(
        tmp_path,
        "nvme",
        f"""case "$1" in
        list) echo '{listed}' ;;
        *) read -r line < {tmp_path}/log; echo "$line" ;;
        esac""",
    )
    (tmp_path / "log").write_text(json.dumps(smart("nvme_smart_log.json")) + "\n")
    Disks(said.states).look()
    assert said.take() == [
        ("compute.disk.aging", "c1:nvme0n1", "up"),
        ("compute.disk.crash", "c1:nvme0n1", "up"),
    ]


def test_a_program_that_is_missing_or_mad_is_an_error(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="neither smartctl"):
        Disks(said.states).look()
    program(tmp_path, "smartctl", "echo this is no JSON")
    with pytest.raises(ValueError, match="wrote no JSON"):
        Disks(said.states, ["/dev/sda"]).look()
    monkeypatch.setattr(disks, "WITHIN", 0.1)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "smartctl", "exec sleep 5")
    with pytest.raises(ValueError, match="did not answer"):
        Disks(said.states, ["/dev/sda"]).look()
    assert said.take() == []


class Sys:
    """Folders like those of the kernel."""

    def __init__(self, folder: Path) -> None:
        self.hwmon, self.edac = folder / "hwmon", folder / "mc"

    def write(self, file: str, value: object) -> None:
        path = self.hwmon.parent / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def test_a_host_that_is_too_hot(said: Said, tmp_path: Path) -> None:
    made = Sys(tmp_path)
    made.write("hwmon/hwmon0/name", "coretemp")
    made.write("hwmon/hwmon0/temp1_label", "Package id 0")
    made.write("hwmon/hwmon0/temp1_crit", 100_000)
    made.write("hwmon/hwmon1/temp1_input", 50_000)  # it names no limit
    made.write("hwmon/hwmon2/temp1_input", "nonsense")
    made.write("hwmon/hwmon3/temp1_input", 60_000)
    made.write("hwmon/hwmon3/temp1_max", 65_261_850)  # as some NVMe say
    sensors = Sensors(said.states, made.hwmon, made.edac)
    told = []
    for celsius in (60, 99, 100, 103, 96, 95, 94, 97):
        made.write("hwmon/hwmon0/temp1_input", celsius * 1000)
        sensors.look()
        told += [(celsius, part, status) for _, part, status in said.take()]
    part = "c1:coretemp-Package-id-0"
    assert told == [(60, part, "up"), (100, part, "down"), (94, part, "up")]
    assert sensors.conditions["temperature_hwmon1-temp1"] == 50.0


def test_memory_that_can_correct_itself_no_more(said: Said, tmp_path: Path) -> None:
    made = Sys(tmp_path)
    sensors = Sensors(said.states, made.hwmon, made.edac)
    for corrected, uncorrected, told in ((5, 0, []), (900, 0, []), (900, 2, ["down"]), (901, 2, [])):
        made.write("mc/mc0/ce_count", corrected)
        made.write("mc/mc0/ue_count", uncorrected)
        sensors.look()
        assert [status for _, _, status in said.take()] == told
    assert sensors.conditions == {"memory_mc0_corrected": 901.0, "memory_mc0_uncorrected": 2.0}


@pytest.mark.requirement("G10")
def test_conditions_are_numbers_of_all_sources_and_bounded(said: Said) -> None:
    many = {f"disk_{number}": float(number) for number in range(200)}
    Conditions(said.reporter, said.reports.append, [lambda: {"temperature_x": 41.5}, lambda: many]).look()
    (report,) = said.reports
    assert report.type == CONDITIONS
    assert report.details["temperature_x"] == 41.5
    assert report.details["memory_total_kb"] > 0
    assert len(report.details) < MOST + 10


def test_the_host_itself_is_measured() -> None:
    found = of_host()
    assert 0 < found["memory_available_kb"] <= found["memory_total_kb"]
    assert found["uptime_s"] > 0
