"""What the kernel says of links, and what of it is news."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.agent import netlink
from doctor.agent.links import CARD_GONE, PORT_DOWN, LinkBook
from doctor.agent.netlink import DELLINK, DONE, IFF_LOOPBACK, IFF_LOWER_UP, IFF_UP, NEWLINK, End, Link, parse
from doctor.agent.report import Reporter
from doctor.agent.settings import LinkSettings

UP = IFF_UP | IFF_LOWER_UP


def message(kind: int, number: int, name: str, flags: int) -> bytes:
    attribute = struct.pack("=HH", 8, 4) + b"\0\0\0\0"  # one that is not looked at stands before
    text = name.encode() + b"\0"
    attribute += struct.pack("=HH", 4 + len(text), netlink.IFLA_IFNAME) + text
    attribute += bytes(-len(attribute) % 4)
    body = netlink.LINK.pack(0, 1, number, flags, 0) + attribute
    return netlink.MESSAGE.pack(netlink.MESSAGE.size + len(body), kind, 0, 1, 0) + body


def test_messages_are_read() -> None:
    done = netlink.MESSAGE.pack(netlink.MESSAGE.size, DONE, 0, 1, 0)
    other = netlink.MESSAGE.pack(netlink.MESSAGE.size + 8, 20, 0, 1, 0) + bytes(8)
    data = message(NEWLINK, 2, "eth0", UP) + other + message(DELLINK, 3, "eth1", 0) + done
    assert list(parse(data)) == [
        Link(2, "eth0", is_up=True, has_carrier=True),
        Link(3, "eth1", is_up=False, has_carrier=False, is_gone=True),
        End(),
    ]


def test_the_links_of_this_machine_are_read() -> None:
    from doctor.agent.links import list_now

    links = {link.name: link for link in list_now()}
    assert links["lo"].is_loopback
    assert links["lo"].number == 1


@given(st.binary(max_size=200), st.integers(0, 80))
def test_no_bytes_break_the_reader(data: bytes, cut: int) -> None:
    for found in parse(data):
        assert isinstance(found, Link | End)
    for found in parse(message(NEWLINK, 2, "eth0", UP)[:cut]):
        assert isinstance(found, Link)


class Host:
    """A host with links, of which all but `virtual` ones are hardware."""

    def __init__(self, **settings: object) -> None:
        read = LinkSettings(**settings)  # type: ignore[arg-type]
        self.book = LinkBook(Reporter("c1"), read, lambda name: not name.startswith("veth"))

    def hear(
        self, flags: int, name: str = "eth0", number: int = 2, *, gone: bool = False
    ) -> list[tuple[str, ...]]:
        link = Link(
            number,
            name,
            is_up=bool(flags & IFF_UP),
            has_carrier=bool(flags & IFF_LOWER_UP),
            is_gone=gone,
            is_loopback=bool(flags & IFF_LOOPBACK),
        )
        return said(self.book.heard(link))


def said(reports: object) -> list[tuple[str, ...]]:
    return [(one.type, one.details["resource_id"], one.details["status"]) for one in reports]  # type: ignore[attr-defined]


def test_at_the_start_it_is_said_how_each_is() -> None:
    host = Host()
    assert host.hear(UP) == [(CARD_GONE, "c1:eth0", "up"), (PORT_DOWN, "c1:eth0", "up")]
    assert host.hear(IFF_UP, "eth1", 3) == [(CARD_GONE, "c1:eth1", "up"), (PORT_DOWN, "c1:eth1", "down")]
    assert host.hear(UP | IFF_LOOPBACK, "lo", 1) == []
    assert host.hear(UP, "veth0", 4) == []


def test_a_change_is_news_and_a_repeat_is_none() -> None:
    host = Host()
    host.hear(UP)
    assert host.hear(UP) == []
    assert host.hear(IFF_UP) == [(PORT_DOWN, "c1:eth0", "down")]
    assert host.hear(IFF_UP) == []
    assert host.hear(UP) == [(PORT_DOWN, "c1:eth0", "up")]


def test_a_card_that_is_gone_is_a_failure_of_the_card() -> None:
    host = Host()
    host.hear(UP)
    assert host.hear(0, gone=True) == [(CARD_GONE, "c1:eth0", "down")]
    assert host.hear(UP, number=9) == [(CARD_GONE, "c1:eth0", "up"), (PORT_DOWN, "c1:eth0", "up")]


def test_a_card_that_is_missing_in_a_list_is_gone() -> None:
    host = Host()
    host.hear(UP)
    assert said(host.book.missing({"eth0"})) == []
    assert said(host.book.missing(set())) == [(CARD_GONE, "c1:eth0", "down")]
    assert said(host.book.missing(set())) == []


def test_a_card_may_get_another_name() -> None:
    host = Host()
    host.hear(UP)
    assert host.hear(UP, "ens3") == [
        (CARD_GONE, "c1:eth0", "down"),
        (CARD_GONE, "c1:ens3", "up"),
        (PORT_DOWN, "c1:ens3", "up"),
    ]


def test_the_map_may_call_it_otherwise() -> None:
    host = Host(watch=("veth*",), resources={"veth0": "nic-7"})
    assert host.hear(UP) == []
    assert host.hear(IFF_UP, "veth0", 5) == [(CARD_GONE, "nic-7", "up"), (PORT_DOWN, "nic-7", "down")]


@pytest.mark.parametrize(
    ("flags", "cause"),
    [(0, "the link was set down"), (IFF_LOWER_UP, "the link was set down"), (IFF_UP, "no carrier")],
)
def test_it_is_said_why(flags: int, cause: str) -> None:
    book = Host().book
    _, port = book.heard(Link(2, "eth0", bool(flags & IFF_UP), bool(flags & IFF_LOWER_UP)))
    assert port.details["cause"].startswith(cause)
    assert port.details["resource_type"] == "nic"
    assert book.states["eth0"].trouble
