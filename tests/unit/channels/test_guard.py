"""What may be dialled, address by address and spelling by spelling."""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.channels.guard import (
    AddressRefused,
    EndpointSettings,
    Guard,
    parse_endpoint_settings,
    parse_network,
)
from doctor.drivers.channels.url import Url

OPEN = [("192.0.2.10", 12345)]  # Doctor listens to the world
LOOPBACK = [("127.0.0.1", 12345), ("::1", 12345)]

strict = Guard(listen=OPEN)
lab = Guard(listen=LOOPBACK)
permissive = Guard(
    EndpointSettings(allow=("0.0.0.0/0", "::/0"), deny=("10.9.0.0/16", "fd00:9::/32")), listen=OPEN
)

# address, then whether it may be dialled: by an open Doctor, by one that allows all it can, by one on loopback only
ADDRESSES = [
    # public
    ("93.184.215.14", True, True, True),
    ("8.8.8.8", True, True, True),
    ("1.1.1.1", True, True, True),
    ("100.63.255.255", True, True, True),
    ("100.128.0.1", True, True, True),
    ("172.15.255.255", True, True, True),
    ("172.32.0.1", True, True, True),
    ("192.0.1.1", True, True, True),
    ("223.255.255.254", True, True, True),
    ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True, True),
    ("2001:4860:4860::8888", True, True, True),
    ("2a00:1450:4001:80b::200e", True, True, True),
    # public, in another dress
    ("::ffff:8.8.8.8", True, True, True),
    ("64:ff9b::808:808", True, True, True),
    # neither public nor dangerous in itself: for the operator to allow
    ("10.0.0.1", False, True, True),
    ("172.16.0.1", False, True, True),
    ("172.31.255.255", False, True, True),
    ("192.168.1.1", False, True, True),
    ("100.64.0.1", False, True, True),
    ("192.0.2.1", False, True, True),
    ("198.51.100.7", False, True, True),
    ("203.0.113.7", False, True, True),
    ("198.18.0.1", False, True, True),
    ("198.19.255.255", False, True, True),
    ("192.88.99.1", False, True, True),
    ("fc00::1", False, True, True),
    ("fd12:3456:789a::1", False, True, True),
    ("2001:db8::1", False, True, True),
    ("3fff::1", False, True, True),
    ("2001:2::1", False, True, True),
    ("100::1", False, True, True),
    ("5f00::1", False, True, True),
    ("4000::1", False, True, True),
    ("2001:0:808:808::f7f7:f7f7", False, True, True),  # Teredo: server and client 8.8.8.8
    ("2002:808:808::1", False, True, True),
    ("::ffff:10.0.0.1", False, True, True),
    ("64:ff9b::a00:1", False, True, True),
    ("::ffff:0:8.8.8.8", False, True, True),
    ("::8.8.8.8", False, True, True),
    # loopback: never by a wide network
    ("127.0.0.1", False, False, True),
    ("127.255.255.254", False, False, True),
    ("::1", False, False, True),
    ("::ffff:127.0.0.1", False, False, True),
    ("::127.0.0.1", False, False, True),
    ("64:ff9b::7f00:1", False, False, True),
    ("2002:7f00:1::", False, False, True),
    # denied by the operator of the permissive one
    ("10.9.1.2", False, False, True),
    ("::ffff:10.9.1.2", False, False, True),
    ("64:ff9b::a09:102", False, False, True),
    ("2002:a09:102::1", False, False, True),
    ("fd00:9::5", False, False, True),
    # never, whoever asks
    ("0.0.0.0", False, False, False),
    ("0.1.2.3", False, False, False),
    ("169.254.169.254", False, False, False),
    ("169.254.0.1", False, False, False),
    ("100.100.100.200", False, False, False),
    ("168.63.129.16", False, False, False),
    ("192.0.0.8", False, False, False),
    ("192.0.0.192", False, False, False),
    ("224.0.0.1", False, False, False),
    ("239.255.255.250", False, False, False),
    ("240.0.0.1", False, False, False),
    ("255.255.255.255", False, False, False),
    ("::", False, False, False),
    ("fe80::1", False, False, False),
    ("fe80::1%1", False, False, False),
    ("fe80::a9fe:a9fe", False, False, False),
    ("febf::1", False, False, False),
    ("fec0::1", False, False, False),
    ("ff02::1", False, False, False),
    ("ff0e::1", False, False, False),
    ("fd00:ec2::254", False, False, False),
    ("fd00:ec2::23", False, False, False),
    ("fd20:ce::254", False, False, False),
    ("fd00:c1::a9fe:a9fe", False, False, False),
    ("fd00:42::42", False, False, False),
    ("fd00:a9fe:a9fe::1", False, False, False),
    ("fd00:100::100:200", False, False, False),
    ("64:ff9b:1::a9fe:a9fe", False, False, False),
    ("64:ff9b:1::808:808", False, False, False),
    # never, in another dress
    ("::ffff:169.254.169.254", False, False, False),
    ("::ffff:0.0.0.0", False, False, False),
    ("::169.254.169.254", False, False, False),
    ("::ffff:0:169.254.169.254", False, False, False),
    ("64:ff9b::a9fe:a9fe", False, False, False),
    ("2002:a9fe:a9fe::", False, False, False),
    ("2002:a9fe:a9fe::808:808", False, False, False),
    ("2001:0:a9fe:a9fe::f7f7:f7f7", False, False, False),  # Teredo by way of a forbidden server
    ("2001:0:808:808::5601:5601", False, False, False),  # Teredo to a forbidden client
]


@pytest.mark.parametrize(
    ("address", "open_", "allowing", "local"), ADDRESSES, ids=[row[0] for row in ADDRESSES]
)
def test_addresses(address: str, open_: bool, allowing: bool, local: bool) -> None:
    parsed = ip_address(address)
    for guard, expected in ((strict, open_), (permissive, allowing), (lab, local)):
        objection = guard.objection(parsed, 443)
        assert (objection is None) == expected, objection
        assert objection is None or objection.startswith(f"address {parsed} is not allowed: ")


@pytest.mark.parametrize(
    ("address", "open_", "allowing", "local"), ADDRESSES, ids=[row[0] for row in ADDRESSES]
)
def test_the_dial_is_judged_like_the_address(address: str, open_: bool, allowing: bool, local: bool) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    place = (address, 443, 0, 0) if ":" in address else (address, 443)
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)
    for guard, expected in ((strict, open_), (permissive, allowing), (lab, local)):
        if expected:
            with guard.socket_for(info) as made:
                assert made.family == family
        else:
            with pytest.raises(AddressRefused) as caught:
                guard.socket_for(info)
            assert (caught.value.address, caught.value.port) == (address, 443)


def test_only_the_internet_is_dialled() -> None:
    with pytest.raises(AddressRefused):
        lab.socket_for((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("/run/docker.sock", 0)))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_a_dress_never_opens_more_than_the_address_itself(inner: IPv4Address) -> None:
    low = int(inner)
    dresses = [
        IPv6Address(prefix | low)
        for prefix in (0xFFFF << 32, 0xFFFF << 48, 0x64FF9B << 96, 0x64FF9B0001 << 80)
    ]
    dresses.append(IPv6Address((0x2002 << 112) | (low << 80) | 1))
    dresses.append(IPv6Address((0x20010000 << 96) | (low << 64) | 0xF7F7F7F7))
    dresses.append(IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (low ^ 0xFFFFFFFF)))
    for guard in (strict, permissive, lab):
        if guard.objection(inner, 443):
            assert all(guard.objection(dress, 443) for dress in dresses), inner


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_what_an_open_doctor_dials_is_global_unicast(address: IPv6Address) -> None:
    if strict.objection(address, 443) is None:
        assert (
            address in IPv6Network("2000::/3")
            or address in IPv6Network("64:ff9b::/96")
            or address.ipv4_mapped
        )
        assert address.is_global or address.ipv4_mapped
        assert not address.is_multicast


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_open_doctor_dials_no_ipv4_address_that_is_not_global(address: IPv4Address) -> None:
    if strict.objection(address, 443) is None:
        assert address.is_global
        assert not address.is_multicast


# --- URLs ---

GOOD_IN_THE_LAB = [
    "http://127.0.0.1:8080/hook",
    "http://localhost:8080/hook?x=1",
    "http://[::1]:8080/",
    "https://10.1.2.3/",
    "http://vnfm.example/doctor",
    "https://vnfm.example:8443/doctor",
    "HTTPS://VNFM.Example/doctor",
    "http://vnfm/",
    "http://vnf_m.internal./x",
    "http://müller.example/",
    "http://①②⑦.0.0.1:8080/",  # is 127.0.0.1, and judged as such
]


@pytest.mark.parametrize("url", GOOD_IN_THE_LAB)
def test_urls_that_a_doctor_on_loopback_takes(url: str) -> None:
    assert lab.objection_to_url(Url.parse(url)) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://vnfm.example/doctor",
        "https://8.8.8.8/",
        "https://[2001:4860:4860::8888]:8443/",
        "https://7.example/",
    ],
)
def test_urls_that_an_open_doctor_takes(url: str) -> None:
    assert strict.objection_to_url(Url.parse(url)) is None


NEVER_GOOD = [
    ("ftp://vnfm.example/", "must begin with"),
    ("file:///etc/passwd", "must begin with"),
    ("gopher://127.0.0.1:6379/_x", "must begin with"),
    ("vnfm.example/doctor", "must begin with"),
    ("//vnfm.example/doctor", "must begin with"),
    ("https:///doctor", "no host"),
    ("https:vnfm.example", "no host"),
    ("https://user@vnfm.example/", "user or password"),
    ("https://user:password@vnfm.example/", "user or password"),
    ("https://:@vnfm.example/", "user or password"),
    ("https://8.8.8.8@169.254.169.254/", "user or password"),
    ("https://vnfm.example:0/", "port 0"),
    ("https://0x7f.1/", "usual form"),
    ("https://2130706433/", "usual form"),
    ("https://017700000001/", "usual form"),
    ("https://0177.0.0.1/", "usual form"),
    ("https://127.1/", "usual form"),
    ("https://127.0.0.1./", "usual form"),
    ("https://0xa9fea9fe/", "usual form"),
    ("https://0xa9.254.0251.0376/", "usual form"),
    ("https://169.254.169.254./", "usual form"),
    ("https://2852039166/", "usual form"),
    ("https://1.2.3.4.5/", "usual form"),
    ("https://vnfm.example.0x/", "usual form"),
    ("https://256.1.1.1/", "usual form"),
    ("https://169.254.169.254/latest/meta-data/", "link-local"),
    ("https://①⑥⑨.②⑤④.169.254/", "link-local"),
    ("https://169。254。169。254/", "link-local"),
    ("https://[::ffff:169.254.169.254]/", "it stands for 169.254.169.254"),
    ("https://[::ffff:a9fe:a9fe]/", "it stands for 169.254.169.254"),
    ("https://[0:0:0:0:0:ffff:a9fe:a9fe]/", "it stands for 169.254.169.254"),
    ("https://[64:ff9b::a9fe:a9fe]/", "it stands for 169.254.169.254"),
    ("https://[64:ff9b::169.254.169.254]/", "it stands for 169.254.169.254"),
    ("https://[2002:a9fe:a9fe::]/", "it stands for 169.254.169.254"),
    ("https://[fd00:ec2::254]/", "cloud metadata"),
    ("https://[fec0::1]/", "site-local"),
    ("https://[fe80::1%25eth0]/", "it names an interface"),
    ("https://[::1%251]:12345/", "it names an interface"),
    ("https://[fe80::1]/", "link-local"),
    ("https://[::]/", "unspecified"),
    ("https://0.0.0.0/", "unspecified"),
    ("https://0/", "usual form"),
    ("https://255.255.255.255/", "reserved"),
    ("https://vn fm/", "neither a name nor an address"),
    ("https://vnfm%2eexample/", "neither a name nor an address"),
    ("https://127.0.0.1%00.example/", "neither a name nor an address"),
    ("https://-vnfm.example/", "neither a name nor an address"),
    ("https://" + "a." * 150 + "example/", "neither a name nor an address"),
]


@pytest.mark.parametrize(("url", "sentence"), NEVER_GOOD, ids=[row[0][:60] for row in NEVER_GOOD])
def test_urls_that_no_doctor_takes(url: str, sentence: str) -> None:
    for guard in (strict, permissive, lab):
        objection = guard.objection_to_url(Url.parse(url))
        assert objection is not None
        assert sentence in objection


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://vnfm.example/", "http is not allowed: use https"),
        ("https://127.0.0.1/", "address 127.0.0.1 is not allowed: loopback, and not in endpoints.allow"),
        ("https://localhost/", "host localhost is not allowed: loopback, and not in endpoints.allow"),
        (
            "https://Doctor.LocalHost./",
            "host doctor.localhost. is not allowed: loopback, and not in endpoints.allow",
        ),
        ("https://10.1.2.3/", "address 10.1.2.3 is not allowed: private, and not in endpoints.allow"),
        ("https://[fd12::1]/", "address fd12::1 is not allowed: private, and not in endpoints.allow"),
    ],
)
def test_what_an_open_doctor_says_against_it(url: str, sentence: str) -> None:
    assert strict.objection_to_url(Url.parse(url)) == sentence


# --- settings ---


def test_http_can_be_allowed() -> None:
    guard = Guard(EndpointSettings(http=True), listen=OPEN)
    assert guard.objection_to_url(Url.parse("http://vnfm.example/")) is None
    assert guard.objection_to_url(Url.parse("http://10.1.2.3/"))
    sentence = guard.objection_to_url(Url.parse("ftp://vnfm.example/"))
    assert sentence == "the URL must begin with http:// or https://"


def test_allowed_networks_are_allowed_and_no_others() -> None:
    guard = Guard(EndpointSettings(allow=("10.1.0.0/16", "fd12::/16", "192.168.7.7")), listen=OPEN)
    for address in ("10.1.2.3", "fd12::1", "192.168.7.7", "::ffff:10.1.2.3", "64:ff9b::a01:203"):
        assert guard.objection(ip_address(address), 443) is None
    for address in ("10.2.2.3", "fd13::1", "192.168.7.8", "::ffff:10.2.2.3", "127.0.0.1"):
        assert guard.objection(ip_address(address), 443)


def test_loopback_is_allowed_when_it_is_named() -> None:
    guard = Guard(EndpointSettings(allow=("127.0.0.1",)), listen=OPEN)
    assert guard.objection(IPv4Address("127.0.0.1"), 443) is None
    assert guard.objection(IPv4Address("127.0.0.2"), 443)
    assert guard.objection_to_url(Url.parse("https://localhost/")) is None


def test_denied_is_denied_even_on_loopback() -> None:
    guard = Guard(
        EndpointSettings(deny=("10.0.0.0/8",)), listen=LOOPBACK, deny=[ip_network("192.168.50.0/24")]
    )
    assert guard.objection(IPv4Address("10.1.2.3"), 443) == (
        "address 10.1.2.3 is not allowed: denied by the operator"
    )
    assert guard.objection(IPv4Address("192.168.50.5"), 443)
    assert guard.objection(IPv4Address("192.168.51.5"), 443) is None


def test_what_cannot_be_allowed_is_not() -> None:
    guard = Guard(EndpointSettings(allow=("169.254.0.0/16", "fe80::/10", "224.0.0.0/4")), listen=LOOPBACK)
    for address in ("169.254.169.254", "fe80::1", "224.0.0.1"):
        assert guard.objection(ip_address(address), 443)


def test_without_a_listener_nothing_is_loopback_only() -> None:
    assert not Guard().loopback_only
    assert Guard().objection(IPv4Address("127.0.0.1"), 443)


@pytest.mark.parametrize(
    ("listen", "loopback_only"),
    [
        pytest.param([("127.0.0.1", 1)], True, id="loopback"),
        pytest.param([("::1", 1)], True, id="loopback, IPv6"),
        pytest.param([("localhost", 1)], True, id="loopback by name"),
        pytest.param([("127.0.0.1", 1), ("0.0.0.0", 2)], False, id="one of two is open"),
        pytest.param([("0.0.0.0", 1)], False, id="everywhere"),
        pytest.param([("::", 1)], False, id="everywhere, IPv6"),
        pytest.param([("", 1)], False, id="everywhere, unsaid"),
        pytest.param([("10.0.0.1", 1)], False, id="private"),
        pytest.param([("no.such.name.invalid", 1)], False, id="a name that is none"),
    ],
)
def test_where_doctor_listens_decides_how_strict_it_is(
    listen: list[tuple[str, int]], loopback_only: bool
) -> None:
    guard = Guard(listen=listen)
    assert guard.loopback_only is loopback_only
    assert guard.http is loopback_only


# --- Doctor itself ---


def test_doctor_does_not_call_itself() -> None:
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        assert "it is Doctor itself" in (lab.objection(ip_address(address), 12345) or "")
        assert lab.objection(ip_address(address), 12346) is None
    assert lab.objection_to_url(Url.parse("http://localhost:12345/v1/events")) == (
        "host localhost is not allowed: it is Doctor itself"
    )


def test_one_that_listens_everywhere_is_all_addresses_of_the_machine() -> None:
    everywhere = Guard(
        EndpointSettings(allow=("127.0.0.0/8", "0.0.0.0/0"), http=True), listen=[("0.0.0.0", 12345)]
    )
    mine = _address_of_this_machine()
    for address in {"127.0.0.1", "127.0.0.9", mine}:
        assert everywhere.objection(ip_address(address), 12345) == (
            f"address {address} is not allowed: it is Doctor itself"
        )
        assert everywhere.objection(ip_address(address), 12346) is None
    for address in ("8.8.8.8", "203.0.113.5"):
        assert everywhere.objection(ip_address(address), 12345) is None


def _address_of_this_machine() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


# --- reading settings ---


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        pytest.param(None, EndpointSettings(), id="nothing"),
        pytest.param({}, EndpointSettings(), id="empty"),
        pytest.param(
            {"allow": ["10.0.0.0/8", "fd00::/8", "192.168.0.1"], "deny": ["10.9.0.0/16"], "http": True},
            EndpointSettings(
                allow=("10.0.0.0/8", "fd00::/8", "192.168.0.1"), deny=("10.9.0.0/16",), http=True
            ),
            id="all",
        ),
    ],
)
def test_settings(value: object, settings: EndpointSettings) -> None:
    assert parse_endpoint_settings(value) == settings


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"allow": ["10.0.0.0/8", "10.0.0.5/8"]},
            "endpoints.allow[1]: '10.0.0.5/8' has bits beyond its mask: write 10.0.0.0/8, or the address without mask",
        ),
        (
            {"deny": ["bmc"]},
            "endpoints.deny[0]: 'bmc' is no network: write CIDR, such as 10.1.0.0/16 or 2001:db8::/32",
        ),
        ({"allow": [7]}, "endpoints.allow[0]: Expected `str`, got `int`"),
        ({"allow": "10.0.0.0/8"}, "endpoints.allow: Expected `array`, got `str`"),
        ({"http": "yes"}, "endpoints.http: Expected `bool`, got `str`"),
        ({"htpp": True}, "endpoints: Object contains unknown field `htpp`"),
        ([], "endpoints: Expected `object`, got `array`"),
    ],
)
def test_wrong_settings_are_named_by_their_path(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_endpoint_settings(value)
    assert str(caught.value) == message


def test_networks() -> None:
    assert parse_network("10.0.0.0/8") == IPv4Network("10.0.0.0/8")
    assert parse_network("10.0.0.1") == IPv4Network("10.0.0.1/32")
    assert parse_network("fd00::/8") == IPv6Network("fd00::/8")
