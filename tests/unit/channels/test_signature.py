"""Signatures are those of Standard Webhooks; its own library is the judge."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from doctor.kit.signature import Signer, parse_secret, sign, verify

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ID = "0d9a1d0e-7c3b-5a7e-9b1c-1f2e3d4c5b6a"

keys = st.binary(min_size=1, max_size=200)
secrets = keys.map(lambda key: "whsec_" + base64.b64encode(key).decode())
bodies = st.text(max_size=300).map(str.encode)
seconds = st.integers(min_value=0, max_value=4_000_000_000)


def test_the_example_of_the_specification() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(secret=secrets, timestamp=seconds, body=bodies)
def test_it_signs_as_the_library_does(secret: str, timestamp: int, body: bytes) -> None:
    expected = Webhook(secret).sign(ID, datetime.fromtimestamp(timestamp, UTC), body.decode())
    assert sign(secret, ID, timestamp, body) == expected
    assert Signer(secret).sign(ID, timestamp, body) == expected


@given(secret=secrets, body=bodies)
def test_the_library_accepts_it(secret: str, body: bytes) -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, ID, now, body),
    }
    Webhook(secret).verify(body, headers, json_parse=False)


@given(secret=secrets, timestamp=seconds, body=bodies)
def test_what_was_signed_is_verified(secret: str, timestamp: int, body: bytes) -> None:
    signature = sign(secret, ID, timestamp, body)
    assert verify(secret, ID, str(timestamp), body, signature, now=timestamp)


def test_one_of_several_signatures_is_enough() -> None:
    right = sign(SECRET, ID, 1000, b"{}")
    for signatures in (f"v1,AAAA {right}", f"{right} v1a,BBBB", f"v2,CC  {right}"):
        assert verify(SECRET, ID, "1000", b"{}", signatures, now=1000)


@pytest.mark.parametrize(
    ("change"),
    [
        pytest.param({"notification_id": "another"}, id="id"),
        pytest.param({"timestamp": "1001"}, id="timestamp"),
        pytest.param({"timestamp": "1000.0"}, id="timestamp not an integer"),
        pytest.param({"timestamp": ""}, id="no timestamp"),
        pytest.param({"timestamp": "-1000"}, id="negative timestamp"),
        pytest.param({"timestamp": "\uff11\uff10\uff10\uff10"}, id="timestamp in other digits"),
        pytest.param({"timestamp": "9" * 5000}, id="endless timestamp"),
        pytest.param({"body": b"{ }"}, id="body"),
        pytest.param({"signatures": ""}, id="no signature"),
        pytest.param({"signatures": "v1"}, id="version only"),
        pytest.param({"signatures": "garbage \udcff ä"}, id="garbage"),
        pytest.param({"secret": "whsec_AAAA"}, id="secret"),
        pytest.param({"now": 1301.0}, id="too old"),
        pytest.param({"now": 699.0}, id="from the future"),
    ],
)
def test_what_was_changed_is_not_verified(change: dict[str, object]) -> None:
    arguments: dict[str, object] = {
        "secret": SECRET,
        "notification_id": ID,
        "timestamp": "1000",
        "body": b"{}",
        "signatures": sign(SECRET, ID, 1000, b"{}"),
        "now": 1000.0,
    }
    assert verify(**arguments)  # type: ignore[arg-type]
    assert not verify(**(arguments | change))  # type: ignore[arg-type]


def test_another_tolerance() -> None:
    signature = sign(SECRET, ID, 1000, b"{}")
    assert not verify(SECRET, ID, "1000", b"{}", signature, now=1011, tolerance_s=10)
    assert verify(SECRET, ID, "1000", b"{}", signature, now=2000, tolerance_s=1000)


@given(key=keys)
def test_a_secret_is_read_with_and_without_padding(key: bytes) -> None:
    text = base64.b64encode(key).decode()
    assert parse_secret("whsec_" + text) == parse_secret("whsec_" + text.rstrip("=")) == key


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        pytest.param("", "begins with whsec_", id="empty"),
        pytest.param("MDEyMzQ1Njc4OWFiY2RlZg==", "begins with whsec_", id="no prefix"),
        pytest.param("WHSEC_MDEyMzQ1Njc4OWFiY2RlZg==", "begins with whsec_", id="wrong case"),
        pytest.param("whsec_", "nothing follows", id="prefix only"),
        pytest.param("whsec_===", "nothing follows", id="padding only"),
        pytest.param("whsec_sec-ret_1", "not base64", id="url-safe alphabet"),
        pytest.param("whsec_secret!!", "not base64", id="other characters"),
        pytest.param("whsec_secret\n", "not base64", id="newline"),
        pytest.param("whsec_sécret", "not base64", id="not ascii"),
        pytest.param("whsec_secre", "not base64", id="bits left over"),
        pytest.param("whsec_s=cret", "not base64", id="padding inside"),
        pytest.param("whsec_secretsec", "not base64", id="bits that mean nothing"),
        pytest.param("whsec_abcde", "not base64", id="impossible length"),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_secret(secret)
    assert "cret" not in str(caught.value).replace("a secret", "")
