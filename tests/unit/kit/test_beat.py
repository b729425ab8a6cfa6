"""The datagrams of agents: signed, of one form, and nothing else is taken for one."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.kit.beat import (
    HEAD,
    MAC_BYTES,
    MOST_BYTES,
    MOST_MICROSECONDS,
    Beat,
    Key,
    Kind,
    Malformed,
    derived,
    pack,
    read,
)

KEY = Key(bytes(range(32)))
BEAT = Beat(Kind.BEAT, "compute-1", "mgmt", b"b" * 16, 7, 8, 9, b"c" * 8, 100_000, 250, 1)
U64 = st.integers(0, 2**64 - 1)


@given(
    host=st.text(min_size=1, max_size=60),
    subject=st.text(max_size=60),
    numbers=st.tuples(U64, U64, U64),
    kind=st.sampled_from(Kind),
)
def test_what_is_written_is_read(host: str, subject: str, numbers: tuple[int, int, int], kind: Kind) -> None:
    beat = Beat(kind, host, subject, b"b" * 16, *numbers)

    data = memoryview(pack(beat, KEY))
    found, end = read(data)

    assert found == beat
    assert KEY.has_signed(data[:end], data[end:])


@given(key=st.binary(min_size=32, max_size=32), data=st.binary(max_size=300))
def test_a_signature_is_the_usual_hmac(key: bytes, data: bytes) -> None:
    assert Key(key).sign(data) == hmac.digest(key, data, "sha256")


@pytest.mark.parametrize("place", [0, 5, HEAD.size, HEAD.size + 10, -1])
def test_one_changed_bit_is_noticed(place: int) -> None:
    data = bytearray(pack(BEAT, KEY))
    data[place] ^= 1
    try:
        _, end = read(memoryview(data))
    except Malformed:
        return
    assert not KEY.has_signed(memoryview(data)[:end], memoryview(data)[end:])


GOOD = pack(BEAT, KEY)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-1], id="truncated"),
        pytest.param(GOOD[: HEAD.size + 3], id="head only"),
        pytest.param(GOOD + b"x", id="something behind"),
        pytest.param(GOOD + bytes(MOST_BYTES), id="oversized"),
        pytest.param(b"XXXX" + GOOD[4:], id="other magic"),
        pytest.param(GOOD[:4] + b"\xee" + GOOD[5:], id="unknown kind"),
        pytest.param(GOOD[:5] + b"\x00" + GOOD[6:], id="no host"),
        pytest.param(GOOD[: HEAD.size] + b"\xff\xfe" + GOOD[HEAD.size + 2 :], id="a name that is no text"),
        pytest.param(bytes(200), id="zeros"),
    ],
)
def test_all_else_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(memoryview(data))


@given(st.binary(max_size=700))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(memoryview(data))


def test_numbers_that_are_too_large_are_cut() -> None:
    beat, _ = read(memoryview(pack(BEAT._replace(interval_us=2**40, lag_us=2**40), KEY)))
    assert (beat.interval_us, beat.lag_us) == (MOST_MICROSECONDS, MOST_MICROSECONDS)


@pytest.mark.parametrize(
    "beat", [BEAT._replace(host=""), BEAT._replace(host="h" * 256), BEAT._replace(subject="s" * 256)]
)
def test_names_that_do_not_fit_are_refused(beat: Beat) -> None:
    with pytest.raises(ValueError, match="a name has 1 to 255 bytes"):
        pack(beat, KEY)


def test_each_host_has_a_key_of_its_own() -> None:
    keys = {derived(b"m" * 32, "compute-1"), derived(b"m" * 32, "compute-2"), derived(b"n" * 32, "compute-1")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {MAC_BYTES}


def test_a_key_shows_itself_nowhere() -> None:
    assert repr(KEY) == "Key(***)"
    with pytest.raises(ValueError, match="32 bytes"):
        Key(b"short")
