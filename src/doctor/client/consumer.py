"""What a Consumer needs to receive notifications safely: is it from Doctor, is it news, is something missing.

Pure: no network, no files; the clock is asked only when no time is given. `verify` checks the signature of one
request (Standard Webhooks). An `Inbox` remembers what came.
"""

import base64
import binascii
import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

TOLERANCE = timedelta(minutes=5)
REMEMBERED = 10_000
PREFIX = "whsec_"


class SignatureError(Exception):
    """The request is not from who it says, was changed on its way, or is an old one sent again: answer 401."""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    tolerance: timedelta = TOLERANCE,
    *,
    now: float | None = None,
) -> str:
    """Return the ``webhook-id`` of a request that was signed with the secret.

    ``body`` is the body as it came, to the byte. ``tolerance`` is how far the sender's clock may be off ours. Several
    signatures may be there while a secret is being changed: one that fits is enough.

    Raises:
        SignatureError: it is not signed, not with this secret, or not within the tolerance.
        ValueError: the secret is none.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, stamp, signatures = (
        found.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
    )
    if not (message_id and stamp and signatures):
        raise SignatureError("the headers webhook-id, webhook-timestamp and webhook-signature are needed")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureError("webhook-timestamp is not a time in seconds since 1970")
    off = int(stamp) - (time.time() if now is None else now)
    if abs(off) > tolerance.total_seconds():
        raise SignatureError(
            f"sent {abs(off):.0f} s {'after' if off > 0 else 'before'} now: too old, or a clock is wrong"
        )
    wanted = sign(message_id, int(stamp), body, secret).encode()
    if not any(
        hmac.compare_digest(wanted, given.encode(errors="replace")) for given in signatures.split(" ")
    ):
        raise SignatureError("no signature fits: the secret is another, or the body was changed")
    return message_id


def sign(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """Return the ``webhook-signature`` of a message, as Doctor makes it; for tests of your own Consumer.

    Raises:
        ValueError: the secret is none.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError(f"this is no secret: it is written {PREFIX} and base64")
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


@dataclass(frozen=True)
class Gap:
    """Notifications of a subscription that did not come: those after ``after`` and before ``before``.

    ``GET /v1/notifications?subscription_id=...&after=<after>`` fetches them; hand each to `Inbox.take` as well.
    """

    subscription_id: str
    after: int
    before: int

    def __len__(self) -> int:
        return self.before - self.after - 1


@dataclass(frozen=True)
class Fresh:
    """A notification that was not seen before; ``gap`` is what is missing just before it."""

    gap: Gap | None = None


@dataclass(frozen=True)
class Repeat:
    """A notification that was seen before: answer 2xx and do nothing."""


class Inbox:
    """Remembers which notifications came, so that each is acted on once and none is missed unnoticed.

    Doctor delivers at least once and in the order of ``sequence``; a repeat has the same id. The newest ``remember``
    ids are kept. May be used from several threads.
    """

    def __init__(self, positions: Mapping[str, int] | None = None, *, remember: int = REMEMBERED) -> None:
        """Begin empty, or after the ``positions`` that were saved: by subscription the last sequence one has.

        Give a new subscription with 0, and the first notification shows a gap if it is not number 1. A subscription
        that is not named begins with the first that comes.
        """
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._newest: dict[str, int] = dict(positions or {})
        self._gaps: dict[str, list[Gap]] = {}
        self._remember = remember
        self._lock = threading.Lock()

    def take(self, message: Mapping[str, Any]) -> Fresh | Repeat:
        """Note a notification and tell whether it is news. Call `put_back` when acting on it failed."""
        message_id, subscription_id = message["notification_id"], message["subscription_id"]
        with self._lock:
            if message_id in self._ids:
                self._ids.move_to_end(message_id)
                return Repeat()
            self._ids[message_id] = None
            if len(self._ids) > self._remember:
                self._ids.popitem(last=False)
            sequence = message.get("sequence")
            return Fresh(self._count(subscription_id, sequence) if isinstance(sequence, int) else None)

    def put_back(self, message: Mapping[str, Any]) -> None:
        """Forget that a notification came, since acting on it failed: its repeat will be news."""
        message_id, subscription_id = message["notification_id"], message["subscription_id"]
        sequence = message.get("sequence")
        with self._lock:
            if message_id not in self._ids:
                return
            del self._ids[message_id]
            if isinstance(sequence, int):
                gaps = [
                    *self._gaps.get(subscription_id, ()),
                    Gap(subscription_id, sequence - 1, sequence + 1),
                ]
                self._gaps[subscription_id] = sorted(gaps, key=lambda gap: gap.after)

    def gaps(self, subscription_id: str) -> Sequence[Gap]:
        """Return what of a subscription is missing still, the oldest first."""
        with self._lock:
            return tuple(self._gaps.get(subscription_id, ()))

    def positions(self) -> dict[str, int]:
        """Return by subscription the sequence up to which nothing is missing: save it, ask ``after`` it next time."""
        with self._lock:
            return {
                subscription_id: gaps[0].after if (gaps := self._gaps.get(subscription_id)) else newest
                for subscription_id, newest in self._newest.items()
            }

    def _count(self, subscription_id: str, sequence: int) -> Gap | None:
        newest = self._newest.get(subscription_id, sequence - 1)
        if sequence <= newest:
            self._fill(subscription_id, sequence)
            return None
        self._newest[subscription_id] = sequence
        if sequence == newest + 1:
            return None
        gap = Gap(subscription_id, newest, sequence)
        self._gaps.setdefault(subscription_id, []).append(gap)
        return gap

    def _fill(self, subscription_id: str, sequence: int) -> None:
        """Take one sequence out of the gap it lies in, if any."""
        left: list[Gap] = []
        for gap in self._gaps.get(subscription_id, ()):
            if gap.after < sequence < gap.before:
                halves = (
                    Gap(subscription_id, gap.after, sequence),
                    Gap(subscription_id, sequence, gap.before),
                )
                left += [half for half in halves if len(half)]
            else:
                left.append(gap)
        self._gaps[subscription_id] = left
