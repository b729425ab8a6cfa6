"""From a datagram to what was said, by whom, and how well that is known.

Comes in a datagram and when it came; goes out what it says, and what is to be sent back. What is not believed is `Refused`,
what is no message is `Malformed`. There is no socket and no clock here.
"""

import hmac
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from doctor.drivers.monitors.snmp import ber, message
from doctor.drivers.monitors.snmp.message import (
    AUTHENTICATED,
    ENCRYPTED,
    REPORTABLE,
    V1,
    V2C,
    Kind,
    Notice,
    Pdu,
    Plain,
    Secured,
)
from doctor.drivers.monitors.snmp.usm import (
    MOST_SEEN,
    NOT_IN_TIME,
    UNKNOWN_ENGINE,
    WINDOW,
    Engine,
    Refused,
    Security,
    User,
)
from doctor.kit.secret import Secret

MOST_ENGINES = 10_000
VERSIONS = {V1: "v1", V2C: "v2c"}
V3_NAME = "v3 authPriv"


class Heard(NamedTuple):
    """A notice. ``reply`` answers an inform, once it is kept.

    What ``is_of_now`` was signed by a user of ours, and is no recording; ``engine`` is the device of which he spoke. Whose
    engine that is the datagram does not tell: its address is not signed.
    """

    notice: Notice
    version: str
    is_of_now: bool = False
    engine: bytes = b""
    reply: bytes | None = None


class Reply(NamedTuple):
    """Nothing was said yet: a device asks who we are, and what our clock says."""

    data: bytes


class Understanding:
    """What is known of communities, users and engines. ``boots`` has to grow with each start."""

    def __init__(
        self, communities: Iterable[Secret], users: Mapping[str, User], engine: bytes, boots: int, now: float
    ) -> None:
        self._communities = [one.reveal().encode() for one in communities]
        self.security = Security(users)
        self._engine = engine
        self._boots = boots
        self._started = now
        self._engines: OrderedDict[bytes, Engine] = OrderedDict()
        self._answered: OrderedDict[bytes, None] = OrderedDict()
        self._reports = 0

    def read(self, data: bytes, now: float) -> Heard | Reply:
        """Return what a datagram says.

        Raises:
            Malformed: it is no message.
            Refused: it is not believed.
        """
        said = message.read(data)
        return self._plain(data, said) if isinstance(said, Plain) else self._secured(data, said, now)

    def engine(self, name: bytes) -> Engine:
        """Return what is known of the clock of a device."""
        found = self._engines.get(name)
        if found is None:
            found = self._engines[name] = Engine()
            if len(self._engines) > MOST_ENGINES:
                self._engines.popitem(last=False)
        return found

    def _plain(self, data: bytes, said: Plain) -> Heard:
        matches = [hmac.compare_digest(said.community, known) for known in self._communities]
        if True not in matches:
            raise Refused("unknown community")
        if said.version == V1:
            return Heard(message.notice_v1(data, said.at, said.end), VERSIONS[V1])
        pdu = message.pdu(data, said.at, said.end)
        notice = self._notice(pdu, V2C)
        reply = None
        if pdu.kind is Kind.INFORM:
            answer = message.packed_pdu(Kind.RESPONSE, pdu.request_id, pdu.bound)
            reply = message.packed_plain(V2C, said.community, answer)
        return Heard(notice, VERSIONS[V2C], reply=reply)

    def _notice(self, pdu: Pdu, version: int) -> Notice:
        if pdu.kind not in (Kind.TRAP, Kind.INFORM):
            raise Refused("not for us")
        return message.notice_of(pdu, version)

    def _secured(self, data: bytes, said: Secured, now: float) -> Heard | Reply:
        if said.flags & REPORTABLE and said.engine != self._engine:
            return Reply(self._report(said, UNKNOWN_ENGINE, now))
        context, pdu = self.security.open(data, said)
        if said.engine == self._engine:
            return self._inform(said, context, pdu, now)
        notice = self._notice(pdu, message.V3)
        if pdu.kind is not Kind.TRAP:
            raise Refused("not for us")
        engine = self.engine(said.engine)
        engine.weigh(said, now)
        return Heard(notice, V3_NAME, engine.is_proven, said.engine)

    def _inform(self, said: Secured, context: bytes, pdu: Pdu, now: float) -> Heard | Reply:
        """Take an inform, which is about our clock: whoever has it right has asked for it in this run of ours."""
        if said.boots != self._boots or abs(said.time - self._time(now)) > WINDOW:
            return Reply(self._report(said, NOT_IN_TIME, now, is_signed=True))
        notice = self._notice(pdu, message.V3)
        if pdu.kind is not Kind.INFORM:
            raise Refused("not for us")
        answer = message.packed_pdu(Kind.RESPONSE, pdu.request_id, pdu.bound)
        header = said._replace(
            flags=AUTHENTICATED | ENCRYPTED, boots=self._boots, time=self._time(now), auth=b"", salt=b""
        )
        reply = self.security.close(header, message.packed_scoped(context, answer))
        is_first = said.auth not in self._answered  # one that did not hear the answer sends the same again
        self._answered[said.auth] = None
        if len(self._answered) > MOST_SEEN:
            self._answered.popitem(last=False)
        return Heard(notice, V3_NAME, is_first, context, reply)

    def _report(self, said: Secured, why: str, now: float, *, is_signed: bool = False) -> bytes:
        """Return what tells a device our name and our clock; it is smaller than what asks for it may be."""
        self._reports += 1
        count = ber.packed(ber.SEQUENCE, ber.packed_oid(why), ber.packed_counter(self._reports))
        report = message.packed_pdu(Kind.REPORT, 0, ber.packed(ber.SEQUENCE, count))
        scoped = message.packed_scoped(self._engine, report)
        header = said._replace(
            flags=AUTHENTICATED if is_signed else 0,
            engine=self._engine,
            boots=self._boots,
            time=self._time(now),
            user=said.user if is_signed else b"",
            auth=b"",
            salt=b"",
        )
        return self.security.close(header, scoped) if is_signed else message.packed_secured(header, scoped)

    def _time(self, now: float) -> int:
        return int(now - self._started)
