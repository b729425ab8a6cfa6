"""How a cloud wants to be tested: what stands in its clouds.yaml below ``doctor_verify``, and what the command says."""

import shlex
import subprocess
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from doctor.cli.verify.mailbox import VerifyError

KEY = "doctor_verify"
COMMAND_SECONDS = 120.0


class CloudTestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the test needs to know of a cloud.

    ``fail`` and ``recover`` are the commands that make a host fail and bring it back; ``{host}`` in them is Nova's name
    of it, ``{address}`` its address. ``seconds`` is how long the host stays away. ``owner`` and ``stranger`` are
    accounts of clouds.yaml; without them two projects are made for the test. Without ``image``, ``flavor``,
    ``network`` the first image, the smallest flavor, a network of the project's own are taken. ``zone`` is where the
    server is to run. ``shared`` allows the failure of a host on which others have servers too. ``timeout`` is how many
    seconds emptying a host may take.
    """

    fail: str | None = None
    recover: str | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 180
    owner: str | None = None
    stranger: str | None = None
    image: str | None = None
    flavor: str | None = None
    network: str | None = None
    zone: str | None = None
    shared: bool = False
    timeout: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 600


def settings_of(
    config: Mapping[str, Any], said: Mapping[str, Any], *, fails: bool = True
) -> CloudTestSettings:
    """Return what clouds.yaml says of a cloud's test; what was ``said`` on the command line counts more. ``fails`` is
    whether hosts are made to fail.

    Raises:
        VerifyError: what stands there is wrong, or nobody says how to make a host fail.
    """
    given = dict(config.get(KEY) or {}) | {name: value for name, value in said.items() if value is not None}
    try:
        settings = msgspec.convert(given, CloudTestSettings, strict=False)  # openstacksdk makes texts of all
    except msgspec.ValidationError as error:
        raise VerifyError(f"clouds.yaml: {KEY}: {error}") from None
    if fails and (settings.fail is None or settings.recover is None):
        raise VerifyError(
            "nobody says how to make a host fail and bring it back: give --fail and --recover, "
            f"or write fail and recover below {KEY} of this cloud in clouds.yaml"
        )
    return settings


def carry_out(command: str, host: str, address: str) -> None:
    """Carry out one of the commands; a Ctrl-C in the terminal does not reach it.

    Raises:
        VerifyError: it could not be started, or has failed.
    """
    words = [word.replace("{host}", host).replace("{address}", address) for word in shlex.split(command)]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own words, without a shell
            words,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VerifyError(f"{shlex.join(words)}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise VerifyError(f"{shlex.join(words)} ended with {done.returncode}: {said}")
