"""Echo requests and replies as they go over the wire (RFC 792, RFC 4443), and the filter that knows ours.

Behind the eight bytes of the header comes a token of this process, then the key of the address that is asked. Both
are random: a reply that carries them was made by one who saw the request.
"""

import ctypes
import secrets
import socket
import struct
from collections.abc import Sequence

import msgspec

ECHO_REPLY, ECHO_REQUEST = 0, 8
ECHO_REPLY_V6, ECHO_REQUEST_V6 = 129, 128
TOKEN_BYTES = 8
# type, code, checksum, identifier, sequence number; token, key
PACKET = struct.Struct("!BBHHH8s8s")


class Sender(msgspec.Struct, frozen=True):
    """Who asks. The identifier is in the header, the token in the payload."""

    identifier: int
    token: bytes

    @classmethod
    def new(cls) -> "Sender":
        """Return one that nobody can guess."""
        return cls(secrets.randbelow(0xFFFF) + 1, secrets.token_bytes(TOKEN_BYTES))

    @property
    def constant_sum(self) -> int:
        """Return what the words of a request add up to without its sequence number; a key adds nothing."""
        return (
            (ECHO_REQUEST << 8)
            + self.identifier
            + sum(int(word) for word in struct.unpack("!4H", self.token))
        )


def new_key() -> bytes:
    """Return a key for an address: 48 random bits, and 16 that make the sum of its words zero.

    So the checksum of a request does not depend on the key, and is found without adding up the packet.
    """
    words = struct.unpack("!3H", secrets.token_bytes(6))
    return struct.pack("!4H", *words, 0xFFFF - folded(sum(words)))


def folded(total: int) -> int:
    """Return the ones' complement sum (RFC 1071) of which this is the plain sum."""
    total = (total >> 16) + (total & 0xFFFF)
    return (total >> 16) + (total & 0xFFFF)


def echo_request(family: int, sender: Sender, constant_sum: int, key: bytes, number: int) -> bytes:
    """Return a request. In IPv6 the checksum covers addresses that only the kernel knows, so it puts it in."""
    sequence = number & 0xFFFF
    if family == socket.AF_INET6:
        return PACKET.pack(ECHO_REQUEST_V6, 0, 0, sender.identifier, sequence, sender.token, key)
    checksum = 0xFFFF - folded(constant_sum + sequence)
    return PACKET.pack(ECHO_REQUEST, 0, checksum, sender.identifier, sequence, sender.token, key)


def echo_reply(
    family: int, sender: Sender, packet: bytes | memoryview, *, begin: int, size: int, is_kernel_id: bool
) -> tuple[bytes, int] | None:
    """Read a reply to one of our requests: its key and the lower 16 bits of its number; None for all else.

    It begins at ``begin`` and ends at ``size``. With ``is_kernel_id`` the kernel has put in an identifier of its
    own, and compares it by itself.
    """
    if size - begin < PACKET.size:
        return None
    kind, code, _, identifier, sequence, token, key = PACKET.unpack_from(packet, begin)
    if token != sender.token or code != 0 or not (is_kernel_id or identifier == sender.identifier):
        return None
    return (key, sequence) if kind == (ECHO_REPLY_V6 if family == socket.AF_INET6 else ECHO_REPLY) else None


def header_length(packet: bytes | memoryview) -> int:
    """Return the length of the IPv4 header, which a raw socket gets along."""
    return (packet[0] & 0x0F) * 4


# --- the filter in the kernel (classic BPF), without which every ping of this machine would wake us ---

SO_ATTACH_FILTER = 26
LOAD_HEADER_LENGTH = 0xB1  # x = length of the IPv4 header
LOAD_X = 0x01  # x = k
LOAD_BYTE_AT_X = 0x50  # a = byte at x + k
LOAD_HALF_AT_X = 0x48
LOAD_WORD_AT_X = 0x40
JUMP_IF_EQUAL = 0x15
RETURN = 0x06


def reply_filter(family: int, sender: Sender) -> list[tuple[int, int, int, int]]:
    """Return a program that lets pass only replies to us: operation, jump if true, jump if false, operand."""
    is_v6 = family == socket.AF_INET6
    first_word = int.from_bytes(sender.token[:4], "big")
    return [
        (LOAD_X, 0, 0, 0) if is_v6 else (LOAD_HEADER_LENGTH, 0, 0, 0),
        (LOAD_BYTE_AT_X, 0, 0, 0),
        (JUMP_IF_EQUAL, 0, 5, ECHO_REPLY_V6 if is_v6 else ECHO_REPLY),
        (LOAD_HALF_AT_X, 0, 0, 4),
        (JUMP_IF_EQUAL, 0, 3, sender.identifier),
        (LOAD_WORD_AT_X, 0, 0, 8),
        (JUMP_IF_EQUAL, 0, 1, first_word),
        (RETURN, 0, 0, 0xFFFF),
        (RETURN, 0, 0, 0),
    ]


def attach_filter(sock: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> None:
    """Have the kernel drop what the program does not let pass.

    Raises:
        OSError: this kernel does not filter; replies are checked anyway when they are read.
    """
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))  # the kernel copies it during the call
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer))
    )
