"""The links of the network cards: at once when a cable is out, or a card is gone."""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from doctor.agent import netlink
from doctor.agent.log import log
from doctor.agent.netlink import End, Link
from doctor.agent.report import DOWN, UP, Report, Reporter
from doctor.agent.settings import LinkSettings

PORT_DOWN = "network.port.down"
CARD_GONE = "compute.host.nic.error"
NIC = "nic"
CLASS = Path("/sys/class/net")
READ = 1 << 16


class LinkState(NamedTuple):
    """What is wrong with a link: the sentence, empty when nothing is; and whether the card itself is gone."""

    trouble: str
    is_gone: bool = False


def state_of(link: Link) -> LinkState:
    """Return what is wrong with a link."""
    if link.is_gone:
        return LinkState("the card is gone", is_gone=True)
    if not link.is_up:
        return LinkState("the link was set down")
    return LinkState("" if link.has_carrier else "no carrier: the cable, or what is at its other end")


class LinkBook:
    """The links that are watched, and what was said of each. One that is as it was is no news."""

    def __init__(
        self, reporter: Reporter, settings: LinkSettings, is_hardware: Callable[[str], bool]
    ) -> None:
        self._reporter = reporter
        self._settings = settings
        self._is_hardware = is_hardware
        self._names: dict[int, str] = {}
        self._states: dict[str, LinkState] = {}

    @property
    def states(self) -> dict[str, LinkState]:
        """Return what is known, by name."""
        return dict(self._states)

    def heard(self, link: Link) -> Iterator[Report]:
        """Take note of a link, and give what there is to say of it."""
        name = link.name or self._names.get(link.number, "")
        if link.is_loopback or not name:
            return
        before = self._names.get(link.number)
        if before is not None and before != name and before in self._states:
            yield from self._changed(before, LinkState("the card has another name now", is_gone=True))
        is_known = name in self._states
        if not is_known and not self._settings.is_watched(name, is_hardware=self._is_hardware(name)):
            return
        self._names[link.number] = name
        if link.is_gone:
            del self._names[link.number]
        yield from self._changed(name, state_of(link))

    def missing(self, listed: set[str]) -> Iterator[Report]:
        """Give what there is to say of those that are not in a list of all."""
        for name, state in list(self._states.items()):
            if name not in listed and not state.is_gone:
                yield from self._changed(name, LinkState("the card is gone", is_gone=True))

    def _changed(self, name: str, state: LinkState) -> Iterator[Report]:
        before = self._states.get(name)
        if before == state:
            return
        self._states[name] = state
        if before is None or before.is_gone != state.is_gone:
            status = DOWN if state.is_gone else UP
            yield self._report(
                CARD_GONE, name, status, state.trouble if state.is_gone else "the card is there"
            )
        if not state.is_gone and (before is None or before.is_gone or before.trouble != state.trouble):
            yield self._report(PORT_DOWN, name, DOWN if state.trouble else UP, state.trouble or "carrier")

    def _report(self, kind: str, name: str, status: str, cause: str) -> Report:
        return self._reporter.report(
            kind,
            status,
            cause,
            part=name,
            resource_id=self._settings.resources.get(name),
            resource_type=NIC,
            interface=name,
        )


class Links:
    """Hears the kernel, and says what changes; at the beginning it says how each link is."""

    def __init__(self, book: LinkBook, say: Callable[[Report], None]) -> None:
        """Open the socket.

        Raises:
            OSError: there is no netlink here.
        """
        self._book = book
        self._say = say
        self._sock = netlink.open_socket()
        self._sequence = 0
        self._listed: set[str] | None = None

    def start(self) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().add_reader(self._sock, self._read)
        self._list()

    def close(self) -> None:
        """Listen no more."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _list(self) -> None:
        """Ask for all links: at the beginning, and when the kernel had no room for what it wanted to say."""
        self._sequence += 1
        self._listed = set()
        self._sock.send(netlink.list_request(self._sequence))

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            log.repeat("links.lost_some")
            with contextlib.suppress(OSError):
                self._list()
            return
        for found in netlink.parse(data):
            if isinstance(found, End):
                self._tell(self._book.missing(self._listed) if self._listed is not None else ())
                self._listed = None
                continue
            if self._listed is not None and not found.is_gone:
                self._listed.add(found.name)
            self._tell(self._book.heard(found))

    def _tell(self, reports: "Iterator[Report] | tuple[Report, ...]") -> None:
        for report in reports:
            self._say(report)


def is_hardware(name: str, folder: Path = CLASS) -> bool:
    """Tell whether a card is more than software."""
    return (folder / name / "device").exists()


def list_now() -> list[Link]:
    """Return all links, as they are now.

    Raises:
        OSError: there is no netlink here.
    """
    with netlink.open_socket() as sock:
        sock.settimeout(5.0)
        sock.send(netlink.list_request(1))
        links: list[Link] = []
        while True:
            for found in netlink.parse(sock.recv(READ)):
                if isinstance(found, End):
                    return links
                links.append(found)
