"""SNMP as pysnmp speaks it, in a thread with an event loop of its own.

pysnmp is asynchronous, but to load it, to make an engine and to derive keys takes hundreds of milliseconds each, for
which nobody would be told anything.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pysnmp.hlapi.v3arch.asyncio as snmp
from pysnmp.proto.errind import RequestTimedOut

from doctor.devices.worker import Leash

SEND_AGAIN = 0.6  # seconds
MOST_ROWS = 10_000

AUTH = {
    "sha": snmp.USM_AUTH_HMAC96_SHA,
    "sha256": snmp.USM_AUTH_HMAC192_SHA256,
    "sha512": snmp.USM_AUTH_HMAC384_SHA512,
}
PRIVACY = {"aes": snmp.USM_PRIV_CFB128_AES, "aes256": snmp.USM_PRIV_CFB256_AES}
NOT_THERE = ("NoSuchInstance", "NoSuchObject", "EndOfMibView")


class Answered(Exception):
    """The device answered with an error; ``word`` is SNMP's for it."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class SnmpSession:
    """An engine and a way to one device. To be used in one thread only."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str]) -> None:
        self._address = (address, port)
        self._runner = asyncio.Runner()
        self._engine = self._runner.run(_make_engine())
        self._credentials = (
            snmp.CommunityData(credentials["community"])
            if "community" in credentials
            else snmp.UsmUserData(
                credentials["user"],
                credentials["auth_key"],
                credentials["privacy_key"],
                authProtocol=AUTH[credentials["auth"]],
                privProtocol=PRIVACY[credentials["privacy"]],
            )
        )

    def get(self, names: Sequence[str], leash: Leash) -> list[Any]:
        """Return the values of these objects: numbers and texts.

        Raises:
            TimeoutError: there was no answer in time.
            Answered: the device refused.
            LookupError: it has no such object.
        """
        asked = [snmp.ObjectType(snmp.ObjectIdentity(name)) for name in names]
        values = [value for _, value in self._ask(snmp.get_cmd, leash, *asked)]
        if any(type(value).__name__ in NOT_THERE for value in values):
            raise LookupError
        return [_plain(value) for value in values]

    def set(self, name: str, value: int, leash: Leash) -> None:
        """Set an object to a number; errors are those of `get`."""
        told = snmp.ObjectType(snmp.ObjectIdentity(name), snmp.Integer32(value))
        self._ask(snmp.set_cmd, leash, told)

    def walk(self, name: str, leash: Leash) -> dict[str, Any]:
        """Return all values below an object, by what comes behind its name; errors are those of `get`."""
        found: dict[str, Any] = {}
        last, prefix = name, f"{name}."
        while len(found) < MOST_ROWS:
            row = snmp.ObjectType(snmp.ObjectIdentity(last))
            for where, value in self._ask(snmp.bulk_cmd, leash, 0, 25, row):
                place = str(where)
                if not place.startswith(prefix) or type(value).__name__ in NOT_THERE or place == last:
                    return found
                last = place
                found[place.removeprefix(prefix)] = _plain(value)
        return found

    def close(self) -> None:
        """Close the sockets and the event loop."""
        self._runner.run(self._stop())
        self._runner.close()

    def _ask(self, command: Any, leash: Leash, *what: Any) -> list[tuple[Any, Any]]:
        """Send a command, again and again, until it is answered. pysnmp could do so too, but could not be stopped."""
        while True:
            wait = min(SEND_AGAIN, leash.left)
            trouble, status, _, bindings = self._runner.run(self._send(command, wait, *what))
            if isinstance(trouble, RequestTimedOut):
                continue
            if trouble:
                raise Answered(type(trouble).__name__)
            if int(status):
                raise Answered(status.prettyPrint() if hasattr(status, "prettyPrint") else str(status))
            return [(binding[0], binding[1]) for binding in bindings]

    async def _send(self, command: Any, wait: float, *what: Any) -> Any:
        target = await snmp.UdpTransportTarget.create(self._address, timeout=wait, retries=0)
        return await command(
            self._engine, self._credentials, target, snmp.ContextData(), *what, lookupMib=False
        )

    async def _stop(self) -> None:
        self._engine.close_dispatcher()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


async def _make_engine() -> Any:
    return snmp.SnmpEngine()


def _plain(value: Any) -> int | str:
    try:
        return int(value)
    except (TypeError, ValueError):
        return bytes(value).decode(errors="replace")
