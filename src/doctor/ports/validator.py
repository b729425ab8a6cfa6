"""Who knows the tokens that Doctor has not made itself."""

from typing import Protocol

from doctor.model.grant import Grant


class TokenValidator(Protocol):
    """An identity service, such as Keystone.

    ``challenge`` is how a 401 names it (RFC 9110, WWW-Authenticate).
    """

    @property
    def challenge(self) -> str:
        """Return how a 401 names it."""
        ...

    async def validate(self, token: str) -> Grant | None:
        """Return what a token stands for now, or None for one that is unknown, expired or revoked.

        Raises:
            TransientError: it cannot be asked at the moment.
            PermanentError: it does not answer Doctor, until somebody has changed something.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
