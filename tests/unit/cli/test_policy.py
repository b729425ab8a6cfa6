"""What `doctor policy` shows of versions, differences and dry-runs."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.policy_diff import Side, difference
from doctor.cli.policy_dry_run import summary
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor, problem

FIRING = {
    "happening": "raised",
    "rule": "down",
    "perceived_severity": "critical",
    "state": "down",
    "event_type": "equipment_alarm",
    "probable_cause": "x",
    "recommended_action": "none",
    "is_root_cause": True,
    "affected": {},
    "predicted_time": None,
}
FORESEEN = {**FIRING, "affected": {"normal": 2}, "predicted_time": "2026-03-04T09:00:00Z"}
CLEARED = {**FIRING, "happening": "cleared"}


def rule(name: str, seen: int = 0, fired: int = 0, raised: int = 0, cleared: int = 0) -> dict[str, Any]:
    return {"rule": name, "seen": seen, "fired": fired, "raised": raised, "cleared": cleared}


def zone(name: str, asked: int = 0) -> dict[str, Any]:
    return {"type": name, "asked": asked, "took_effect": 0, "over": 0}


def dry_run(**fields: Any) -> dict[str, Any]:
    """Return a dry-run in which nothing differs, but for the fields."""
    return {
        "since": "2026-03-03T05:06:07.000000Z",
        "until": "2026-03-04T05:06:07.000000Z",
        "events": 7,
        "duplicates": 0,
        "unreadable_batches": 0,
        "truncated": False,
        "counts": {"only_candidate": 0, "only_current": 0, "changed": 0},
        "differences": [],
        "never_fired": [],
        "always_fired": [],
        "current": {"version": 2, "rules": [], "zones": [], "ignored": 0, "still_open": 0},
        "candidate": {"version": None, "rules": [], "zones": [], "ignored": 0, "still_open": 0},
        "warnings": [],
        **fields,
    }


def differing(kind: str, current: Any, candidate: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "time": "2026-03-04T05:06:08.123456Z",
        "fault_type": "host down",
        "resource_id": "compute-1",
        "event_id": "e-1",
        "event_time": "2026-03-04T05:06:07.123456Z",
        "event": "compute.host.down",
        "current": current,
        "candidate": candidate,
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\n")
    return file


def test_versions_are_listed(run: Run, doctor: FakeDoctor) -> None:
    versions: list[dict[str, Any]] = [
        {
            "version": 2,
            "applied": "2026-03-04T05:06:07.123456Z",
            "user": "me",
            "description": "two\nlines",
            "size": 17,
            "restores": 0,
        },
        {"version": 0, "applied": None, "user": "shipped", "description": "", "size": 9, "restores": None},
    ]
    doctor.lists("/v1/failure-policies/versions", versions)
    assert [" ".join(line.split()) for line in run("policy", "list").stdout.splitlines()] == [
        "VERSION APPLIED USER RESTORES SIZE DESCRIPTION",
        "2 2026-03-04 05:06:07.123Z me 0 17 two lines",
        "0 - shipped - 9 -",
    ]
    assert json.loads(run("policy", "list", "--json").stdout)["items"] == versions


def test_types_that_no_rule_names_are_listed(run: Run, doctor: FakeDoctor) -> None:
    types = [{"type": "coffee.empty", "events": 12}, {"type": None, "events": 3}]
    doctor.lists("/v1/failure-policies/unnamed-types", types)
    assert [line.rstrip() for line in run("policy", "unnamed").stdout.splitlines()] == [
        "TYPE          EVENTS",
        "coffee.empty  12",
        "(all others)  3",
    ]
    assert json.loads(run("policy", "unnamed", "--json").stdout) == {"items": types, "next": None}


def test_an_old_version_is_shown(run: Run, doctor: FakeDoctor) -> None:
    old = {"version": 1, "applied": None, "user": "me", "text": "version: 1\n"}
    doctor.answers("GET", "/v1/failure-policies/versions/1", Answer(body=old))
    assert run("policy", "show", "--version", "1").stdout == "version: 1\n"


def test_a_rollback_tells_what_is_in_force_and_what_to_mind(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers(
        "POST", "/v1/failure-policies/rollback", Answer(body={"version": 4, "warnings": ["/faults: none"]})
    )
    assert run("policy", "rollback").stderr == "version 4 is in force\nwarning: /faults: none\n"
    assert doctor.last.json == {"version": None}
    run("policy", "rollback", "0")
    assert doctor.last.json == {"version": 0}


def test_a_policy_may_be_applied_on_the_condition_that_nobody_was_quicker(
    run: Run, doctor: FakeDoctor, file: Path
) -> None:
    doctor.answers("PUT", "/v1/failure-policies", problem(409, "version 5 is in force"))
    result = run("policy", "apply", str(file), "--expect", "4")
    assert doctor.last.query == {"expected_version": ["4"]}
    assert (result.exit_code, result.stderr) == (1, "Error: version 5 is in force\n")


# --- diff ---


def test_a_diff_is_a_unified_one(run: Run, doctor: FakeDoctor, file: Path) -> None:
    doctor.answers(
        "GET", "/v1/failure-policies", Answer(body={"version": 3, "text": "version: 1\nfaults: []\n"})
    )
    doctor.answers(
        "GET", "/v1/failure-policies/versions/1", Answer(body={"version": 1, "text": "version: 1\n"})
    )
    result = run("policy", "diff", str(file))
    assert result.exit_code == 1
    assert result.stdout == f"--- version 3 (in force)\n+++ {file}\n@@ -1,2 +1 @@\n version: 1\n-faults: []\n"
    result = run("policy", "diff", "1")
    assert (
        result.stdout == "--- version 1\n+++ version 3 (in force)\n@@ -1 +1,2 @@\n version: 1\n+faults: []\n"
    )
    result = run("policy", "diff", "1", str(file))
    assert (result.exit_code, result.stderr) == (0, f"version 1 and {file} are the same\n")
    result = run("policy", "diff", "1", "-", "--json", stdin="version: 1\n# \n")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["from"], found["to"], found["same"]) == (1, "version 1", "-", False)
    assert found["diff"].endswith("\n+# ")


def test_a_diff_does_nothing_to_a_terminal() -> None:
    lines = difference(Side("a", "x"), Side("b", "\x1b[2Jy\tz"))
    assert lines[-1] == "+\N{REPLACEMENT CHARACTER}[2Jy\tz"


def test_ends_of_lines_are_a_difference() -> None:
    assert difference(Side("a", "x\n"), Side("b", "x\r\n"))[-1] == "(only the ends of lines differ)"
    assert difference(Side("a", "x\n"), Side("b", "x\n")) == []


def test_a_terminal_gets_colours(
    run: Run,
    doctor: FakeDoctor,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from doctor.cli import policy_diff

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    policy_diff._print(["--- a", "+++ b", "@@ -1 +1 @@", "-x", "+[red]y"])
    shown = capsys.readouterr().out
    assert "\x1b[31m-x" in shown
    assert "+[red]y" in shown  # no markup


# --- dry-run ---


def test_a_dry_run_is_shown_as_tables_and_a_summary(run: Run, doctor: FakeDoctor, file: Path) -> None:
    done = dry_run(
        counts={"only_candidate": 1, "only_current": 1, "changed": 1},
        differences=[
            differing("changed", FIRING, {**FIRING, "perceived_severity": "minor"}),
            differing("only_current", CLEARED, None),
            differing("only_candidate", None, FORESEEN),
        ],
        current={
            "version": 2,
            "rules": [rule("down", 3, 2, 1, 1), rule("same", 1)],
            "zones": [zone("power", 1)],
        },
        candidate={
            "version": None,
            "rules": [rule("down", 3, 3, 1), rule("same", 1), rule("idle"), rule("many", raised=1)],
            "zones": [zone("power", 1), zone("rack", 2), zone("switch")],
        },
        never_fired=["same", "idle"],
        always_fired=["down"],
        warnings=["/propagate: there is none"],
    )
    doctor.answers("POST", "/v1/failure-policies/dry-run", Answer(body=done))
    result = run("policy", "dry-run", str(file))
    assert result.exit_code == 1
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "TIME DIFFERENCE RESOURCE FAULT IN FORCE NEW",
        "2026-03-04 05:06:08.123Z changed compute-1 host down raised critical, down by down raised minor, down by down",
        "2026-03-04 05:06:08.123Z only old compute-1 host down cleared, was by down -",
        "2026-03-04 05:06:08.123Z only new compute-1 host down - raised critical, down by down; also 2 normal; for 2026-03-04 09:00:00Z",
        "",
        "RULE POLICY SEEN FIRED RAISED CLEARED",
        "down in force 3 2 1 1",
        "down new 3 3 1 0",
        "same both 1 0 0 0",
        "many new 0 0 1 0",
        "",
        "ZONES POLICY ASKED TOOK EFFECT OVER",
        "power both 1 0 0",
        "rack new 2 0 0",
        "",
        "7 events since 2026-03-03 05:06:07.000Z until 2026-03-04 05:06:07.000Z",
        "never fired: same, idle",
        "fired at every event of their types: down",
        "warning: /propagate: there is none",
        "3 differences: 1 only new, 1 only old, 1 changed",
    ]
    assert doctor.last.body == b"version: 1\n"
    assert doctor.last.query == {}


def test_a_dry_run_without_a_difference_ends_with_0(run: Run, doctor: FakeDoctor, file: Path) -> None:
    doctor.answers("POST", "/v1/failure-policies/dry-run", Answer(body=dry_run()))
    result = run(
        "policy", "dry-run", "-", "--limit", "5", "--since", "2026-03-04T05:06:07", stdin="version: 1"
    )
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "both policies do the same")
    assert doctor.last.query == {"limit": ["5"], "since": ["2026-03-04T05:06:07.000000Z"]}
    result = run("policy", "dry-run", str(file), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, dry_run())


def test_what_is_missing_from_a_dry_run_is_said() -> None:
    lines = list(
        summary(
            dry_run(
                until=None,
                truncated=True,
                duplicates=2,
                unreadable_batches=1,
                differences=[differing("changed", FIRING, FIRING)],
                counts={"only_candidate": 0, "only_current": 0, "changed": 1001},
            )
        )
    )
    assert lines == [
        "7 events since 2026-03-03 05:06:07.000Z (2 repeats, 1 requests that cannot be read)",
        "not all of it: there are more events; go on with --since, or raise --limit",
        "1001 differences: 1001 changed, of which the first 1 are shown",
    ]


@pytest.mark.parametrize(
    ("since", "ago"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("5s", timedelta(seconds=5)),
        ("PT1H", timedelta(hours=1)),
        ("90", timedelta(seconds=90)),
    ],
)
def test_since_may_be_a_duration(
    run: Run, doctor: FakeDoctor, file: Path, since: str, ago: timedelta
) -> None:
    doctor.answers("POST", "/v1/failure-policies/dry-run", Answer(body=dry_run()))
    earliest = datetime.now(UTC) - ago
    run("policy", "dry-run", str(file), "--since", since)
    assert earliest <= datetime.fromisoformat(doctor.last.query["since"][0]) <= datetime.now(UTC) - ago


@pytest.mark.parametrize("since", ["soon", "7w", "", "-1d", "999999d", "٣d", "0000-01-01"])
def test_since_may_be_nothing_else(run: Run, doctor: FakeDoctor, file: Path, since: str) -> None:
    result = run("policy", "dry-run", str(file), f"--since={since}")
    assert (result.exit_code, doctor.asked) == (2, [])
