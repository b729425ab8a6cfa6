"""Who is at the door: the bearer of one of Doctor's own tokens, or of one of the cloud's."""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable

from doctor.api.problem import BEARER, HttpRejectedError
from doctor.flows.grants import GrantFlow
from doctor.flows.tokens import TokenFlow
from doctor.model.identity import Identity

RawHeaders = Iterable[tuple[bytes, bytes]]
Found = Identity | Awaitable[Identity | None] | None
Identify = Callable[[RawHeaders], Found]


def token_in(headers: RawHeaders) -> str | None:
    """Return the token of `Authorization`, or else of `X-Auth-Token`.

    There it is the bearer's, or the password of whatever user: some agents, such as those of VES, know nothing else.
    """
    other = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "basic":
                token = _password(token)
            elif scheme.lower() != "bearer":
                continue
            if token := token.strip():
                return token
        elif name == b"x-auth-token":
            other = value.decode("latin-1").strip() or None
    return other


def _password(written: str) -> str:
    """Return the password of basic authentication (RFC 7617)."""
    try:
        return b64decode(written, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def make_identify(tokens: TokenFlow, grants: GrantFlow | None) -> Identify:
    """Return what tells who sends a request. Doctor's own tokens need nobody else to be known."""

    def identify(headers: RawHeaders) -> Found:
        token = token_in(headers)
        if token is None:
            return None
        identity = tokens.identify(token)
        return grants.identify(token) if identity is None and grants is not None else identity

    return identify


def challenge_of(grants: GrantFlow | None) -> str:
    """Return what a 401 says of how to come in."""
    return BEARER if grants is None else f"{grants.challenge}, {BEARER}"


def nobody(detail: str, challenge: str) -> HttpRejectedError:
    """Return the refusal of a request of which nobody knows who sends it."""
    return HttpRejectedError(401, detail, {"WWW-Authenticate": challenge})
