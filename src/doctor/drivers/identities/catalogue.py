"""Doctor in the service catalogue of a cloud, where its users look for it.

In comes what should stand there and what does, out go the steps from one to the other: none, when it does already. What
belongs to another service is never touched.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from doctor.model.errors import PermanentError, Reason, RejectedError, TransientError

if TYPE_CHECKING:
    from keystoneauth1.session import Session

T = TypeVar("T")

DESCRIPTION = "Fault management for NFVI"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What should stand in the catalogue: ``urls`` by interface."""

    service_type: str
    name: str
    region: str
    urls: Mapping[str, str]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service as the catalogue has it."""

    id: str
    type: str
    name: str = ""
    enabled: bool = True


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as the catalogue has it."""

    id: str
    service_id: str
    interface: str
    url: str
    region: str | None = msgspec.field(name="region_id", default=None)
    enabled: bool = True


class Action(StrEnum):
    """What becomes of something in the catalogue."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    REMOVE = "remove"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step. ``interface`` None is the service itself; ``id`` is what there is already."""

    action: Action
    interface: str | None = None
    url: str | None = None
    id: str | None = None


def find_service(entry: Entry, services: Sequence[Service]) -> Service | None:
    """Return the service of this type and name.

    Raises:
        RejectedError: the type is another service's: its users would be sent to Doctor, or never find it.
    """
    found = own_service(entry, services)
    other = next((one.name for one in services if one.type == entry.service_type), None)
    if found is None and other is not None:
        detail = f"the type {entry.service_type} is that of the service {other!r}: remove that one first"
        raise RejectedError(detail, reason=Reason.CONFLICT)
    return found


def own_service(entry: Entry, services: Sequence[Service]) -> Service | None:
    """Return the service of this type and name."""
    return min(
        (one for one in services if (one.type, one.name) == (entry.service_type, entry.name)),
        key=lambda one: one.id,
        default=None,
    )


def plan(entry: Entry, service: Service | None, endpoints: Sequence[Endpoint]) -> list[Step]:
    """Return the steps that make the catalogue say what it should, the service first."""
    if service is None:
        steps = [Step(action=Action.CREATE)]
    else:
        steps = [Step(action=Action.KEEP if service.enabled else Action.CHANGE, id=service.id)]
    for interface, url in entry.urls.items():
        there = [one for one in _own(entry, service, endpoints) if one.interface == interface]
        right = next((one for one in there if one.url == url and one.enabled), None)
        if right is not None:
            steps.append(Step(action=Action.KEEP, interface=interface, url=url, id=right.id))
        elif there:
            steps.append(Step(action=Action.CHANGE, interface=interface, url=url, id=there[0].id))
        else:
            steps.append(Step(action=Action.CREATE, interface=interface, url=url))
    return steps


def plan_removal(entry: Entry, service: Service | None, endpoints: Sequence[Endpoint]) -> list[Step]:
    """Return the steps that take Doctor out of the catalogue of a region; the service goes with its last endpoint."""
    if service is None:
        return []
    own = _own(entry, service, endpoints)
    steps = [Step(action=Action.REMOVE, interface=one.interface, url=one.url, id=one.id) for one in own]
    if all(one in own for one in endpoints if one.service_id == service.id):
        steps.append(Step(action=Action.REMOVE, id=service.id))
    return steps


def _own(entry: Entry, service: Service | None, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    if service is None:
        return []
    own = [one for one in endpoints if one.service_id == service.id and one.region == entry.region]
    return sorted(own, key=lambda one: one.id)


class _Services(msgspec.Struct):
    services: list[Service]


class _Endpoints(msgspec.Struct):
    endpoints: list[Endpoint]


class _Made(msgspec.Struct):
    service: Service


class _Error(msgspec.Struct):
    message: str = ""


class _Failure(msgspec.Struct):
    error: _Error


class Catalogue:
    """The service catalogue of a cloud, by a session that may change it. It waits: not for the event loop."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def steps_to(self, entry: Entry) -> list[Step]:
        """Return what has to be done until the entry stands there; raises as `perform` does, and as `find_service`."""
        return plan(entry, find_service(entry, self._services(entry)), self._endpoints())

    def steps_without(self, entry: Entry) -> list[Step]:
        """Return what has to be done until the entry is gone; raises as `steps_to`."""
        return plan_removal(entry, own_service(entry, self._services(entry)), self._endpoints())

    def perform(self, entry: Entry, steps: Sequence[Step]) -> None:
        """Do what was planned.

        Raises:
            RejectedError: Keystone does not want it so.
            TransientError: it does not answer, or says that it cannot.
            PermanentError: it refuses this user.
        """
        service_id = next((step.id for step in steps if step.interface is None), None)
        for step in steps:
            service_id = self._perform(entry, step, service_id)

    def _services(self, entry: Entry) -> list[Service]:
        path = f"/services?type={quote(entry.service_type, safe='')}"
        return _decoded(self._ask("GET", path), _Services).services

    def _endpoints(self) -> list[Endpoint]:
        return _decoded(self._ask("GET", "/endpoints"), _Endpoints).endpoints

    def _perform(self, entry: Entry, step: Step, service_id: str | None) -> str | None:
        kind = "service" if step.interface is None else "endpoint"
        path = f"/{kind}s" if step.id is None else f"/{kind}s/{step.id}"
        match step.action:
            case Action.KEEP:
                return service_id
            case Action.REMOVE:
                self._ask("DELETE", path)
                return service_id
            case Action.CHANGE:
                change = {"enabled": True, **({"url": step.url} if step.url else {})}
                self._ask("PATCH", path, {kind: change})
                return service_id
            case Action.CREATE if step.interface is None:
                service = {"type": entry.service_type, "name": entry.name, "description": DESCRIPTION}
                return _decoded(self._ask("POST", path, {"service": service}), _Made).service.id
            case Action.CREATE:
                endpoint = {
                    "service_id": service_id,
                    "interface": step.interface,
                    "region_id": entry.region,
                    "url": step.url,
                }
                self._ask("POST", path, {"endpoint": endpoint})
                return service_id

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        from keystoneauth1 import exceptions
        from keystoneauth1.plugin import AUTH_INTERFACE

        try:
            answer = self._session.request(
                path,
                method,
                json=body,
                headers={"Accept": "application/json"},
                endpoint_filter={"interface": AUTH_INTERFACE, "version": (3,)},
                raise_exc=False,
                redirect=False,
                log=False,
            )
        except (exceptions.Unauthorized, exceptions.Forbidden) as error:
            raise PermanentError(f"Keystone refuses the login: {error}") from None
        except (exceptions.ClientException, OSError) as error:
            raise TransientError(f"Keystone does not answer: {error}") from error
        status, content = answer.status_code, bytes(answer.content)
        if status in (401, 403):
            raise PermanentError(f"Keystone answered {status}: only an administrator changes the catalogue")
        if 400 <= status < 500 and status != 429:
            raise RejectedError(f"Keystone answered {status}: {_message(content)}")
        if not 200 <= status < 300:
            raise TransientError(f"Keystone answered {status}: {_message(content)}")
        return content


def _decoded(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"Keystone answered what it should not: {error}") from None


def _message(content: bytes) -> str:
    try:
        return msgspec.json.decode(content, type=_Failure).error.message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return content[:100].decode(errors="replace")
