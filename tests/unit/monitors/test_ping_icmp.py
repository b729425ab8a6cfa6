"""What goes over the wire is what the standards say, and only answers to our own questions are taken."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.ping import icmp

SENDER = icmp.Sender(identifier=0xBEEF, token=b"\x01token\xfe\xff")
KEY = icmp.new_key()


def reply_to(request: bytes, *, kind: int = icmp.ECHO_REPLY) -> bytes:
    """Return what a host answers: the same with another type."""
    return bytes([kind]) + request[1:]


def request(number: int = 7, *, family: int = socket.AF_INET, key: bytes = KEY) -> bytes:
    return icmp.echo_request(family, SENDER, SENDER.constant_sum, key, number)


def read(
    packet: bytes, *, family: int = socket.AF_INET, begin: int = 0, is_kernel_id: bool = False
) -> tuple[bytes, int] | None:
    return icmp.echo_reply(family, SENDER, packet, begin=begin, size=len(packet), is_kernel_id=is_kernel_id)


def rfc1071(packet: bytes) -> int:
    """Return the ones' complement sum of all words, the slow and plain way."""
    total = 0
    for (word,) in struct.iter_unpack("!H", packet):
        total += word
        if total > 0xFFFF:
            total -= 0xFFFF
    return total


@given(
    number=st.integers(1, 2**40), identifier=st.integers(1, 0xFFFF), token=st.binary(min_size=8, max_size=8)
)
def test_the_checksum_of_a_request_is_right(number: int, identifier: int, token: bytes) -> None:
    sender = icmp.Sender(identifier, token)

    packet = icmp.echo_request(socket.AF_INET, sender, sender.constant_sum, icmp.new_key(), number)

    assert rfc1071(packet) == 0xFFFF


def test_a_request_names_asker_and_number() -> None:
    packet = request(0x1_2345)

    assert packet[:2] == b"\x08\x00"
    assert packet[4:8] == b"\xbe\xef\x23\x45"
    assert packet[8:] == SENDER.token + KEY


def test_in_ipv6_the_kernel_puts_the_checksum_in() -> None:
    assert request(family=socket.AF_INET6)[:4] == b"\x80\x00\x00\x00"


def test_our_answer_is_known() -> None:
    assert read(reply_to(request(7))) == (KEY, 7)
    assert read(reply_to(request(7, family=socket.AF_INET6), kind=129), family=socket.AF_INET6) == (KEY, 7)


def test_what_stands_before_the_packet_is_skipped() -> None:
    header = b"\x46" + bytes(23)  # an IPv4 header with an option

    packet = header + reply_to(request(7))

    assert read(packet, begin=icmp.header_length(packet)) == (KEY, 7)


def test_where_the_kernel_chooses_the_identifier_it_does_not_count() -> None:
    packet = reply_to(request(7))
    other = packet[:4] + b"\x12\x34" + packet[6:]

    assert read(other) is None
    assert read(other, is_kernel_id=True) == (KEY, 7)


@pytest.mark.shows("monitor ping", "bad input")
@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(request(), id="our-own-request"),
        pytest.param(reply_to(request(), kind=3), id="unreachable"),
        pytest.param(reply_to(request())[:-1], id="too-short"),
        pytest.param(b"", id="empty"),
        pytest.param(reply_to(request()).replace(b"token", b"guess"), id="another-token"),
        pytest.param(reply_to(request()).replace(b"\xbe\xef", b"\xbe\xee"), id="another-identifier"),
        pytest.param(b"\x00\x01" + request()[2:], id="another-code"),
    ],
)
def test_all_else_is_not_for_us(packet: bytes) -> None:
    assert read(packet) is None


def test_keys_differ() -> None:
    assert len({icmp.new_key() for _ in range(100)}) == 100
