"""Datagrams of SNMP: what net-snmp sends is understood, and nothing that anybody else can send is believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.snmp import ber, message
from doctor.drivers.monitors.snmp.ber import Malformed
from doctor.drivers.monitors.snmp.message import AUTHENTICATED, ENCRYPTED, REPORTABLE, V1, V2C, Kind, Secured
from doctor.drivers.monitors.snmp.understanding import Heard, Reply
from doctor.drivers.monitors.snmp.usm import MOST_BOOTS, WINDOW, Engine, Refused, Security, User
from tests.unit.monitors.snmp_traps import (
    BOOTS,
    DOCTOR,
    ENGINE,
    IF_INDEX,
    LINK_DOWN,
    OWN_ENGINE,
    SAMPLES,
    binding,
    link,
    sample,
    signed,
    told,
    trap,
    understanding,
)

NAMES = sorted(path.name.removesuffix(".ber.hex") for path in SAMPLES.glob("*.hex"))
STRONG = User("strong", "sha512", "a" * 20, "aes256", "b" * 20)


def heard(data: bytes, now: float = 1.0) -> Heard:
    found = understanding().read(data, now)
    assert isinstance(found, Heard)
    return found


def refused(data: bytes, now: float = 1.0) -> str:
    with pytest.raises(Refused) as raised:
        understanding().read(data, now)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "version", "oid"),
    [
        ("v1_linkDown", "v1", LINK_DOWN),
        ("v2c_linkDown", "v2c", LINK_DOWN),
        ("v2c_cisco_envmon_psu", "v2c", "1.3.6.1.4.1.9.9.13.3.0.5"),
        ("v2c_cisco_fru_power_status", "v2c", "1.3.6.1.4.1.9.9.117.2.0.2"),
        ("v2c_dell_idrac_psu_failed", "v2c", "1.3.6.1.4.1.674.10892.5.3.2.1.0.2201"),
        ("v2c_entStateOperDisabled", "v2c", "1.3.6.1.2.1.131.0.2"),
        ("v3_authPriv_sha_aes128_linkDown", "v3 authPriv", LINK_DOWN),
    ],
)
def test_what_net_snmp_has_sent_is_understood(name: str, version: str, oid: str) -> None:
    said = heard(sample(name))
    assert (said.version, said.notice.trap, said.reply) == (version, oid, None)
    assert said.notice.bindings


def test_what_pysnmp_has_read_is_what_we_read() -> None:
    lines = [json.loads(line) for line in (SAMPLES / "traps_decoded.jsonl").read_text().splitlines()]
    other = next(line for line in lines if line["version"] == 2)["varbinds"]
    ours = dict(heard(sample("v2c_linkDown")).notice.bindings)
    for one in other[2:]:
        value = ours[one["oid"]]
        assert (value.decode() if isinstance(value, bytes) else str(value)) == one["value"]


def test_a_trap_of_version_1_is_named_as_later_versions_do() -> None:
    enterprise = ber.packed_oid("1.3.6.1.4.1.318")
    for generic, specific, wanted in ((3, 0, "1.3.6.1.6.3.1.1.5.4"), (6, 5, "1.3.6.1.4.1.318.0.5")):
        numbers = map(ber.packed_integer, (generic, specific))
        address = ber.packed(ber.IP_ADDRESS, bytes((192, 0, 2, 9)))
        said = ber.packed(
            Kind.TRAP_V1,
            enterprise,
            address,
            *numbers,
            ber.packed(ber.TICKS, b"\x05"),
            ber.packed(ber.SEQUENCE),
        )
        notice = heard(message.packed_plain(V1, b"public", said)).notice
        assert (notice.trap, notice.agent, notice.uptime) == (wanted, "192.0.2.9", 5)


@pytest.mark.parametrize("kind", [7, -1])
def test_a_trap_of_version_1_of_no_kind_is_none(kind: int) -> None:
    said = ber.packed(
        Kind.TRAP_V1,
        ber.packed_oid("1.3.6.1"),
        ber.packed(ber.IP_ADDRESS, bytes(4)),
        ber.packed_integer(kind),
        ber.packed_integer(0),
        ber.packed(ber.TICKS, b"\x05"),
        ber.packed(ber.SEQUENCE),
    )
    with pytest.raises(Malformed):
        heard(message.packed_plain(V1, b"public", said))


def test_an_inform_of_version_2c_is_answered_with_what_it_said() -> None:
    data = link(7, kind=Kind.INFORM)
    reply = heard(data).reply
    assert reply is not None
    outside = message.read(reply)
    assert isinstance(outside, message.Plain)
    said = message.pdu(reply, outside.at, outside.end)
    asked = message.pdu(data, *message.read(data)[2:])
    assert (said.kind, said.request_id, said.status, said.bindings) == (
        Kind.RESPONSE,
        asked.request_id,
        0,
        asked.bindings,
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(trap(LINK_DOWN, community=b"private"), "unknown community", id="community"),
        pytest.param(trap(LINK_DOWN, community=b""), "unknown community", id="no-community"),
        pytest.param(trap(LINK_DOWN, kind=Kind.GET), "not for us", id="request"),
        pytest.param(signed(user=STRONG), "unknown user", id="user"),
        pytest.param(signed(user=User("doctor", "sha", "x" * 9, "aes", "y" * 9)), "wrong key", id="auth-key"),
        pytest.param(
            signed(user=User("doctor", "sha", "authpass12", "aes", "y" * 9)), "wrong key", id="privacy-key"
        ),
        pytest.param(
            signed(user=User("doctor", "sha256", "authpass12", "aes", "privpass12")), "wrong key", id="method"
        ),
        pytest.param(signed(flags=AUTHENTICATED), "unprotected", id="not-encrypted"),
        pytest.param(
            message.packed_secured(
                Secured(1, 0, ENGINE, 1, 1, b"doctor", 0, b"", b"", 0, 0),
                message.packed_scoped(ENGINE, told(Kind.TRAP, LINK_DOWN)),
            ),
            "unprotected",
            id="not-signed",
        ),
        pytest.param(signed(boots=MOST_BOOTS), "replayed", id="last-boots"),
        pytest.param(signed(kind=Kind.INFORM), "not for us", id="inform-to-another"),
    ],
)
@pytest.mark.shows("monitor snmp", "bad input")
def test_what_nobody_of_ours_can_have_sent_is_refused(data: bytes, reason: str) -> None:
    assert refused(data) == reason


@pytest.mark.shows("monitor snmp", "bad input")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x30", id="one-byte"),
        pytest.param(b"\x30\x80", id="indefinite-length"),
        pytest.param(b"\x30\x85\x01\x01\x01\x01\x01", id="length-of-a-length"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff", id="huge-length"),
        pytest.param(b"\x30\x03\x02\x01\x02", id="version-2"),
        pytest.param(b"\xff" * 500, id="ones"),
        pytest.param(message.packed_plain(V2C, b"public", b""), id="nothing-in-it"),
        pytest.param(
            message.packed_plain(V2C, b"public", message.packed_pdu(Kind.TRAP, 1, ber.packed(ber.SEQUENCE))),
            id="no-trap-oid",
        ),
        pytest.param(
            message.packed_plain(V2C, b"public", told(Kind.TRAP, LINK_DOWN, *[binding("1.3.6.1", 1)] * 600)),
            id="too-many-bindings",
        ),
        pytest.param(
            trap(LINK_DOWN, ber.packed(ber.SEQUENCE, b"\x06\x06\x2b\xff\xff\xff\xff\xff", b"\x05\x00")),
            id="oid-without-end",
        ),
        pytest.param(
            trap(
                LINK_DOWN, ber.packed(ber.SEQUENCE, b"\x06\x08\x2b\x9f\xff\xff\xff\xff\xff\x7f", b"\x05\x00")
            ),
            id="oid-too-large",
        ),
        pytest.param(
            trap(LINK_DOWN, ber.packed(ber.SEQUENCE, b"\x06\x01\x2b", b"\x02\x0b" + b"\x01" * 11)),
            id="number-too-long",
        ),
        pytest.param(
            trap(LINK_DOWN, ber.packed(ber.SEQUENCE, b"\x06\x01\x2b", b"\x40\x02\x01\x01")),
            id="short-address",
        ),
        pytest.param(
            trap(LINK_DOWN, ber.packed(ber.SEQUENCE, b"\x06\x01\x2b", b"\x05\x01\x01")),
            id="null-of-something",
        ),
        pytest.param(
            trap(LINK_DOWN, ber.packed(ber.SEQUENCE, b"\x06\x01\x2b", b"\x4f\x00")), id="tag-of-nothing"
        ),
    ],
)
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        understanding().read(data, 1.0)


@given(name=st.sampled_from(NAMES), at=st.integers(0, 250), byte=st.integers(0, 255), cut=st.integers(0, 250))
def test_whatever_comes_is_understood_or_refused(name: str, at: int, byte: int, cut: int) -> None:
    """Truncated, and with a byte that is another one."""
    data = bytearray(sample(name))
    data[at % len(data)] = byte
    for one in (bytes(data), bytes(data[:cut]), bytes(data[cut:])):
        try:
            found = understanding().read(one, 1.0)
        except (Malformed, Refused):
            continue
        assert isinstance(found, Heard | Reply)


@given(at=st.integers(0, 210), bit=st.integers(0, 7))
def test_no_bit_of_what_is_signed_can_be_changed(at: int, bit: int) -> None:
    data = bytearray(sample("v3_authPriv_sha_aes128_linkDown"))
    data[at % len(data)] ^= 1 << bit
    try:
        found = understanding().read(bytes(data), 1.0)
    except (Malformed, Refused):
        return
    assert isinstance(found, Reply)  # the bit that asks who we are


@pytest.mark.parametrize(
    ("auth", "privacy"),
    [("sha", "aes"), ("sha256", "aes"), ("sha512", "aes"), ("sha256", "aes256"), ("sha512", "aes256")],
)
def test_what_one_encrypts_another_reads(auth: str, privacy: str) -> None:
    user = User("u", auth, "a" * 10, privacy, "b" * 10)
    data = signed(user=user)
    said = message.read(data)
    assert isinstance(said, Secured)
    engine, pdu = Security({"u": user}).open(data, said)
    assert (engine, pdu.kind) == (ENGINE, Kind.TRAP)


def test_the_same_text_is_never_encrypted_the_same() -> None:
    security = Security({"doctor": DOCTOR})
    header = Secured(1, AUTHENTICATED | ENCRYPTED, ENGINE, 1, 1, b"doctor", 0, b"", b"", 0, 0)
    scoped = message.packed_scoped(ENGINE, told(Kind.TRAP, LINK_DOWN))
    assert len({security.close(header, scoped) for _ in range(10)}) == 10


# --- whether it is of now ---


class TestClockOfADevice:
    def weigh(self, engine: Engine, now: float, **what: int) -> None:
        said = message.read(signed(**what))  # type: ignore[arg-type]
        assert isinstance(said, Secured)
        engine.weigh(said, now)

    def test_nothing_is_proven_before_the_device_has_answered_us(self) -> None:
        known = understanding()
        said = known.read(signed(), 1.0)
        assert isinstance(said, Heard)
        assert not said.is_of_now
        known.engine(ENGINE).answered("leaf-1", 3, 101, 2.0)
        said = known.read(signed(time=102), 3.0)
        assert isinstance(said, Heard)
        assert said.is_of_now

    def test_a_recording_of_before_our_start_is_none_of_now(self) -> None:
        known = understanding()
        known.engine(ENGINE).answered("leaf-1", 3, 10_000, 1.0)
        with pytest.raises(Refused, match="replayed"):
            known.read(signed(time=9_000), 2.0)

    def test_the_same_datagram_counts_once(self) -> None:
        known, data = understanding(), signed()
        known.read(data, 1.0)
        with pytest.raises(Refused, match="replayed"):
            known.read(data, 1.1)

    def test_one_of_an_earlier_start_is_a_recording(self) -> None:
        engine = Engine()
        self.weigh(engine, 0.0, boots=4)
        with pytest.raises(Refused, match="replayed"):
            self.weigh(engine, 1.0, boots=3, time=1_000_000)

    def test_one_that_is_late_is_a_recording_when_the_window_is_over(self) -> None:
        engine = Engine()
        self.weigh(engine, 0.0, time=1000)
        self.weigh(engine, 10.0, time=1000 + 10 - WINDOW)
        with pytest.raises(Refused, match="replayed"):
            self.weigh(engine, 10.0, time=1000 + 10 - WINDOW - 1)

    def test_a_clock_that_we_know_does_not_jump(self) -> None:
        engine = Engine()
        engine.answered("leaf-1", 3, 1000, 0.0)
        with pytest.raises(Refused, match="ahead of its time"):
            self.weigh(engine, 1.0, time=1001 + WINDOW + 10)

    def test_a_device_that_has_begun_anew_has_to_prove_it(self) -> None:
        engine = Engine()
        engine.answered("leaf-1", 3, 1000, 0.0)
        self.weigh(engine, 1.0, boots=4, time=5)
        before = engine.is_proven
        engine.answered("leaf-1", 4, 6, 2.0)
        assert (before, engine.is_proven) == (False, True)
        self.weigh(engine, 3.0, boots=4, time=7)

    def test_a_clock_of_recordings_gives_way_to_the_real_one(self) -> None:
        engine = Engine()
        self.weigh(engine, 0.0, boots=9, time=1000)
        engine.answered("leaf-1", 3, 50, 1.0)
        self.weigh(engine, 2.0, boots=3, time=51)
        assert engine.is_proven


class TestInformOfVersion3:
    def report(self, data: bytes, *, is_signed: bool = False) -> tuple[Secured, str]:
        """Return the header of a report, and what it is about."""
        said = message.read(data)
        assert isinstance(said, Secured)
        if not is_signed:
            assert said.flags == 0
        _, pdu = message.scoped(data, said.at, said.end)
        assert pdu.kind is Kind.REPORT
        return said, pdu.bindings[0][0]

    def asked(self, known: object, data: bytes, now: float) -> bytes:
        reply = known.read(data, now)  # type: ignore[attr-defined]
        assert isinstance(reply, Reply)
        return reply.data

    def test_a_device_finds_out_who_we_are_and_what_our_clock_says(self) -> None:
        known = understanding()
        hello = message.packed_secured(
            Secured(1, REPORTABLE, b"", 0, 0, b"", 0, b"", b"", 0, 0),
            message.packed_scoped(b"", message.packed_pdu(Kind.GET, 1, ber.packed(ber.SEQUENCE))),
        )
        answer = self.asked(known, hello, 5.0)
        said, about = self.report(answer)
        assert (said.engine, said.boots, said.time) == (OWN_ENGINE, BOOTS, 5)
        assert about == "1.3.6.1.6.3.15.1.1.4.0"
        assert len(answer) < 2 * len(hello)

    def test_it_is_answered_once_its_clock_is_ours(self) -> None:
        known = understanding()
        early = signed(engine=OWN_ENGINE, boots=0, time=0, kind=Kind.INFORM)
        said, about = self.report(self.asked(known, early, 200.0), is_signed=True)
        assert (said.boots, said.time, about) == (BOOTS, 200, "1.3.6.1.6.3.15.1.1.2.0")
        right = signed(engine=OWN_ENGINE, boots=BOOTS, time=200, kind=Kind.INFORM)
        found = known.read(right, 201.0)
        assert isinstance(found, Heard)
        assert (found.is_of_now, found.engine) == (True, ENGINE)
        assert found.reply is not None
        reply = message.read(found.reply)
        assert isinstance(reply, Secured)
        _, pdu = known.security.open(found.reply, reply)
        assert (pdu.kind, pdu.bindings[-1]) == (Kind.RESPONSE, found.notice.bindings[-1])

    def test_one_that_comes_again_is_answered_and_proves_nothing(self) -> None:
        known = understanding()
        data = signed(engine=OWN_ENGINE, boots=BOOTS, time=10, kind=Kind.INFORM)
        first, second = known.read(data, 11.0), known.read(data, 12.0)
        assert isinstance(first, Heard)
        assert isinstance(second, Heard)
        assert (first.is_of_now, second.is_of_now) == (True, False)
        assert second.reply is not None

    def test_a_trap_that_is_addressed_to_us_is_none(self) -> None:
        with pytest.raises(Refused, match="not for us"):
            understanding().read(signed(engine=OWN_ENGINE, boots=BOOTS, time=1), 1.0)


def test_engines_that_are_made_up_take_no_room() -> None:
    known = understanding()
    for number in range(11_000):
        known.engine(number.to_bytes(8))
    assert len(known._engines) == 10_000


def test_bindings_keep_their_numbers() -> None:
    values = dict(
        heard(trap(LINK_DOWN, binding(f"{IF_INDEX}.7", -129), binding("1.3.6.1.9", b""))).notice.bindings
    )
    assert values == {f"{IF_INDEX}.7": -129, "1.3.6.1.9": b""}


@pytest.mark.parametrize("number", [0, 1, -1, 127, 128, -128, -129, 2**31, -(2**31)])
def test_numbers_come_back_as_they_were(number: int) -> None:
    packed = ber.packed_integer(number)
    assert ber.integer(packed, 0, len(packed)) == (number, len(packed))


@pytest.mark.parametrize("name", ["1.3", "2.999.3", "0.39.4294967295", "1.3.6.1.4.1.18446"])
def test_names_come_back_as_they_were(name: str) -> None:
    packed = ber.packed_oid(name)
    assert ber.oid(packed[2:]) == name


@pytest.mark.parametrize("name", ["1", "3.1", "1.3.-1", "x"])
def test_what_is_no_name_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=r"object identifier|invalid literal"):
        ber.packed_oid(name)
