import os

import pytest

from tests import skip_policy

NEEDS_A_ROCKET = """
    import pytest

    @pytest.mark.needs("moon")
    def test_lands(): pass

    def test_stays_at_home(): pass
"""
ASKS_TO_BE_SKIPPED = """
    import pytest

    def test_lands(): pytest.skip("no wish to fly")
"""
FILE_ASKS_TO_BE_SKIPPED = """
    import pytest

    pytest.importorskip("no_such_rocket", reason="no rocket")

    def test_lands(): pass
"""
FAILS_AS_EXPECTED = """
    import pytest

    @pytest.mark.xfail(reason="gravity")
    def test_lands(): assert False
"""
PASSES_UNEXPECTEDLY = """
    import pytest

    @pytest.mark.xfail(reason="gravity")
    def test_lands(): pass
"""
MISTYPED_NEED = """
    import pytest

    @pytest.mark.needs("mooon")
    def test_lands(): pass
"""


class Rocket:
    """What a probe finds: nothing missing, unless a test says so."""

    missing: str | None = None


@pytest.fixture
def rocket(monkeypatch: pytest.MonkeyPatch) -> Rocket:
    rocket = Rocket()
    monkeypatch.setitem(skip_policy.PROBES, "moon", lambda: rocket.missing)
    return rocket


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    """Run tests under the policy, with a pytest inside this one."""
    pytester.makeini("[pytest]\nxfail_strict = true\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(tests)
    return pytester.runpytest_inprocess("-p", "tests.skip_policy", "-p", "no:randomly")


@pytest.mark.parametrize(
    ("ci", "missing", "tests", "outcome"),
    [
        pytest.param("", None, NEEDS_A_ROCKET, {"passed": 2}, id="able"),
        pytest.param("", "no rocket", NEEDS_A_ROCKET, {"passed": 1, "skipped": 1}, id="unable"),
        pytest.param("true", None, NEEDS_A_ROCKET, {"passed": 2}, id="able-in-ci"),
        pytest.param("true", "no rocket", NEEDS_A_ROCKET, {"passed": 1, "errors": 1}, id="unable-in-ci"),
        pytest.param(
            "true",
            "impossible here: no moon",
            NEEDS_A_ROCKET,
            {"passed": 1, "skipped": 1},
            id="never-able-in-ci",
        ),
        pytest.param("", None, ASKS_TO_BE_SKIPPED, {"skipped": 1}, id="skips-itself"),
        pytest.param("true", None, ASKS_TO_BE_SKIPPED, {"failed": 1}, id="skips-itself-in-ci"),
        pytest.param("", None, FILE_ASKS_TO_BE_SKIPPED, {"skipped": 1}, id="file-skips-itself"),
        pytest.param("true", None, FILE_ASKS_TO_BE_SKIPPED, {"errors": 1}, id="file-skips-itself-in-ci"),
        pytest.param("true", None, FAILS_AS_EXPECTED, {"xfailed": 1}, id="expected-failure-in-ci"),
        pytest.param("", None, PASSES_UNEXPECTEDLY, {"failed": 1}, id="unexpected-success"),
        pytest.param("", None, MISTYPED_NEED, {"errors": 1}, id="unknown-ability"),
    ],
)
def test_a_skip_is_excused_or_fails(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    rocket: Rocket,
    ci: str,
    missing: str | None,
    tests: str,
    outcome: dict[str, int],
) -> None:
    monkeypatch.setenv("CI", ci)
    rocket.missing = missing
    run(pytester, tests).assert_outcomes(**outcome)


def test_what_was_not_run_is_listed_by_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, rocket: Rocket
) -> None:
    monkeypatch.delenv("CI", raising=False)
    rocket.missing = "no rocket; build one"
    result = run(pytester, NEEDS_A_ROCKET)
    result.stdout.fnmatch_lines(
        ["*NOT RUN HERE*", "no rocket; build one", "    *::test_lands", "*1 passed, 1 skipped*"]
    )


def test_an_expected_failure_is_listed(pytester: pytest.Pytester) -> None:
    result = run(pytester, FAILS_AS_EXPECTED)
    result.stdout.fnmatch_lines(["*NOT RUN HERE*", "expected to fail: gravity", "    *::test_lands"])


def test_a_run_without_gaps_lists_nothing(pytester: pytest.Pytester, rocket: Rocket) -> None:
    run(pytester, NEEDS_A_ROCKET).stdout.no_fnmatch_line("*NOT RUN HERE*")


@pytest.mark.parametrize("ability", ["root", "netns", "raw_icmp"])
def test_a_probe_gives_an_answer_a_person_can_use(ability: str) -> None:
    answer = skip_policy.PROBES[ability]()
    assert answer is None or len(answer) > 10
    if os.geteuid() == 0 and answer is not None:
        assert "run the tests as root" not in answer
