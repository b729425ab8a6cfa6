"""What is written as an address is read once, into one form."""

import socket

import pytest

from doctor.drivers.monitors.ping.addresses import Address, literal, resolve


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("198.18.0.1", Address(socket.AF_INET, "198.18.0.1"), id="ipv4"),
        pytest.param("2001:DB8:0::1", Address(socket.AF_INET6, "2001:db8::1"), id="ipv6-canonical"),
        pytest.param("::ffff:198.18.0.1", Address(socket.AF_INET, "198.18.0.1"), id="ipv4-in-ipv6"),
        pytest.param("compute-1", None, id="name"),
        pytest.param("198.18.0.300", None, id="no-such-figure-so-a-name"),
        pytest.param("fe80::1%lo", None, id="interface-has-to-be-looked-up"),
    ],
)
def test_figures_are_read_and_names_are_left_to_be_looked_up(text: str, address: Address | None) -> None:
    assert literal(text) == address


@pytest.mark.parametrize("text", ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "::ffff:0.0.0.0"])
def test_nobody_answers_at_an_address_that_is_not_of_one_host(text: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a host"):
        literal(text)


def test_a_name_is_looked_up() -> None:
    assert Address(socket.AF_INET, "127.0.0.1") in resolve("localhost")


def test_an_interface_becomes_its_number() -> None:
    number = socket.if_nametoindex("lo")

    assert resolve("fe80::1%lo") == (Address(socket.AF_INET6, "fe80::1", number),)


def test_sockets_want_more_for_ipv6() -> None:
    assert Address(socket.AF_INET, "198.18.0.1").at_port(22) == ("198.18.0.1", 22)
    assert Address(socket.AF_INET6, "fe80::1", 7).at_port(22) == ("fe80::1", 22, 0, 7)
