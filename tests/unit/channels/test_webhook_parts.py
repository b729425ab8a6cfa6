"""The parts of the webhook channel that need no consumer: what answers mean, what errors say, how names are found."""

import asyncio
import errno
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from doctor.drivers.channels import resolver as resolver_module
from doctor.drivers.channels import webhook
from doctor.drivers.channels.connection import NoAnswer, NotHttp
from doctor.drivers.channels.guard import Guard
from doctor.drivers.channels.outcome import explain, outcome_of, parse_retry_after
from doctor.drivers.channels.pool import Closed, HandshakeFailed
from doctor.drivers.channels.resolver import PatientResolver
from doctor.drivers.channels.webhook import WebhookChannel, WebhookSettings
from doctor.kit.clock import SystemClock
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, Gone, Refused
from doctor.model.subscription import Endpoint

TOLD = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RECEIVED = TOLD + timedelta(milliseconds=2)

# --- what an answer means ---


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(status, Delivered(status, TOLD, RECEIVED)) for status in (200, 201, 202, 204, 206, 299)],
        *[
            (status, Failed(f"answered {status}: redirects are not followed", status))
            for status in (300, 301, 302, 303, 304, 307, 308)
        ],
        *[(status, Refused(f"answered {status}", status)) for status in (400, 405, 413, 415, 422)],
        (410, Gone("answered 410")),
        *[
            (status, Failed(f"answered {status}", status))
            for status in (101, 401, 403, 404, 408, 409, 425, 429, 451, 500, 501, 502, 503, 504, 599, 999)
        ],
    ],
)
def test_what_an_answer_means(status: int, outcome: DeliveryOutcome) -> None:
    assert outcome_of(status, None, TOLD, RECEIVED) == outcome


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_left_alone(status: int) -> None:
    assert outcome_of(status, "7", TOLD, RECEIVED) == Failed(f"answered {status}", status, 7.0)


@pytest.mark.parametrize("status", [200, 302, 404, 410, 422, 500])
def test_others_have_no_say_in_when(status: int) -> None:
    assert getattr(outcome_of(status, "7", TOLD, RECEIVED), "retry_after", None) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(None, None, id="unsaid"),
        pytest.param("0", 0.0, id="at once"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 120 ", 120.0, id="spaces around"),
        pytest.param("86400", 3600.0, id="an hour at most"),
        pytest.param("9" * 5000, 3600.0, id="endless"),
        pytest.param("Wed, 04 Mar 2026 05:06:37 GMT", 30.0, id="date"),
        pytest.param("Wed, 04 Mar 2026 05:05:37 GMT", 0.0, id="date gone by"),
        pytest.param("Fri, 04 Mar 2044 05:06:37 GMT", 3600.0, id="date far away"),
        pytest.param("Wednesday, 04-Mar-26 05:06:37 GMT", 30.0, id="date of RFC 850"),
        pytest.param("Wed, 04 Mar 2026 05:06:37 -0000", None, id="date without zone"),
        pytest.param("", None, id="empty"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("nan", None, id="nan"),
        pytest.param("\u0661\u0662", None, id="other digits"),
        pytest.param("soon", None, id="garbage"),
        pytest.param("Wed, 99 Xyz 99999999999999 99:99:99 GMT", None, id="impossible date"),
        pytest.param(",,,,\x00", None, id="more garbage"),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, TOLD) == seconds


# --- what went wrong ---


def _untrusted(code: int) -> Exception:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ECONNREFUSED, ""), "connection refused"),
        (OSError(errno.EHOSTUNREACH, ""), "no route to the host"),
        (OSError(errno.ENETUNREACH, ""), "no route to the host"),
        (OSError(errno.ETIMEDOUT, ""), "connection timed out"),
        (OSError(errno.EMFILE, ""), "Doctor has too many open files"),
        (OSError(errno.EADDRNOTAVAIL, ""), "Doctor's machine has no free port"),
        (OSError("something else"), "connection failed"),
        (_untrusted(18), "TLS: certificate not trusted"),
        (_untrusted(20), "TLS: certificate not trusted"),
        (_untrusted(9), "TLS: certificate not valid yet"),
        (_untrusted(10), "TLS: certificate has expired"),
        (_untrusted(62), "TLS: certificate is for another name"),
        (_untrusted(64), "TLS: certificate is for another address"),
        (HandshakeFailed("wrong version"), "TLS: handshake failed"),
        (ssl.SSLError(1, "alert"), "TLS: connection refused by the other side"),
        (OSError(errno.ECONNRESET, "reset"), "connection reset"),
        (OSError(errno.EPIPE, "pipe"), "connection reset"),
        (ConnectionResetError("without a number"), "connection reset"),
        (NoAnswer(), "connection closed without an answer"),
        (NotHttp("x"), "the answer is not HTTP"),
        (Closed(), "the channel is closed"),
        (RuntimeError("a defect"), None),
        (ValueError("a defect"), None),
    ],
)
def test_what_went_wrong(error: Exception, sentence: str | None) -> None:
    assert explain(error) == sentence


# --- what is objected to beforehand ---


def channel(**settings: Any) -> WebhookChannel:
    return WebhookChannel(WebhookSettings(**settings), Guard(listen=[("127.0.0.1", 12345)]), SystemClock())


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ({"url": "http://127.0.0.1:8080/hook"}, None),
        ({"url": "http://127.0.0.1:8080/hook", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="}, None),
        (
            {"url": "http://vnfm/", "format": "ves"},
            "format 'ves' is not known: use doctor, cloudevents, aodh, fenix or fenix-aodh",
        ),
        ({"url": ""}, "the URL must begin with http:// or https://"),
        ({"url": "vnfm.example"}, "the URL must begin with http:// or https://"),
        ({"url": "http://vnfm/" + "x" * 2048}, "the URL is longer than 2048 characters"),
        ({"url": "http://vnfm/\r\nx-evil: 1"}, "the URL has spaces or control characters"),
        ({"url": "http://vnfm/\x00"}, "the URL has spaces or control characters"),
        ({"url": "http://vnfm/ x"}, "the URL has spaces or control characters"),
        ({"url": "http://vnfm:99999/"}, "the URL cannot be read: it has the form https://host:port/path"),
        ({"url": "http://me:secret@[::1/"}, "the URL cannot be read: it has the form https://host:port/path"),
        ({"url": "http://me:secret@vnfm/"}, "the URL must not contain a user or password"),
        (
            {"url": "http://169.254.169.254/"},
            "address 169.254.169.254 is not allowed: link-local, cloud metadata",
        ),
        (
            {"url": "http://vnfm/", "secret": "hunter2"},
            "the secret cannot be used: a secret begins with whsec_, followed by base64",
        ),
    ],
)
def test_what_is_objected_to(endpoint: dict[str, Any], sentence: str | None) -> None:
    assert channel().check(Endpoint(endpoint_id="e", **endpoint)) == sentence


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_timeout": 0}, "first_timeout: must be positive"),
        ({"timeout": -1}, "timeout: must be positive"),
        ({"connections": 0}, "connections: must be at least 1"),
        ({"connections_per_host": 0}, "connections_per_host: must be at least 1"),
        ({"time_out": 1}, "unknown field"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(settings, WebhookSettings, strict=False)


def test_settings_as_they_are_written() -> None:
    assert msgspec.convert({"timeout": "PT5S"}, WebhookSettings).timeout == timedelta(seconds=5)


@pytest.mark.parametrize(("files", "connections"), [(1024, 512), (1_048_576, 524_288), (20, 16), (-1, 4096)])
def test_half_of_the_files(files: int, connections: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (files, files))
    assert webhook._half_of_the_files() == connections


# --- names ---

ANSWER = ["192.0.2.7"]


class Names:
    """Stands in for the system's resolver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says: list[str] | OSError = ANSWER
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        monkeypatch.setattr(resolver_module, "look_up", self.look_up)

    def look_up(self, *_: object) -> list[str] | OSError:
        self.asked += 1
        says = self.says
        self.may_answer.wait(5)
        return says


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    monkeypatch.setattr(resolver_module, "LOOKUP_PATIENCE_S", 0.05)
    return Names(monkeypatch)


async def test_a_name_is_looked_up(names: Names) -> None:
    assert await PatientResolver().resolve("vnfm") == ANSWER


async def test_the_same_question_is_asked_once_at_a_time(names: Names) -> None:
    resolver = PatientResolver()
    assert await asyncio.gather(*(resolver.resolve("vnfm") for _ in range(10))) == [ANSWER] * 10
    assert names.asked == 1
    await resolver.resolve("vnfm")
    assert names.asked == 2


async def test_without_memory_an_error_is_an_error(names: Names) -> None:
    names.says = socket.gaierror(socket.EAI_AGAIN, "later")
    with pytest.raises(socket.gaierror):
        await PatientResolver().resolve("vnfm")


async def test_name_servers_that_fail_are_stood_in_for_by_memory(names: Names) -> None:
    resolver = PatientResolver()
    await resolver.resolve("vnfm")
    names.says = socket.gaierror(socket.EAI_AGAIN, "later")
    assert await resolver.resolve("vnfm") == ANSWER


async def test_name_servers_that_hesitate_are_stood_in_for_by_memory(names: Names) -> None:
    resolver = PatientResolver()
    await resolver.resolve("vnfm")
    names.may_answer.clear()
    names.says = moved = ["192.0.2.8"]
    assert await resolver.resolve("vnfm") == ANSWER
    names.may_answer.set()
    await asyncio.sleep(0.05)
    names.says = socket.gaierror(socket.EAI_AGAIN, "later")
    assert await resolver.resolve("vnfm") == moved  # the late answer was not lost


async def test_a_name_that_was_removed_is_forgotten(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "LOOKUP_PATIENCE_S", 10.0)  # on a busy machine too
    resolver = PatientResolver()
    await resolver.resolve("vnfm")
    names.says = socket.gaierror(socket.EAI_NONAME, "no such name")
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await resolver.resolve("vnfm")
    names.says = socket.gaierror(socket.EAI_AGAIN, "later")
    with pytest.raises(socket.gaierror):
        await resolver.resolve("vnfm")


async def test_memory_has_an_end(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "KNOWN_FOR_S", 0.0)
    monkeypatch.setattr(resolver_module, "MAX_KNOWN", 2)
    resolver = PatientResolver()
    for host in ("a", "b", "c"):
        await resolver.resolve(host)
    assert list(resolver._known) == ["b", "c"]
    names.says = socket.gaierror(socket.EAI_AGAIN, "later")
    await asyncio.sleep(0.01)
    with pytest.raises(socket.gaierror):
        await resolver.resolve("c")


async def test_slow_names_are_not_asked_without_end(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "MAX_LOOKUPS", 3)
    resolver = PatientResolver()
    await resolver.resolve("known")
    names.may_answer.clear()
    waiting = [asyncio.create_task(resolver.resolve(f"slow-{n}")) for n in range(3)]
    await asyncio.sleep(0.01)
    with pytest.raises(socket.gaierror):
        await resolver.resolve("another")
    assert await resolver.resolve("known") == ANSWER
    names.may_answer.set()
    assert await asyncio.gather(*waiting) == [ANSWER] * 3


async def test_who_gives_up_waiting_disturbs_nobody(names: Names) -> None:
    names.may_answer.clear()
    resolver = PatientResolver()
    first, second = (asyncio.create_task(resolver.resolve("vnfm")) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    names.may_answer.set()
    assert await second == ANSWER
    with pytest.raises(asyncio.CancelledError):
        await first


def test_an_answer_after_the_end_of_the_loop_is_dropped(names: Names) -> None:
    names.may_answer.clear()

    async def ask_in_vain() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await PatientResolver().resolve("vnfm")

    asyncio.run(ask_in_vain())
    names.may_answer.set()
    for thread in threading.enumerate():
        if thread.name == "doctor-name-vnfm":
            thread.join(5)


def test_the_system_is_asked() -> None:
    found = resolver_module.look_up("localhost")
    assert isinstance(found, list)
    assert set(found) <= {"127.0.0.1", "::1"}
    assert isinstance(resolver_module.look_up("no.such.name.invalid"), OSError)
    assert isinstance(resolver_module.look_up("a..b"), OSError)


async def test_a_fresh_answer_is_used_without_asking_again(names: Names) -> None:
    resolver = PatientResolver(timedelta(milliseconds=50))
    for _ in range(3):
        assert await resolver.resolve("vnfm") == ANSWER
    assert names.asked == 1
    await asyncio.sleep(0.06)
    await resolver.resolve("vnfm")
    assert names.asked == 2
