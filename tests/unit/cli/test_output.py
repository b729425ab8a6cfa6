"""Tables, on terminals and elsewhere."""

import io
import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from rich.console import Console

from doctor.cli import output
from doctor.cli.output import (
    Column,
    Item,
    age,
    clean,
    moment,
    plain_table,
    print_items,
    print_one,
    rich_table,
    speaks_unicode,
    too_wide,
)
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor

ROWS = [["critical", "a very long name of a resource", "id-1"], ["cleared", "b", "id-2"]]
NAMES = ["severity", "resource", "id"]

ITEMS: list[Item] = [
    {"zone_id": "az1", "state": "normal", "hosts": {"up": 2, "all": 3}},
    {"zone_id": "az2", "hosts": {"up": 0, "all": 1}},
]
COLUMNS: tuple[Column, ...] = (
    ("zone", "zone_id"),
    "state",
    ("hosts", lambda one: one["hosts"]["up"]),
    ("hosts", lambda one: one["hosts"]["all"]),
)


def drawn(width: int, *, colours: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=colours, color_system="standard" if colours else None
    )
    console.print(rich_table(NAMES, ROWS, keep=("severity", "id")))
    return stream.getvalue()


def test_elsewhere_a_table_is_plain() -> None:
    assert plain_table(NAMES, ROWS) == [
        "SEVERITY  RESOURCE                        ID",
        "critical  a very long name of a resource  id-1",
        "cleared   b                               id-2",
    ]


def test_on_a_terminal_long_cells_are_folded_and_ids_are_whole() -> None:
    lines = drawn(32).splitlines()
    assert all(len(line) <= 32 for line in lines)
    assert "id-1" in lines[1]
    assert len(lines) > 3


def test_on_a_terminal_there_are_colours() -> None:
    assert "\x1b[1;31mcritical" in drawn(80, colours=True)
    assert "\x1b[32mcleared" in drawn(80, colours=True)


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(80, []), (46, []), (45, ["id"]), (40, ["id"]), (39, ["id", "resource"]), (1, ["id", "resource"])],
)
def test_where_it_is_narrow_spare_columns_go_first(width: int, left_out: list[str]) -> None:
    assert too_wide(NAMES, ROWS, ("id", "nothing", "resource"), width) == left_out


def test_items_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_items(ITEMS, False, columns=COLUMNS, none="no zones")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "ZONE  STATE   HOSTS  HOSTS",
        "az1   normal  2      3",
        "az2   -       0      1",
    ]
    assert printed.err == ""


@pytest.mark.parametrize("items", [ITEMS, []], ids=["some", "none"])
def test_items_are_json_for_programs(items: list[Item], capsys: pytest.CaptureFixture[str]) -> None:
    print_items(items, True, columns=COLUMNS, none="no zones")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"items": items, "next": None}
    assert printed.err == ""


def test_that_there_are_no_items_is_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    print_items([], False, columns=COLUMNS, none="no zones")
    assert capsys.readouterr() == ("", "no zones\n")


def test_where_there_are_always_items_a_table_without_any_has_its_head(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_items([], False, columns=COLUMNS)
    assert capsys.readouterr() == ("ZONE  STATE  HOSTS  HOSTS\n", "")


def test_items_on_a_terminal_keep_ids_and_spare_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        output, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True), stderr=sys.stderr)
    )
    monkeypatch.setenv("COLUMNS", "14")
    items = [{"note": "some words", "name": "a-b c-d", "size": 1}]
    print_items(items, False, columns=("note", "name", "size"), keep=("name",), spare=("size",))
    printed = capsys.readouterr()
    assert "a-b c-d" in printed.out
    assert "some words" not in printed.out
    assert printed.err == "(size left out: the terminal is narrow; --json has all)\n"


def test_one_thing_is_pairs_for_people_and_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    print_one(ITEMS[0], False)
    assert capsys.readouterr().out.splitlines() == [
        "zone_id  az1",
        "state    normal",
        "hosts",
        "  up   2",
        "  all  3",
    ]
    print_one(ITEMS[0], True)
    assert json.loads(capsys.readouterr().out) == ITEMS[0]


def test_a_table_on_a_terminal(run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = {"perceived_severity": "critical", "alarm_id": "i" * 70, "resource_id": "vm-1", "fault_type": "x"}
    doctor.lists("/v1/alarms", [alarm])
    monkeypatch.setattr(
        output, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True), stderr=sys.stderr)
    )
    monkeypatch.setenv("COLUMNS", "80")
    result = run("alarm", "list")
    assert "vm-1" in result.stdout
    assert result.stderr == "(alarm_id left out: the terminal is narrow; --json has all)\n"


def test_alarms_are_watched_on_a_terminal_only(
    run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("alarm", "list", "--watch").exit_code == 2
    monkeypatch.setattr("doctor.cli.alarm.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr("doctor.cli.alarm.WATCH_SECONDS", 0.0)
    doctor.answers(
        "GET",
        "/v1/alarms",
        Answer(body={"items": [{"alarm_id": "a1"}], "next": None}),
        Answer(500, {"detail": "end"}),
    )
    result = run("alarm", "list", "--watch")
    assert "a1" in result.stdout
    assert (result.exit_code, result.stderr) == (1, "Error: end\n")


def test_watching_ends_with_ctrl_c(run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("doctor.cli.alarm.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr("doctor.cli.alarm.time.sleep", interrupt)
    doctor.lists("/v1/alarms", [])
    assert run("alarm", "list", "--watch").exit_code == 130


def test_progress_is_shown_on_a_terminal(
    run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor.answers(
        "PUT",
        "/v1/resource-map",
        Answer(body={"version": 1, "physical_resources": 0, "virtual_resources": 0, "relations": 0}),
    )
    stdin = SimpleNamespace(buffer=io.BytesIO(b"{}"))
    monkeypatch.setattr(
        "doctor.cli.resource.sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True), stdin=stdin)
    )
    assert run("resource", "load", "-").exit_code == 0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (["a", None], "a, -"),
        ({"a": "ü"}, '{"a": "ü"}'),
        ("a\x1b]0;b\x07\n\u202e", "a\N{REPLACEMENT CHARACTER}]0;b" + 3 * "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_values_do_nothing_to_a_terminal(value: object, written: str) -> None:
    assert clean(value) == written


@pytest.mark.parametrize(
    ("time", "written"),
    [
        ("2026-03-04T05:06:08Z", "0s"),
        ("2026-03-04T05:06:07.9Z", "0s"),
        ("2026-03-04T05:05:07", "60s"),
        ("2026-03-04T05:04:07+00:00", "2m"),
        ("2026-03-04T02:30:07Z", "2h"),
        ("2026-03-01T05:06:07Z", "3d"),
        (None, "-"),
        ("soon", "-"),
    ],
)
def test_ages_are_short(time: str | None, written: str) -> None:
    assert age(time, datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)) == written
    assert age("2020-01-01T00:00:00Z").endswith("d")


@pytest.mark.parametrize(
    ("time", "written"),
    [
        ("2026-03-04T05:06:07.123456Z", "2026-03-04 05:06:07.123Z"),
        ("2026-03-04T05:06:07Z", "2026-03-04 05:06:07Z"),
        (None, "-"),
    ],
)
def test_moments_are_to_the_millisecond(time: str | None, written: str) -> None:
    assert moment(time) == written


@pytest.mark.parametrize(
    ("encoding", "speaks"),
    [("utf-8", True), ("UTF8", True), ("ascii", False), ("latin-1", False), (None, False)],
)
def test_what_a_stream_can_show(encoding: str | None, speaks: bool) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding) if encoding else io.BytesIO()
    assert speaks_unicode(stream) is speaks


def test_a_table_without_rows_has_its_names() -> None:
    assert too_wide(NAMES, [], ["resource"], 80) == []
    assert too_wide(NAMES, [], ["resource"], 10) == ["resource"]
    assert plain_table(NAMES, []) == ["SEVERITY  RESOURCE  ID"]
