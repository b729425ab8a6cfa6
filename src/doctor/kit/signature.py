"""Signatures of webhooks as Standard Webhooks has them: HMAC-SHA256 over id, timestamp and body.

The secret that both sides know is written ``whsec_`` and base64. Each attempt is signed anew with its own time, so
that a copy of an old message can be told from a repeat.
"""

import binascii
import hmac

PREFIX = "whsec_"
VERSION = "v1"
TOLERANCE_S = 300  # how far the clocks of the two sides may be apart


def parse_secret(secret: str) -> bytes:
    """Read the key out of a secret. Missing ``=`` at the end are forgiven, nothing else is.

    Raises:
        ValueError: it is no such secret. The message does not repeat it.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}, followed by base64")
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:  # also what is not ASCII
        raise ValueError(f"what follows {PREFIX} is not base64 (letters, digits, + and /)") from None
    if not key:
        raise ValueError(f"nothing follows {PREFIX}: a secret has 24 to 64 random bytes in base64")
    return key


class Signer:
    """Signs with one secret, which is read only once.

    Raises:
        ValueError: the secret is none.
    """

    __slots__ = ("_keyed",)

    def __init__(self, secret: str) -> None:
        self._keyed = hmac.new(parse_secret(secret), digestmod="sha256")

    def sign(self, notification_id: str, timestamp: int | str, body: bytes) -> str:
        """Return the value of ``webhook-signature`` for one attempt at this time (seconds since 1970)."""
        mac = self._keyed.copy()
        mac.update(f"{notification_id}.{timestamp}.".encode())
        mac.update(body)
        return f"{VERSION},{binascii.b2a_base64(mac.digest(), newline=False).decode()}"


def sign(secret: str, notification_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature`` for one attempt at this time (seconds since 1970).

    Raises:
        ValueError: the secret is none.
    """
    return Signer(secret).sign(notification_id, timestamp, body)


def verify(
    secret: str,
    notification_id: str,
    timestamp: str,
    body: bytes,
    signatures: str,
    *,
    now: float,
    tolerance_s: float = TOLERANCE_S,
) -> bool:
    """Tell whether one of the signatures, separated by spaces, is right and from about now.

    ``timestamp`` and ``signatures`` are the headers as they came. How long it takes does not tell how much of a
    signature was right.

    Raises:
        ValueError: the secret is none.
    """
    signer = Signer(secret)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs(now - int(timestamp)) > tolerance_s:
        return False
    expected = signer.sign(notification_id, timestamp, body).encode()
    candidates = signatures.encode(errors="replace").split()
    return any(hmac.compare_digest(expected, candidate) for candidate in candidates)
