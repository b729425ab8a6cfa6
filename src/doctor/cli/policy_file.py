"""The file with a policy that a command is given."""

import sys
from pathlib import Path

import click

from doctor.cli.connection import Failed

YAML = "application/yaml"

file_argument = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)


def text_of(file: Path) -> str:
    """Return the text of a file; ``-`` is what comes in."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise Failed(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from error
