"""What became of a request: what an answer means for the notification, and why there was none, in a few words."""

import errno
import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime

from doctor.drivers.channels.connection import NoAnswer, NotHttp
from doctor.drivers.channels.pool import Closed, HandshakeFailed
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, Gone, Refused

MAX_RETRY_AFTER_S = 3600.0
CLOSED = "the channel is closed"

# What is wrong is the message itself, so that sending it again as it is will hardly help. Not so 404, 401 and 403:
# a consumer that is being deployed or whose gateway has no backend yet answers these, and takes the same later.
CONTENT_REFUSED = frozenset({400, 405, 413, 415, 422})


def outcome_of(status: int, retry_after: str | None, told: datetime, received: datetime) -> DeliveryOutcome:
    """Say what an answer means for the notification."""
    error = f"answered {status}"
    if 200 <= status < 300:
        return Delivered(status, told, received)
    if status == 410:
        return Gone(error)
    if status in CONTENT_REFUSED:
        return Refused(error, status)
    if 300 <= status < 400:
        return Failed(f"{error}: redirects are not followed", status)
    if status in (429, 503):
        return Failed(error, status, parse_retry_after(retry_after, received))
    return Failed(error, status)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read how many seconds an endpoint wants to be left alone, at most an hour; None if it did not say."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(value)
        return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (TypeError, ValueError, OverflowError):  # no date, or one without a zone
        return None


_BY_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the host",
    errno.ETIMEDOUT: "connection timed out",
    errno.EMFILE: "Doctor has too many open files",
    errno.ENFILE: "Doctor's machine has too many open files",
    errno.EADDRNOTAVAIL: "Doctor's machine has no free port",
}

_BY_VERIFY_CODE = {  # X509_V_ERR_* of OpenSSL
    9: "TLS: certificate not valid yet",
    10: "TLS: certificate has expired",
    62: "TLS: certificate is for another name",
    64: "TLS: certificate is for another address",
}


def explain(error: Exception) -> str | None:
    """Say in a few words why a request had no answer; None for what should not have happened."""
    match error:
        case Closed():
            return CLOSED
        case NoAnswer():
            return "connection closed without an answer"
        case NotHttp():
            return "the answer is not HTTP"
        case HandshakeFailed():
            return "TLS: handshake failed"
        case ssl.SSLCertVerificationError():
            return _BY_VERIFY_CODE.get(error.verify_code, "TLS: certificate not trusted")
        case ssl.SSLError():
            return "TLS: connection refused by the other side"
        case ConnectionResetError():  # TLS of asyncio gives no number
            return "connection reset"
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, "connection failed")
        case _:
            return None
