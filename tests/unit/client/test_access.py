"""Where Doctor is asked, and as whom."""

import os
from pathlib import Path

import pytest

from doctor.client import Misconfigured, find_access


def test_without_anything_it_is_doctor_on_this_machine_and_nobody(tmp_path: Path) -> None:
    access = find_access(environment={"XDG_STATE_HOME": str(tmp_path)}, data=tmp_path / "none")
    assert (access.url, access.token) == ("http://127.0.0.1:12345", None)


def test_the_environment_names_address_and_token() -> None:
    environment = {"DOCTOR_URL": "https://doctor.example:443/", "DOCTOR_TOKEN": " secret\n"}
    access = find_access(environment=environment)
    assert (access.url, access.token) == ("https://doctor.example:443", "secret")


def test_what_is_said_outright_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environment = {"DOCTOR_URL": "http://one:1", "DOCTOR_TOKEN": "from-environment"}
    access = find_access("http://two:2", file, environment)
    assert (access.url, access.token) == ("http://two:2", "from-file")


@pytest.mark.parametrize("place", ["data", "state"])
def test_the_token_of_the_doctor_on_this_machine_is_found(tmp_path: Path, place: str) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    file = data / "admin.token" if place == "data" else state / "doctor" / "admin.token"
    file.parent.mkdir(parents=True)
    file.write_text("admins\n")
    environment = {"XDG_STATE_HOME": str(state)}
    assert find_access(environment=environment, data=data).token == "admins"
    assert find_access("http://localhost:1", environment=environment, data=data).token == "admins"
    assert find_access("http://[::1]:1", environment=environment, data=data).token == "admins"


def test_the_token_of_this_machine_does_not_go_to_another(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("admins")
    assert find_access("https://doctor.example", environment={}, data=tmp_path).token is None
    assert find_access("http://127.0.0.1.example", environment={}, data=tmp_path).token is None


def test_a_token_is_never_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(find_access(environment={"DOCTOR_TOKEN": "secret"}))


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:12345",
        "ftp://doctor",
        "http://",
        "http://doctor:99999",
        "http://user:word@doctor",
        "http://doctor/?a=b",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="no address of a Doctor"):
        find_access(url, environment={})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"two secrets", "one word", id="words"),
        pytest.param(b"line\x07", "one word", id="control"),
        pytest.param("gehe\u00efm".encode(), "no plain text", id="not-ascii"),
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(Misconfigured, match=why) as caught:
        find_access(None, file, {})
    assert "secrets" not in str(caught.value)


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=rf"{tmp_path / 'none'}: {os.strerror(2)}"):
        find_access(None, tmp_path / "none", {})
