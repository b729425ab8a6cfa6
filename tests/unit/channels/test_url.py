"""How a URL is read: once, to the letter, and never by guessing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.channels.url import Place, Url


@pytest.mark.parametrize(
    ("text", "place", "host_header", "target"),
    [
        ("http://vnfm", (False, "vnfm", 80), "vnfm", "/"),
        ("https://vnfm/", (True, "vnfm", 443), "vnfm", "/"),
        ("HTTPS://VNFM.Example/Doctor", (True, "vnfm.example", 443), "vnfm.example", "/Doctor"),
        ("https://vnfm:443/", (True, "vnfm", 443), "vnfm", "/"),
        ("https://vnfm:0443/", (True, "vnfm", 443), "vnfm", "/"),
        ("https://vnfm:/", (True, "vnfm", 443), "vnfm", "/"),
        ("https://vnfm:8443/", (True, "vnfm", 8443), "vnfm:8443", "/"),
        ("http://vnfm:443/", (False, "vnfm", 443), "vnfm:443", "/"),
        ("https://vnfm.example./", (True, "vnfm.example.", 443), "vnfm.example", "/"),
        ("http://[::1]:8080/", (False, "::1", 8080), "[::1]:8080", "/"),
        ("http://[2001:DB8::1]/", (False, "2001:db8::1", 80), "[2001:db8::1]", "/"),
        ("http://vnfm?x=1", (False, "vnfm", 80), "vnfm", "/?x=1"),
        ("http://vnfm/a?", (False, "vnfm", 80), "vnfm", "/a?"),
        ("http://vnfm/a#b?c", (False, "vnfm", 80), "vnfm", "/a"),
        ("http://vnfm/a?b#c", (False, "vnfm", 80), "vnfm", "/a?b"),
        ("http://vnfm#c", (False, "vnfm", 80), "vnfm", "/"),
        (
            "http://vnfm//a/../%2e%2E/%7e?sig=a%2Fb+c%&x='\"<>{}|\\^`;@:",
            (False, "vnfm", 80),
            "vnfm",
            "//a/../%2e%2E/%7e?sig=a%2Fb+c%&x='\"<>{}|\\^`;@:",
        ),
        ("http://vnfm/ä?ö=%2f", (False, "vnfm", 80), "vnfm", "/%C3%A4?%C3%B6=%2f"),
        (
            "http://müller.example/",
            (False, "xn--mller-kva.example", 80),
            "xn--mller-kva.example",
            "/",
        ),
        ("http://straße.example/", (False, "xn--strae-oqa.example", 80), "xn--strae-oqa.example", "/"),
        ("http://①②⑦.0.0.1/", (False, "127.0.0.1", 80), "127.0.0.1", "/"),
    ],
)
def test_where_it_leads_and_what_is_asked_for(
    text: str, place: tuple[bool, str, int], host_header: str, target: str
) -> None:
    url = Url.parse(text)
    assert (url.place, url.host_header, url.target) == (Place(*place), host_header, target)
    assert not url.has_user


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://me@vnfm/", "vnfm"),
        ("https://me:secret@vnfm/", "vnfm"),
        ("https://:@vnfm/", "vnfm"),
        ("https://@vnfm/", "vnfm"),
        ("https://a@b@vnfm/", "vnfm"),
        ("https://good\\@vnfm/", "vnfm"),
        ("https://[::1]@vnfm/", "vnfm"),
        ("https://me@[::1]:80/", "::1"),
    ],
)
def test_a_user_is_seen(text: str, host: str) -> None:
    url = Url.parse(text)
    assert url.has_user
    assert url.host == host


@pytest.mark.parametrize("text", ["", "vnfm", "vnfm.example/x", "//vnfm/", "/x", "?x", "#x", "1http://vnfm/"])
def test_without_a_scheme(text: str) -> None:
    assert Url.parse(text).scheme == ""


@pytest.mark.parametrize(
    "text",
    [
        "http://vnfm:99999/",
        "http://vnfm:65536/",
        "http://vnfm:-1/",
        "http://vnfm:+80/",
        "http://vnfm: 80/",
        "http://vnfm:\uff180/",
        "http://vnfm:80:80/",
        "http://vnfm:x/",
        "http://[::1/",
        "http://::1/",
        "http://::1]/",
        "http://[::1]x/",
        "http://x[::1]/",
        "http://[vnfm]/",
        "http://[127.0.0.1]/",
        "http://[v1.x]/",
        "http://[]/",
        "http://[[::1]]/",
        "http://ü..example/",
    ],
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):
        Url.parse(text)


@given(st.text(max_size=60).map(lambda text: "http://" + text) | st.text(max_size=60))
def test_whatever_is_read_can_be_written(text: str) -> None:
    try:
        url = Url.parse(text)
    except ValueError:
        return
    assert url.target.isascii()
    assert url.host.isascii()
    assert 0 <= url.port <= 65535
