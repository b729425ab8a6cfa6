"""One BMC that speaks IPMI: what is asked of it, and in which order."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from doctor.devices.ipmi import BAD_COMMAND, PATIENCE_WITH_KEPT, IpmiAccess, IpmiDevice
from doctor.devices.worker import Leash
from doctor.drivers.monitors.bmc.findings import HOST_DOWN, Finding, Look, Record
from doctor.kit.deadline import Deadline
from doctor.kit.secret import Secret
from doctor.model.fault import Severity
from doctor.model.fencing import Doubt, Unknown

if TYPE_CHECKING:
    from doctor.devices.ipmi_session import IpmiSession
    from doctor.drivers.monitors.ipmi.sel import SelReader
    from doctor.drivers.monitors.ipmi.sensors import Sensor

SENSOR, STORAGE = 0x04, 0x0A  # network functions
SENSOR_READING, SDR_INFO, SDR_RESERVE, SDR_ENTRY, SEL_INFO, SEL_ENTRY = 0x2D, 0x20, 0x22, 0x23, 0x40, 0x43
NOT_PRESENT, LOST_RESERVATION, TOO_LONG, CANNOT = 0xCB, 0xC5, 0xCA, 0xFF
MOST_RECORDS = 2048  # descriptions of a BMC
WHOLE, PIECE = 0xFF, 16
HEADER = 5
RESERVE_AGAIN = 3


class Descriptions(NamedTuple):
    """The sensors as far as they are read; ``next`` is the record to go on with, ``mark`` changes when they do."""

    mark: bytes
    sensors: "dict[int, Sensor]"
    next: int = 0
    number: int = 0
    flaws: int = 0

    @property
    def is_whole(self) -> bool:
        """Tell whether all are read."""
        return self.next == 0xFFFF


class IpmiBmc:
    """The BMC of one host. What is kept between looks is used in the thread of its device only."""

    def __init__(self, host: str, access: IpmiAccess, password: Secret) -> None:
        self.host = host
        self.bell = asyncio.Event()
        self._device = IpmiDevice(access, password, patience=float("inf"))
        self._descriptions: Descriptions | None = None
        self._sel: SelReader | None = None

    async def look(self, deadline: Deadline) -> Look | Unknown:
        """Read all that it shows, or say why not."""
        found: Look | Unknown = await self._device.do(self._ask, deadline)
        return found

    async def close(self) -> None:
        """Log out."""
        await self._device.close()

    def _ask(self, session: "IpmiSession", leash: Leash) -> Look | Unknown:
        from doctor.devices.ipmi_session import CHASSIS, CHASSIS_STATUS

        # A session that the BMC has forgotten is noticed by the first command: then there is time for another one.
        status = session.ask(CHASSIS, CHASSIS_STATUS, leash.shortened(PATIENCE_WITH_KEPT))
        if len(status) < 3:
            return Unknown(Doubt.UNINTELLIGIBLE, f"a chassis status of {len(status)} bytes")
        is_on = bool(status[0] & 1)
        asking = Asking(session, leash)
        self._descriptions = asking.describe(self._descriptions)
        if not self._descriptions.is_whole:
            return Unknown(
                Doubt.LATE, f"{self._descriptions.number} descriptions of sensors are read, and not all yet"
            )
        look = asking.look(self._descriptions.sensors, is_on=is_on)
        news, lost, flaws = self._read_log(asking)
        flaws += look.flaws + self._descriptions.flaws
        self._descriptions = self._descriptions._replace(flaws=0)  # counted once
        findings = look.findings if is_on else [NO_POWER, *look.findings]
        return Look(findings, news, flaws, lost)

    def _read_log(self, asking: "Asking") -> tuple[list[Record], int, int]:
        from doctor.drivers.monitors.ipmi.sel import SelReader, record_of

        assert self._descriptions is not None
        self._sel = self._sel or SelReader()
        records, flaws = list[Record](), 0
        news = self._sel.read(asking)
        for raw in news.records:
            try:
                record = record_of(raw, self._descriptions.sensors)
            except ValueError:
                flaws += 1
            else:
                records += [record] if record else []
        return records, news.lost, flaws


NO_POWER = Finding(
    HOST_DOWN, "power", Severity.CRITICAL, "its BMC says that it has no power", {"power_state": "Off"}
)


class Asking:
    """One look, in a session. It is a `Log` too."""

    def __init__(self, session: "IpmiSession", leash: Leash) -> None:
        self._session = session
        self._leash = leash

    def look(self, sensors: "dict[int, Sensor]", *, is_on: bool) -> Look:
        """Read all sensors; one that the BMC does not know any more is left out."""
        from doctor.drivers.monitors.ipmi.sensors import finding_of

        findings, flaws = list[Finding](), 0
        for sensor in sensors.values():
            if not sensor.is_watched:
                continue
            reading = self._command(SENSOR, SENSOR_READING, sensor.number)
            if reading is None:
                continue
            try:
                finding = finding_of(sensor, reading, is_on=is_on)
            except ValueError:
                flaws += 1
            else:
                findings += [finding] if finding else []
        return Look(findings, flaws=flaws)

    # --- descriptions ---

    def describe(self, known: Descriptions | None) -> Descriptions:
        """Read on in the descriptions, as far as half of the time goes; anew if they have changed."""
        from doctor.drivers.monitors.ipmi.sensors import sensors_of

        info = self._command(STORAGE, SDR_INFO)
        mark = b"" if info is None else info[:3] + info[5:13]
        if known is None or known.mark != mark:
            known = Descriptions(mark, {}, 0xFFFF if info is None else 0)
        stop = self._leash.left / 2
        while not known.is_whole and self._leash.left > stop:
            following, record = self._description(known.next)
            flaws = known.flaws
            try:
                for sensor in sensors_of(record):
                    known.sensors.setdefault(sensor.number, sensor)
            except ValueError:
                flaws += 1
            number = known.number + 1
            is_last = following in (known.next, 0) or number >= MOST_RECORDS
            known = known._replace(next=0xFFFF if is_last else following, number=number, flaws=flaws)
        return known

    def _description(self, number: int) -> tuple[int, bytes]:
        """Return the number of the next description and this one, which many BMCs give in pieces only."""
        whole = self._piece(number, (0, 0), 0, WHOLE)
        if whole is not None and len(whole) > 2:
            return int.from_bytes(whole[:2], "little"), whole[2:]
        for _ in range(RESERVE_AGAIN):
            reservation = self._command(STORAGE, SDR_RESERVE) or b"\0\0"
            found = self._in_pieces(number, (reservation[0], reservation[1]))
            if found is not None:
                return found
        return 0xFFFF, b""

    def _in_pieces(self, number: int, reservation: tuple[int, int]) -> tuple[int, bytes] | None:
        record, following = b"", 0xFFFF
        length = HEADER
        while len(record) < length:
            piece = self._piece(number, reservation, len(record), min(PIECE, length - len(record)))
            if piece is None or len(piece) <= 2:
                return None
            following = int.from_bytes(piece[:2], "little")
            record += piece[2:]
            if len(record) >= HEADER:
                length = HEADER + record[4]
        return following, record

    def _piece(self, number: int, reservation: tuple[int, int], offset: int, size: int) -> bytes | None:
        return self._command(STORAGE, SDR_ENTRY, *reservation, number & 0xFF, number >> 8, offset, size)

    # --- the log ---

    def count(self) -> int:
        """Return how many records there are; none, if there is no log."""
        info = self._command(STORAGE, SEL_INFO)
        return int.from_bytes(info[1:3], "little") if info is not None and len(info) >= 3 else 0

    def entry(self, number: int) -> tuple[int, bytes] | None:
        """Return the number of the next record and this one; None if there is none."""
        found = self._command(STORAGE, SEL_ENTRY, 0, 0, number & 0xFF, number >> 8, 0, WHOLE)
        if found is None or len(found) < 4:
            return None
        return int.from_bytes(found[:2], "little"), found[2:]

    def _command(self, function: int, command: int, *data: int) -> bytes | None:
        """Return the answer to a command, None if the BMC has none."""
        from pyghmi.exceptions import IpmiException

        try:
            return self._session.ask(function, command, self._leash, data)
        except IpmiException as error:
            if getattr(error, "ipmicode", 0) in (
                BAD_COMMAND,
                NOT_PRESENT,
                LOST_RESERVATION,
                TOO_LONG,
                CANNOT,
            ):
                return None
            raise
