"""The settings of maintenance: actions by name, which sessions can have done around the work on hosts."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from doctor.app import plugins
from doctor.flows.maintenance_session import NamedAction
from doctor.kit.options import duration
from doctor.model.errors import Flaw, RejectedError
from doctor.model.maintenance_action import USUAL_TIMEOUT

PATH = "maintenance.actions"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TIMEOUT = "timeout"  # of an action: not for its driver, but for who runs it
LEAST, MOST = timedelta(seconds=1), timedelta(days=7)


def read_actions(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, NamedAction]:
    """Make the actions.

    Raises:
        RejectedError: a flaw, with its path.
    """
    return {name: _action(name, given, f"{PATH}.{name}") for name, given in settings.items()}


def _action(name: str, given: Mapping[str, Any], path: str) -> NamedAction:
    if not NAME.fullmatch(name):
        detail = "is no name: letters, digits, dots, dashes and underscores, 64 at most"
        raise RejectedError("the settings are wrong", flaws=[Flaw(path, detail)])
    if not isinstance(given.get("driver"), str):
        detail = "name the driver of the action: command, http, ansible"
        raise RejectedError("the settings are wrong", flaws=[Flaw(f"{path}.driver", detail)])
    own = {key: value for key, value in given.items() if key != TIMEOUT}
    timeout = USUAL_TIMEOUT
    if TIMEOUT in given:
        try:
            timeout = duration(given[TIMEOUT], f"{path}.{TIMEOUT}", least=LEAST)
        except ValueError as error:
            where, _, detail = str(error).partition(": ")
            raise RejectedError("the settings are wrong", flaws=[Flaw(where, detail)]) from None
        if timeout > MOST:
            raise RejectedError(
                "the settings are wrong", flaws=[Flaw(f"{path}.{TIMEOUT}", "is at most 7 days")]
            )
    return NamedAction(plugins.make(plugins.MAINTENANCE_ACTIONS, own, path=path), timeout)
