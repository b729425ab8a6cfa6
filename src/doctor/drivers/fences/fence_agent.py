"""All fence agents of ClusterLabs, by one wrapper: a program, told on standard input what to do.

An agent's answers are taken with care: success is 0 for on and 2 for off, but 2 is also how a shell or an interpreter
says that it could not even begin. So off counts only with the word for it. And an agent that says "Success: Powered
OFF" has not been believed yet: the state is read back by calls of their own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from doctor.drivers.fences.switching import SwitchingFence
from doctor.kit import program
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.kit.secret import Secret, read_secret
from doctor.model.fencing import Cut, Doubt, Identity, Reading, Seen, Supply, Unknown, Vantage

OURS = {"action", "plug", "port", "method"}  # options that say what to do and to whom
NAME = re.compile(r"[a-z][a-z0-9_]*")
PLUG = re.compile(r"[^\x00-\x1f\x7f=]{0,255}")
SEEN_OFF = re.compile(r"\boff\b", re.IGNORECASE)
STAMP = re.compile(r"^[\d :,.-]{19,} ")
ACTION = re.compile(r"<action name=\"(\w+)\"")
LOGIN = re.compile(r"login|authenti|password|denied", re.IGNORECASE)
SECRETS = ("passw", "community", "secret", "token")  # in names of options whose values are secret
MOST_WAIT = 30  # seconds that an agent is given for each of its own steps, at most
VANTAGES = {Cut.POWER: Vantage.OUT_OF_BAND, Cut.NETWORK: Vantage.SWITCH_PORT, Cut.STORAGE: Vantage.STORAGE}


class FenceAgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of an agent.

    - ``agent``: its name (``fence_apc``) or its path.
    - ``options``: what the agent wants to know, by the names of its man page, but for action and plug.
    - ``secret_files``: options whose values are in files that only Doctor may read: ``{password: /etc/doctor/pdu}``.
    - ``cuts``: what the agent takes from a host; ``network`` and ``storage`` prove isolation only together.
    - ``needs_plug``: whether the agent serves many hosts, so that each must name its plug.
    - ``partial``: whether a plug is one of several feeds or ports that a host may have; so by default with plugs.
    """

    agent: str
    options: dict[str, str | int | bool] = {}
    secret_files: dict[str, Path] = {}
    cuts: Cut = Cut.POWER
    needs_plug: bool = False
    partial: bool | None = None


class AgentFence(SwitchingFence):
    """One agent with its options: a device as far as the agent makes it one."""

    kind = "fence_agent"
    least = program.LEAST

    def __init__(
        self,
        settings: FenceAgentSettings,
        secrets: Mapping[str, Secret] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock)
        self.cuts = settings.cuts
        self.vantage = VANTAGES[settings.cuts]
        self.partial = settings.needs_plug if settings.partial is None else settings.partial
        self._settings = settings
        self._secrets = dict(secrets or {})
        self._closed = False

    def check(self, plug: str) -> str | None:
        """Say what is wrong with a plug."""
        if not plug and self._settings.needs_plug:
            return "which plug? the device has several"
        if not PLUG.fullmatch(plug):
            return "is no name of a plug"
        return None

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Say that an agent cannot tell, unless it cannot even fence."""
        finished = await self._ask("metadata", "", deadline)
        if isinstance(finished, Unknown):
            return finished
        actions = set(ACTION.findall(finished.output))
        if not actions:
            return Unknown(Doubt.UNINTELLIGIBLE, f"{self._settings.agent} does not describe itself")
        if missing := sorted({"on", "off", "status"} - actions):
            return Unknown(
                Doubt.REFUSED, f"{self._settings.agent} knows no action {' and no '.join(missing)}"
            )
        return Unknown(Doubt.NOT_OFFERED, "an agent does not say which machine is behind the plug")

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read the state; each call of an agent is a session of its own."""
        finished = await self._ask("status", plug, deadline)
        if isinstance(finished, Unknown):
            return finished
        if finished.code == 0:
            return Seen(Supply.ON, self._clock.now())
        if finished.code == 2 and SEEN_OFF.search(finished.output):
            return Seen(Supply.OFF, self._clock.now())
        return self._complaint("status", finished)

    async def close(self) -> None:
        """Start no more agents."""
        self._closed = True

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        finished = await self._ask(wanted.value, plug, deadline)
        if isinstance(finished, Unknown):
            return finished
        return None if finished.code == 0 else self._complaint(wanted.value, finished)

    async def _ask(self, action: str, plug: str, deadline: Deadline) -> program.Finished | Unknown:
        if self._closed:
            return Unknown(Doubt.CLOSED, "the device is closed")
        agent = program.find(self._settings.agent)
        if agent is None:
            return Unknown(Doubt.NOT_INSTALLED, f"{self._settings.agent}: there is no such program here")
        try:
            return await program.run([agent], deadline, told=self._told(action, plug, deadline))
        except TimeoutError:
            return Unknown(Doubt.LATE, f"{self._settings.agent} had not ended its {action} in time")
        except OSError as error:
            return Unknown(
                Doubt.NOT_INSTALLED, f"{self._settings.agent} cannot be started: {error.strerror or error}"
            )

    def _told(self, action: str, plug: str, deadline: Deadline) -> bytes:
        """Write what an agent reads: options, one to a line.

        Its own waiting is for clusters that look at nothing but its exit code: none after the command, for Doctor
        reads back itself, and nowhere longer than there is time.
        """
        patience = min(max(int(deadline.left), 1), MOST_WAIT)
        waits = dict.fromkeys(("power_timeout", "shell_timeout", "login_timeout"), patience)
        told: dict[str, Any] = {"power_wait": 0, "delay": 0, **waits, **self._settings.options}
        told |= {name: secret.reveal() for name, secret in self._secrets.items()}
        told["action"] = action
        if plug:
            told["plug"] = plug
        return "".join(f"{name}={_written(value)}\n" for name, value in told.items()).encode()

    def _complaint(self, action: str, finished: program.Finished) -> Unknown:
        lines = f"{finished.errors}\n{finished.output}".strip().splitlines()
        said = STAMP.sub("", lines[-1])[:200] if lines else "nothing"
        for secret in self._secrets.values():
            said = said.replace(secret.reveal(), "***")
        return Unknown(_doubt(said), f"{self._settings.agent} {action} ended with {finished.code}: {said}")


def _doubt(said: str) -> Doubt:
    if "unable to connect" in said.lower():
        return Doubt.UNREACHABLE  # or the login was wrong: agents have one sentence for both
    if "timed out" in said.lower():
        return Doubt.LATE
    return Doubt.LOGIN if LOGIN.search(said) else Doubt.REFUSED


def _written(value: str | int | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def make(settings: Mapping[str, Any]) -> AgentFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, FenceAgentSettings)
    for place, names in (("options", read.options), ("secret_files", read.secret_files)):
        for name in names:
            if name in OURS:
                raise ValueError(f"{place}.{name}: is for Doctor to say; leave it out")
            if not NAME.fullmatch(name):
                raise ValueError(f"{place}.{name}: is no option of an agent")
    for name, value in read.options.items():
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"options.{name}: must be one line")
        if any(word in name for word in SECRETS) and not name.endswith("_script"):
            raise ValueError(
                f"options.{name}: is a secret; put it into a file and name it in secret_files.{name}"
            )
    for name in read.secret_files:
        if name in read.options:
            raise ValueError(f"options.{name}: is in secret_files as well")
    return AgentFence(
        read, {name: read_secret(path, f"secret_files.{name}") for name, path in read.secret_files.items()}
    )
