"""Secrets come from files, and show themselves nowhere by accident."""

import stat
from pathlib import Path

MOST = 4096  # bytes: more is no password
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Secret:
    """A text that prints as stars: in a log, in a traceback, in a settings dump. `reveal` is the one way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for whom it was made."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def read_secret(path: Path, place: str) -> Secret:
    """Read a secret from its file, without the line break at its end; ``place`` is the setting that names the file.

    Raises:
        ValueError: there is no such file, it is empty or too long, or others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            content = file.read(MOST + 1)
    except OSError as error:
        raise ValueError(f"{place}: {path}: {error.strerror}") from None
    if mode & OTHERS:
        raise ValueError(f"{place}: {path} can be read by others than its owner: chmod 600 it")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{place}: {path} is no text") from None
    if not text or len(content) > MOST or not text.isprintable():
        raise ValueError(f"{place}: {path} should hold the secret in one line")
    return Secret(text)
