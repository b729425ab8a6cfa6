"""How a cloud is asked: off the event loop, a bounded number at a time, each request with an end.

Nothing is repeated here but the login that a request was missing: whoever asks knows whether to ask again.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import structlog

from doctor.drivers.controllers.openstack.settings import OpenStackSettings
from doctor.kit.breaker import Breaker, Circuit
from doctor.model.errors import PermanentError, Reason, RejectedError, TransientError

log = structlog.get_logger(__name__)

COMPUTE, NETWORK, VOLUME, IMAGE = "compute", "network", "block-storage", "image"
REST = 10.0  # seconds for which a service that does not answer is left alone at most
LONGEST_WISH = 60.0  # seconds for which one is left alone that wishes it


class Thing(Protocol):
    """What listings are made of."""

    @property
    def id(self) -> str:
        """Return what the next page begins behind."""
        ...


T = TypeVar("T")
Item = TypeVar("Item", bound=Thing)


class LateError(TransientError):
    """A service has not answered in the time that it was given; what it was asked for may be done all the same."""


class _Answer(NamedTuple):
    status: int
    content: bytes
    retry_after: float | None  # seconds


class CloudSession:
    """A login at one region of one cloud, kept as long as it is good."""

    def __init__(self, settings: OpenStackSettings) -> None:
        self._settings = settings
        self._readers = ThreadPoolExecutor(settings.readers, f"{settings.cloud}-read")
        self._writers = ThreadPoolExecutor(settings.writers, f"{settings.cloud}-write")
        self._session: Any = None
        self._login_lock = Lock()
        self._overrides: dict[str, str | None] = {}
        self._region: str | None = None
        self._interface = settings.interface or "public"
        self._breakers = {kind: Breaker(longest_rest=REST) for kind in (COMPUTE, NETWORK, VOLUME, IMAGE)}

    async def get(
        self, service: str, path: str, answer: type[T], *, version: str | None = None, urgent: bool = False
    ) -> T:
        """Ask for something. What is urgent does not wait behind long listings.

        Raises:
            RejectedError: there is no such thing, or not now.
            TransientError: no answer, or none that says anything.
            PermanentError: Doctor may not, or the cloud has no such service.
        """
        pool = self._writers if urgent else self._readers
        return _read(service, await self._ask(pool, service, "GET", path, None, version), answer)

    async def pages(
        self,
        service: str,
        path: str,
        answer: type[T],
        items: Callable[[T], Sequence[Item]],
        *,
        version: str | None = None,
    ) -> AsyncIterator[Sequence[Item]]:
        """Ask for everything that a path lists, page by page; raises as `get` does."""
        marker = ""
        while True:
            found = items(await self.get(service, path + marker, answer, version=version))
            if not found:
                return
            behind = f"&marker={found[-1].id}"
            if behind == marker:
                raise TransientError(f"{service} answered the same page twice")
            yield found
            marker = behind

    async def put(
        self,
        service: str,
        path: str,
        body: Any,
        answer: type[T],
        *,
        version: str | None = None,
        patience: float | None = None,
    ) -> T:
        """Set something, and return what the service says that it is now; raises as `get` does.

        With ``patience`` it is a `LateError` after so many seconds, and nothing that speaks against the service.
        """
        content = await self._ask(self._writers, service, "PUT", path, body, version, patience)
        return _read(service, content, answer)

    async def act(self, service: str, path: str, body: Any, *, version: str | None = None) -> None:
        """Let a service do something to which it says no more than that it will; raises as `get` does."""
        content = await self._ask(self._writers, service, "POST", path, body, version)
        if content:
            raise TransientError(f"{service} answered what it should not: {_message(content)}")

    async def change(
        self, service: str, method: str, path: str, body: Any, *, version: str | None = None
    ) -> None:
        """Change something of which the next look tells what became of it; raises as `get` does."""
        await self._ask(self._writers, service, method, path, body, version)

    async def project(self) -> str:
        """Return the id of the project for which Doctor is logged in.

        Raises:
            TransientError: the cloud does not say.
        """
        from keystoneauth1 import exceptions

        def ask() -> str:
            try:
                return str(self._login().get_project_id())
            except (exceptions.ClientException, OSError) as error:
                raise TransientError(str(error)) from error

        return await asyncio.get_running_loop().run_in_executor(self._writers, ask)

    async def close(self) -> None:
        """Let go of the threads; one that still waits for an answer ends by itself."""
        for pool in (self._readers, self._writers):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def trouble(self) -> str:
        """Return which services are left alone for now, or nothing."""
        resting = [kind for kind, one in self._breakers.items() if one.circuit is not Circuit.CLOSED]
        return f"not answering: {', '.join(resting)}" if resting else ""

    async def _ask(
        self,
        pool: ThreadPoolExecutor,
        service: str,
        method: str,
        path: str,
        body: Any,
        version: str | None,
        patience: float | None = None,
    ) -> bytes:
        breaker = self._breakers[service]
        if not breaker.may_pass(time.monotonic()):
            raise TransientError(
                f"{service} is left alone for {breaker.remaining(time.monotonic()):.0f} s more"
            )
        loop = asyncio.get_running_loop()
        timeout = self._settings.timeout if patience is None else min(patience, self._settings.timeout)
        call = loop.run_in_executor(pool, self._send, service, method, path, body, version, timeout)
        try:
            status, content, retry_after = await call
        except TransientError as error:
            if patience is not None and isinstance(error, LateError):
                raise
            breaker.failed(time.monotonic())
            raise TransientError(f"{service}: {error}") from error
        except PermanentError:
            breaker.succeeded()
            raise
        if status == 429 or status >= 500:
            breaker.failed(time.monotonic())
            if retry_after is not None:
                breaker.spare(time.monotonic(), min(retry_after, LONGEST_WISH))
            raise TransientError(f"{service} answered {status}: {_message(content)}")
        breaker.succeeded()
        if status < 400:
            return content
        if status == 404:
            raise RejectedError(f"{service}: {_message(content)}", reason=Reason.NOT_FOUND)
        if status in (401, 403):
            raise PermanentError(f"{service} answered {status}: {_message(content)}")
        raise RejectedError(f"{service} answered {status}: {_message(content)}", reason=Reason.CONFLICT)

    def _send(
        self, service: str, method: str, path: str, body: Any, version: str | None, timeout: float
    ) -> _Answer:
        """Make one request, in a thread."""
        from keystoneauth1 import exceptions

        headers = {"Accept": "application/json"}
        if version:
            headers["OpenStack-API-Version"] = f"{service} {version}"
        try:
            session = self._login()
            answer = session.request(
                path,
                method,
                json=body,
                headers=headers,
                endpoint_filter={
                    "service_type": service,
                    "interface": self._interface,
                    "region_name": self._region,
                },
                endpoint_override=self._overrides[service],
                raise_exc=False,
                redirect=False,
                connect_retries=0,
                status_code_retries=0,
                timeout=timeout,
                log=False,
            )
        except exceptions.EndpointNotFound:
            raise PermanentError(f"the cloud has no {service}") from None
        except (exceptions.Unauthorized, exceptions.Forbidden) as error:
            raise PermanentError(f"Keystone refuses the login of {self._settings.cloud}: {error}") from None
        except exceptions.ConnectTimeout as error:
            raise LateError(str(error)) from error
        except (exceptions.ClientException, OSError) as error:
            raise TransientError(str(error)) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # The library takes what Keystone says for granted, and keeps it: a login that is none has to be forgotten.
            self._session = None
            raise TransientError(f"Keystone answered what it should not: {error!r}") from error
        return _Answer(answer.status_code, answer.content, _seconds(answer.headers.get("Retry-After")))

    def _login(self) -> Any:
        """Return the session of keystoneauth; it logs in with the first request, and anew when it has to."""
        with self._login_lock:
            return self._session or self._opened()

    def _opened(self) -> Any:
        """Read clouds.yaml; no network is needed for this."""
        from openstack.config import OpenStackConfig  # half a second, which only clouds need
        from openstack.exceptions import ConfigException

        file = self._settings.clouds_file or os.environ.get("OS_CLIENT_CONFIG_FILE")
        wanted: dict[str, Any] = {"region_name": self._settings.region} if self._settings.region else {}
        try:
            config = OpenStackConfig(config_files=[str(file)] if file else None, load_envvars=False)
            region = config.get_one(cloud=self._settings.cloud, **wanted)
            self._interface = self._settings.interface or str(region.get_interface() or "public")
            self._region = region.get_region_name() or None
            self._overrides = {kind: region.get_endpoint(kind) for kind in self._breakers}
            session = region.get_session()
        except ConfigException as error:
            raise PermanentError(f"clouds.yaml: {error}") from None
        session.timeout = self._settings.timeout  # of the login; each request brings its own
        self._session = session
        return session


def _read(service: str, content: bytes, answer: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"{service} answered what it should not: {error}") from None


def _seconds(wish: str | None) -> float | None:
    """Return for how long a service wishes to be left alone; a date, which none of them gives, is no wish."""
    return float(wish) if wish is not None and wish.isdecimal() and wish.isascii() else None


class _Fault(msgspec.Struct):
    message: str = ""


def _message(content: bytes) -> str:
    """Return the sentence in an error of an OpenStack service, whatever it is wrapped in."""
    try:
        document = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        for inner in document.values():
            fault = msgspec.json.decode(inner, type=_Fault | str)
            text = fault if isinstance(fault, str) else fault.message
            if text:
                return text[:300]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    return content[:100].decode(errors="replace")
