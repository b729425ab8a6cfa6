"""Settings are checked before anything starts; what is wrong is named by its path."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.app.settings import Settings, load_settings, parse_settings, split_address
from doctor.model.errors import RejectedError


def test_everything_is_optional() -> None:
    """An empty file, and no file, are the settings as they ship."""
    assert parse_settings({}) == load_settings(None) == Settings()


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        pytest.param({"lisen": "127.0.0.1:1"}, "", "unknown field `lisen`", id="a-misspelt-name"),
        pytest.param(
            {"listen": "10.0.0.1:80"}, "listen", "tls.certificate", id="open-to-the-network-without-tls"
        ),
        pytest.param({"listen": "localhost"}, "listen", "127.0.0.1:12345", id="an-address-without-a-port"),
        pytest.param({"listen": "::1:65536"}, "listen", "no address and port", id="a-port-beyond-all-ports"),
        pytest.param({"listen": "doctor.example:80"}, "listen", "no IP address", id="a-name-to-listen-on"),
        pytest.param({"public_url": "doctor.example"}, "public_url", "https://", id="a-url-without-a-scheme"),
        pytest.param({"public_url": "https://a/?b"}, "public_url", "https://", id="a-url-with-a-query"),
        pytest.param({"public_url": "https://[a"}, "public_url", "https://", id="a-url-that-is-none"),
        pytest.param(
            {"auth": {"anonymous_events_from": ["10.0.0.0/8", "10.0.0.1/8"]}},
            "auth.anonymous_events_from[1]",
            "host bits set",
            id="a-network-that-is-none",
        ),
        pytest.param(
            {"auth": {"anonymous_events_timezone": "Mars/Olympus"}},
            "auth.anonymous_events_timezone",
            "Europe/Berlin",
            id="no-time-zone",
        ),
        pytest.param(
            {"monitors": [{"interval": 1}]}, "monitors[0].driver", "required", id="a-driver-without-name"
        ),
        pytest.param({"retention": {"days": 0}}, "retention.days", "> 0", id="no-retention"),
        pytest.param({"log": {"format": "xml"}}, "log.format", "xml", id="a-format-that-is-none"),
        pytest.param(
            {"database": "postgresql://d"}, "database", "not supported by this version", id="planned"
        ),
        pytest.param({"database": {}}, "database", "not supported by this version", id="planned-and-empty"),
        pytest.param({"auth": {"keystone": {}}}, "auth.keystone", "`cloud`", id="keystone-of-no-cloud"),
        pytest.param(
            {"auth": {"keystone": {"cloud": "c", "cache": 61}}},
            "auth.keystone.cache",
            "<= 60",
            id="tokens-remembered-for-too-long",
        ),
        pytest.param(
            {"auth": {"keystone": {"cloud": "c", "roles": {"member": "owner"}}}},
            "auth.keystone.roles[...]",
            "owner",
            id="no-such-role",
        ),
        pytest.param(
            {"auth": {"keystone": {"cloud": "c", "roles": {"member@system": "consumer"}}}},
            "auth.keystone",
            "roles.member@system: a consumer belongs to a project",
            id="a-consumer-without-a-project",
        ),
        pytest.param(
            {"auth": {"keystone": {"cloud": "c", "www_authenticate_uri": 'http://a/"b'}}},
            "auth.keystone.www_authenticate_uri",
            "regex",
            id="an-address-that-breaks-the-header",
        ),
        pytest.param(
            {"channels": [{"topic": "x"}]}, "channels[0].driver", "required", id="a-channel-without-name"
        ),
        pytest.param(
            {"limits": {"subscriptions_per_project": 0}},
            "limits.subscriptions_per_project",
            ">= 1",
            id="no-subscriptions-at-all",
        ),
        pytest.param(["listen"], "", "Expected `object`", id="a-list"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(document: Any, path: str, words: str) -> None:
    """A wrong setting is refused with where it stands and what would be right."""
    with pytest.raises(RejectedError) as refused:
        parse_settings(document)
    flaw = refused.value.flaws[0]
    assert flaw.pointer == path
    assert words in flaw.detail


def test_paths_start_where_the_file_is(tmp_path: Path) -> None:
    """A relative path in a settings file is relative to that file, wherever Doctor is started."""
    file = tmp_path / "doctor.yaml"
    file.write_text("data: state\npolicy: /etc/doctor/policy.yaml\n")
    settings = load_settings(file)
    assert settings.data_folder == tmp_path / "state"
    assert settings.policy == Path("/etc/doctor/policy.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"listen: [", "not valid YAML", id="no-yaml"),
        pytest.param(b"\xff\xfe\xfa", "not valid YAML", id="no-text"),
        pytest.param(None, "No such file", id="no-file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The error begins with the file's name."""
    file = tmp_path / "doctor.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RejectedError, match=words) as refused:
        load_settings(file)
    assert str(refused.value).startswith(str(file))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:443", ("::1", 443)),
        (":80", ("127.0.0.1", 80)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    """An address and a port, of both kinds of IP."""
    assert split_address(text) == address


def test_an_override_is_checked_like_the_file() -> None:
    """What the command line sets is no more allowed than what the file sets."""
    with pytest.raises(RejectedError):
        Settings().with_overrides(listen="0.0.0.0:80")


@pytest.mark.requirement("G44")
def test_an_operator_may_define_levels_of_service_availability() -> None:
    """[HA 6.1.1] Sub-levels beside those that ship; a name that ships may be given other figures."""
    levels = parse_settings(
        {
            "service_availability_levels": {
                "1A": {"detection": 1, "recovery": 4, "needs": ["fence"]},
                "3": {"detection": 9, "recovery": 20},
            }
        }
    ).levels
    assert sorted(levels) == ["1", "1A", "2", "3"]
    assert (levels["1A"].recovery, levels["1A"].needs, levels["3"].recovery) == (4, ("fence",), 20)


def test_a_level_that_promises_nothing_is_refused() -> None:
    with pytest.raises(RejectedError) as refused:
        parse_settings({"service_availability_levels": {"1A": {"detection": 1, "recovery": 0}}})
    assert refused.value.flaws[0].pointer.startswith("service_availability_levels")


@pytest.mark.requirement("G54")
def test_a_level_says_what_it_promises_of_a_vnf_as_a_whole() -> None:
    """[HA 6.1.2.4] Metrics and thresholds per class."""
    given = {
        **{"detection": 1, "recovery": 4, "availability": 0.9999, "window_days": 7, "burn_rate": 6},
        **{"burn_over": 1800, "impact": 0.5, "failures_per_day": 0.1},
    }
    level = parse_settings({"service_availability_levels": {"gold": given}}).levels["gold"]
    assert (level.availability, level.window, level.burn_rate) == (0.9999, timedelta(days=7), 6)
    assert (level.burn_over, level.impact, level.failures_per_day) == (timedelta(minutes=30), 0.5, 0.1)


@pytest.mark.parametrize(
    ("promised", "where"),
    [
        pytest.param({"availability": 99.9}, "", id="percent"),
        pytest.param({"availability": 0.9, "window_days": 31}, "window_days", id="longer-than-is-kept"),
        pytest.param({"failures_per_day": 1, "window_days": 31}, "window_days", id="longer-for-failures"),
        pytest.param(
            {"availability": 0.9, "window_days": 0.01}, "burn_over", id="burn-over-longer-than-window"
        ),
        pytest.param({"impact": 2}, "", id="more-than-all"),
        pytest.param({"burn_rate": 0}, "", id="no-rate"),
    ],
)
def test_a_promise_that_nobody_can_hold_against_anything_is_refused(
    promised: dict[str, float], where: str
) -> None:
    given = {"detection": 1, "recovery": 4, **promised}
    with pytest.raises(RejectedError) as refused:
        parse_settings({"service_availability_levels": {"X": given}})
    [flaw] = refused.value.flaws
    assert flaw.pointer.startswith("service_availability_levels")
    assert flaw.pointer.endswith(where)


def test_a_level_that_looks_back_on_nothing_may_have_any_window() -> None:
    given = {"detection": 1, "recovery": 4, "window_days": 300}
    assert parse_settings({"service_availability_levels": {"X": given}}).levels["X"].window.days == 300


def test_how_much_a_project_may_ask_for_is_a_setting() -> None:
    assert parse_settings({}).limits.of_subscriptions == (100, 10)
    wish = {"limits": {"subscriptions_per_project": 5, "endpoints_per_subscription": 2}}
    assert parse_settings(wish).limits.of_subscriptions == (5, 2)


def test_how_long_a_silence_may_be_is_a_setting() -> None:
    assert parse_settings({}).limits.of_silences == (timedelta(days=7), 100)
    wish = {"limits": {"silence_hours": 1.5, "silences_per_project": 3}}
    assert parse_settings(wish).limits.of_silences == (timedelta(hours=1.5), 3)
    for wrong in ({"silence_hours": 0}, {"silence_hours": 9999}, {"silences_per_project": 0}):
        with pytest.raises(RejectedError) as refused:
            parse_settings({"limits": wrong})
        assert [flaw.pointer for flaw in refused.value.flaws] == [f"limits.{next(iter(wrong))}"]
