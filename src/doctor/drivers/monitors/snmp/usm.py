"""The user-based security of SNMPv3 (RFC 3414, 3826, 7860): who signed a message, what it hides, and whether it is of now.

Only messages that are signed *and* encrypted are taken. Nothing here has a socket or a clock.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from doctor.drivers.monitors.snmp import ber, message
from doctor.drivers.monitors.snmp.ber import Malformed
from doctor.drivers.monitors.snmp.message import AUTHENTICATED, ENCRYPTED, Pdu, Secured
from doctor.model.errors import PermanentError

WINDOW = 150  # seconds by which the clock of a message may be off
MOST_BOOTS = 2**31 - 1
STRETCHED = 1024 * 1024  # bytes of repeated password behind a key
MOST_KEYS = 10_000
MOST_SEEN = 20_000  # signatures of one engine that are known, against replay

NOT_IN_TIME, UNKNOWN_ENGINE = "1.3.6.1.6.3.15.1.1.2.0", "1.3.6.1.6.3.15.1.1.4.0"


class Method(NamedTuple):
    """How messages are signed: the hash, and how many bytes of it are sent."""

    hash: str
    size: int


AUTH = {"sha": Method("sha1", 12), "sha256": Method("sha256", 24), "sha512": Method("sha512", 48)}
PRIVACY = {"aes": 16, "aes256": 32}  # bytes of the key


class Refused(Exception):
    """The message is not believed: the reason, as a word."""


class Keys(NamedTuple):
    """The keys of a user for one engine."""

    method: Method
    auth: bytes
    privacy: bytes


class User:
    """A user, with what his keys are made of. To make one takes some ten milliseconds."""

    def __init__(self, name: str, auth: str, auth_password: str, privacy: str, privacy_password: str) -> None:
        self.name = name
        self._method = AUTH[auth]
        self._auth = stretched(auth_password, self._method.hash)
        self._privacy = stretched(privacy_password, self._method.hash)
        self._size = PRIVACY[privacy]

    def keys(self, engine: bytes) -> Keys:
        """Return his keys for an engine: from those of one device nobody learns those of another."""

        def localized(key: bytes) -> bytes:
            return hashlib.new(self._method.hash, key + engine + key).digest()

        return Keys(self._method, localized(self._auth), localized(self._privacy)[: self._size])


def stretched(password: str, name: str) -> bytes:
    """Return the key behind a password (RFC 3414 A.2)."""
    text = password.encode()
    times, rest = divmod(STRETCHED, len(text))
    return hashlib.new(name, text * times + text[:rest]).digest()


class Security:
    """The users, and their keys by engine."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = {name.encode(): user for name, user in users.items()}
        self._keys: OrderedDict[tuple[bytes, bytes], Keys] = OrderedDict()
        self._salt = secrets.randbits(64)
        if users:
            crypt = _crypt()
            self._encrypt, self._decrypt = crypt

    def open(self, data: bytes, said: Secured) -> tuple[bytes, Pdu]:
        """Return of which engine a message speaks that a user of ours has signed, and what it says.

        Raises:
            Refused: it is not believed.
            Malformed: it says nothing.
        """
        if said.flags & (AUTHENTICATED | ENCRYPTED) != AUTHENTICATED | ENCRYPTED:
            raise Refused("unprotected")
        keys = self.verify(data, said)
        if len(said.salt) != 8:
            raise Malformed("no salt")
        start, stop = ber.expect(data, said.at, said.end, ber.OCTETS)
        plain = self._decrypt(keys.privacy, _vector(said), data[start:stop])
        try:
            return message.scoped(plain, 0, len(plain))
        except Malformed:
            raise Refused("wrong key") from None  # the signature was right: the other key is not

    def verify(self, data: bytes, said: Secured) -> Keys:
        """Return the keys of the user who has signed a message.

        Raises:
            Refused: nobody of ours has.
        """
        keys = self._keys_of(said.user, said.engine)
        if keys is None:
            raise Refused("unknown user")
        if len(said.auth) != keys.method.size or not hmac.compare_digest(
            self._signature(data, said, keys), said.auth
        ):
            raise Refused("wrong key")
        return keys

    def close(self, header: Secured, scoped: bytes) -> bytes:
        """Return a message signed and encrypted as its header says.

        Raises:
            Refused: nobody has the keys.
        """
        keys = self._keys_of(header.user, header.engine)
        if keys is None:
            raise Refused("unknown user")
        self._salt = (self._salt + 1) & 0xFFFFFFFFFFFFFFFF
        header = header._replace(auth=bytes(keys.method.size), salt=self._salt.to_bytes(8))
        if header.flags & ENCRYPTED:
            inside = ber.packed(ber.OCTETS, self._encrypt(keys.privacy, _vector(header), scoped))
        else:
            header, inside = header._replace(salt=b""), scoped
        blank = message.packed_secured(header, inside)
        read = message.read(blank)
        assert isinstance(read, Secured)
        signature = self._signature(blank, read, keys)
        return blank[: read.auth_at] + signature + blank[read.auth_at + len(signature) :]

    def _keys_of(self, name: bytes, engine: bytes) -> Keys | None:
        user = self._users.get(name)
        if user is None:
            return None
        keys = self._keys.get((name, engine))
        if keys is None:
            keys = self._keys[name, engine] = user.keys(engine)
            if len(self._keys) > MOST_KEYS:
                self._keys.popitem(last=False)
        return keys

    def _signature(self, data: bytes, said: Secured, keys: Keys) -> bytes:
        size = keys.method.size
        blank = data[: said.auth_at] + bytes(size) + data[said.auth_at + size :]
        return hmac.digest(keys.auth, blank, keys.method.hash)[:size]


def _vector(said: Secured) -> bytes:
    return said.boots.to_bytes(4) + said.time.to_bytes(4) + said.salt


Crypt = Callable[[bytes, bytes, bytes], bytes]


def _crypt() -> tuple[Crypt, Crypt]:
    """Return what encrypts and what decrypts.

    Raises:
        PermanentError: it is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
    except ImportError:
        raise PermanentError("SNMPv3: cryptography is missing: install doctor-nfvi[snmp]") from None
    try:
        from cryptography.hazmat.decrepit.ciphers.modes import CFB
    except ImportError:  # before cryptography 47
        from cryptography.hazmat.primitives.ciphers.modes import CFB

    def encrypt(key: bytes, vector: bytes, text: bytes) -> bytes:
        work = Cipher(AES(key), CFB(vector)).encryptor()
        return work.update(text) + work.finalize()

    def decrypt(key: bytes, vector: bytes, text: bytes) -> bytes:
        work = Cipher(AES(key), CFB(vector)).decryptor()
        return work.update(text) + work.finalize()

    return encrypt, decrypt


# --- whether a message is of now ---


class Engine:
    """The clock of a device that sends traps, as far as its own messages tell it.

    They could all be recordings until the ``device`` has answered a question of ours at its address: until then nothing
    `is_proven`.
    """

    def __init__(self) -> None:
        self.device: str | None = None
        self.is_proven = False
        self.is_torn = False
        self.boots = 0
        self._time = 0
        self._at = 0.0
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def answered(self, device: str, boots: int, time: int, now: float) -> None:
        """Take the clock of an answer that can only be of now.

        One engine at the addresses of two devices is not to be told from another: it never proves anything again.
        """
        if self.is_torn or self.device not in (None, device):
            self.is_torn, self.is_proven, self.device = True, False, None
            return
        self.device = device
        if (boots, time) < (self.boots, self._time) and not self.is_proven:
            self._seen.clear()  # what was taken for its clock came from somewhere else
        self.is_proven = True
        self._set(boots, time, now)

    def weigh(self, said: Secured, now: float) -> None:
        """Take note of a message whose signature is right.

        Raises:
            Refused: it is a recording, or as old as one.
        """
        if said.boots == MOST_BOOTS or said.boots < self.boots:
            raise Refused("replayed")
        if said.boots == self.boots:
            if said.time < self.time(now) - WINDOW or said.auth in self._seen:
                raise Refused("replayed")
            if self.is_proven and said.time > self.time(now) + WINDOW:
                raise Refused("ahead of its time")
        if said.boots > self.boots:
            self._seen.clear()
            self.is_proven = False  # it began anew, or somebody says so
        if said.boots > self.boots or said.time > self._time:
            self._set(said.boots, said.time, now)
        self._seen[said.auth] = said.time
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)

    def time(self, now: float) -> float:
        """Return what its clock says now."""
        return self._time + now - self._at

    def _set(self, boots: int, time: int, now: float) -> None:
        self.boots, self._time, self._at = boots, time, now
