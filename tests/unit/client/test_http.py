"""The client against a fake Doctor."""

import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.client import ApiError, Client, Flaw, Misconfigured, Unreachable
from tests.unit.client.fake_doctor import Answer, Asked, FakeDoctor, notification, problem, stream_of


@pytest.fixture
def client(doctor: FakeDoctor) -> Iterator[Client]:
    with Client(doctor.url, "secret") as client:
        yield client


def test_it_asks_with_the_token_and_reads_json(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("GET", "/v1/alarms", Answer(body={"items": [], "next": None}))
    assert client.get("/v1/alarms", state="all", deep=True, ids=["a", "b"], none=None) == {
        "items": [],
        "next": None,
    }
    assert doctor.last.headers["authorization"] == "Bearer secret"
    assert doctor.last.query == {"state": ["all"], "deep": ["true"], "ids": ["a", "b"]}


def test_without_a_token_none_is_sent(doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/healthz", Answer())
    with Client(doctor.url) as client:
        assert client.get("/healthz") is None
    assert "authorization" not in doctor.last.headers


def test_it_sends_json(doctor: FakeDoctor, client: Client) -> None:
    for method in ("POST", "PUT", "PATCH"):
        doctor.answers(method, "/v1/thing", lambda asked: Answer(201, {"got": asked.json}))
    for send in (client.post, client.put, client.patch):
        assert send("/v1/thing", {"name": "Zürich"}) == {"got": {"name": "Zürich"}}
        assert doctor.last.headers["content-type"] == "application/json"


def test_nothing_to_send_and_nothing_to_read(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("POST", "/v1/notifications/n1/handled", Answer(204))
    doctor.answers("DELETE", "/v1/tokens/t1", Answer(204))
    assert client.post("/v1/notifications/n1/handled") is None
    assert client.delete("/v1/tokens/t1") is None


def test_a_list_is_asked_for_page_by_page(doctor: FakeDoctor, client: Client) -> None:
    def page(asked: Asked) -> Answer:
        start = int(asked.query.get("cursor", ["0"])[0])
        after = start + 2
        return Answer(
            body={"items": list(range(start, min(after, 5))), "next": str(after) if after < 5 else None}
        )

    doctor.answers("GET", "/v1/alarms", page)
    assert list(client.items("/v1/alarms", state="all")) == [0, 1, 2, 3, 4]
    assert all(asked.query["state"] == ["all"] for asked in doctor.asked)
    assert list(client.items("/v1/alarms", at_most=3)) == [0, 1, 2]
    assert doctor.last.query == {"limit": ["1"], "cursor": ["2"]}


def test_a_list_that_does_not_end_ends(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("GET", "/v1/alarms", Answer(body={"items": [1], "next": "same"}))
    assert list(client.items("/v1/alarms")) == [1, 1]


def test_a_refusal_names_each_flaw(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("POST", "/v1/events", problem(400, "no event was acceptable", __event__time="required"))
    with pytest.raises(ApiError) as caught:
        client.post("/v1/events", {})
    assert caught.value.status == 400
    assert caught.value.detail == "no event was acceptable"
    assert caught.value.errors == (Flaw("/event/time", "required"),)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(Answer(502, b"<html>", "text/html"), "Bad Gateway", id="a proxy's"),
        pytest.param(Answer(599, b""), "HTTP 599", id="unknown status"),
        pytest.param(Answer(500, {"title": "Oh"}), "Oh", id="title only"),
        pytest.param(Answer(400, {"errors": "none"}), "Bad Request", id="errors of another kind"),
        pytest.param(
            Answer(307, b"", headers={"location": "http://127.0.0.1:9/"}), "Temporary", id="redirect"
        ),
        pytest.param(Answer(200, b"hello", "text/plain"), "no Doctor", id="no JSON"),
    ],
)
def test_answers_that_are_not_doctors_are_errors_too(
    doctor: FakeDoctor, client: Client, answer: Answer, detail: str
) -> None:
    doctor.answers("GET", "/v1/alarms", answer)
    with pytest.raises(ApiError, match=detail):
        client.get("/v1/alarms")


def test_a_list_that_is_none_is_an_error(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("GET", "/v1/alarms", Answer(body=["?"]))
    with pytest.raises(ApiError, match="no list of Doctor's"):
        list(client.items("/v1/alarms"))


def test_a_file_is_sent_in_pieces(doctor: FakeDoctor, client: Client) -> None:
    content = b"x" * 600_000
    heard: list[tuple[int, int]] = []
    doctor.answers("PUT", "/v1/resource-map", lambda asked: Answer(body={"size": len(asked.body)}))
    answer = client.upload(
        "/v1/resource-map",
        io.BytesIO(content),
        len(content),
        progress=lambda sent, size: heard.append((sent, size)),
    )
    assert answer == {"size": 600_000}
    assert doctor.last.headers["content-length"] == "600000"
    assert [size for _, size in heard] == [600_000] * 3
    assert heard[-1] == (600_000, 600_000)


def test_what_is_sent_as_it_is_stays_as_it_is(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("PUT", "/v1/failure-policies", Answer(body={"version": 2}))
    client.send("PUT", "/v1/failure-policies", b"version: 1", content_type="application/yaml")
    assert doctor.last.body == b"version: 1"
    assert doctor.last.headers["content-type"] == "application/yaml"


def test_notifications_come_from_the_stream(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("GET", "/v1/notifications/stream", stream_of(notification(8), notification(9)))
    assert [one["sequence"] for one in client.notifications("s1", after=7)] == [8, 9]
    assert doctor.last.query == {"subscription_id": ["s1"], "after": ["7"]}


def test_a_stream_that_may_not_be_is_an_error(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("GET", "/v1/notifications/stream", problem(404, "no such subscription"))
    with pytest.raises(ApiError, match="no such subscription"):
        next(client.events("/v1/notifications/stream"))


# --- no answer ---


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(Unreachable) as caught:
        client.get("/v1/alarms")
    assert str(caught.value) == f"no Doctor answers at {url}: is `doctor serve` running?"


def test_a_name_that_is_none() -> None:
    with (
        Client("http://doctor.invalid") as client,
        pytest.raises(Unreachable, match="this name has no address"),
    ):
        client.get("/v1/alarms")


def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Client(url, timeout=0.05) as client, pytest.raises(Unreachable, match=r"within 0\.05 s"):
            client.get("/v1/alarms")


def test_https_where_there_is_none(doctor: FakeDoctor) -> None:
    url = doctor.url.replace("http:", "https:")
    with Client(url) as client, pytest.raises(Unreachable, match="does not speak TLS"):
        client.get("/v1/alarms")


def test_a_line_that_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            connection, _ = server.accept()
            connection.recv(10_000)
            connection.close()

        thread = threading.Thread(target=cut, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unreachable) as caught:
            client.get("/v1/alarms")
        thread.join()
    assert str(caught.value) == f"{url} broke off without an answer: is it https:// ?"


def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        Client("doctor")


def test_no_way_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)
    with (
        Client("http://192.0.2.1") as client,
        pytest.raises(Unreachable, match=r"192\.0\.2\.1: No route to host$"),
    ):
        client.get("/v1/alarms")


def test_nothing_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)
    with Client("http://192.0.2.1") as client, pytest.raises(Unreachable, match=r"nothing within 5 s"):
        client.get("/v1/alarms")


def test_what_is_no_json_is_text(doctor: FakeDoctor, client: Client) -> None:
    doctor.answers("GET", "/v1/calendar.ics", Answer(body={"BEGIN": "VCALENDAR"}))
    assert "VCALENDAR" in client.text("/v1/calendar.ics", since="now")
    doctor.answers("GET", "/v1/nothing", problem(404, "there is no such thing"))
    with pytest.raises(ApiError, match="no such thing"):
        client.text("/v1/nothing")
