"""How a cloud is asked: off the event loop, a bounded number at a time, each request with an end.

Nothing is repeated here but the login that a request was missing: whoever asks knows whether to ask again.
"""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import structlog

from doctor.drivers.controllers.openstack.settings import OpenStackSettings
from doctor.kit.breaker import Breaker, Circuit
from doctor.model.errors import PermanentError, Reason, RejectedError, TransientError

log = structlog.get_logger(__name__)

T = TypeVar("T")

COMPUTE, NETWORK, VOLUME = "compute", "network", "block-storage"
REST = 10.0  # seconds for which a service that does not answer is left alone at most


class CloudSession:
    """A login at one region of one cloud, kept as long as it is good."""

    def __init__(self, settings: OpenStackSettings) -> None:
        self._settings = settings
        self._readers = ThreadPoolExecutor(settings.readers, f"{settings.cloud}-read")
        self._writers = ThreadPoolExecutor(settings.writers, f"{settings.cloud}-write")
        self._session: Any = None
        self._region: str | None = None
        self._interface = settings.interface or "public"
        self._breakers = {kind: Breaker(longest_rest=REST) for kind in (COMPUTE, NETWORK, VOLUME)}

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
        content = await self._ask(pool, service, "GET", path, None, version)
        try:
            return msgspec.json.decode(content, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise TransientError(f"{service} answered what it should not: {error}") from None

    async def change(
        self, service: str, method: str, path: str, body: Any, *, version: str | None = None
    ) -> None:
        """Change something; raises as `get` does."""
        await self._ask(self._writers, service, method, path, body, version)

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
        self, pool: ThreadPoolExecutor, service: str, method: str, path: str, body: Any, version: str | None
    ) -> bytes:
        breaker = self._breakers[service]
        if not breaker.may_pass(time.monotonic()):
            raise TransientError(
                f"{service} is left alone for {breaker.remaining(time.monotonic()):.0f} s more"
            )
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(pool, self._send, service, method, path, body, version)
        try:
            status, content, retry_after = await call
        except TransientError as error:
            breaker.failed(time.monotonic())
            raise TransientError(f"{service}: {error}") from error
        except PermanentError:
            breaker.succeeded()
            raise
        if status == 429 or status >= 500:
            breaker.failed(time.monotonic())
            raise TransientError(f"{service} answered {status}{retry_after}: {_message(content)}")
        breaker.succeeded()
        if status < 400:
            return content
        if status == 404:
            raise RejectedError(f"{service}: {_message(content)}", reason=Reason.NOT_FOUND)
        if status in (401, 403):
            raise PermanentError(f"{service} answered {status}: {_message(content)}")
        raise RejectedError(f"{service} answered {status}: {_message(content)}", reason=Reason.CONFLICT)

    def _send(
        self, service: str, method: str, path: str, body: Any, version: str | None
    ) -> tuple[int, bytes, str]:
        """Make one request, in a thread."""
        from keystoneauth1 import exceptions

        headers = {"Accept": "application/json"}
        if version:
            headers["OpenStack-API-Version"] = f"{service} {version}"
        try:
            answer = self._login().request(
                path,
                method,
                json=body,
                headers=headers,
                endpoint_filter={
                    "service_type": service,
                    "interface": self._interface,
                    "region_name": self._region,
                },
                raise_exc=False,
                redirect=False,
                connect_retries=0,
                status_code_retries=0,
                timeout=self._settings.timeout,
                log=False,
            )
        except exceptions.EndpointNotFound:
            raise PermanentError(f"the cloud has no {service}") from None
        except (exceptions.Unauthorized, exceptions.Forbidden) as error:
            raise PermanentError(f"Keystone refuses the login of {self._settings.cloud}: {error}") from None
        except (exceptions.ClientException, OSError) as error:
            raise TransientError(str(error)) from error
        delay = answer.headers.get("Retry-After")
        return answer.status_code, answer.content, f", try again in {delay} s" if delay else ""

    def _login(self) -> Any:
        """Return the session of keystoneauth; it logs in with the first request, and anew when it has to."""
        if self._session is None:
            from openstack.config import OpenStackConfig  # half a second, which only clouds need
            from openstack.exceptions import ConfigException

            file = self._settings.clouds_file or os.environ.get("OS_CLIENT_CONFIG_FILE")
            wanted: dict[str, Any] = {"region_name": self._settings.region} if self._settings.region else {}
            try:
                config = OpenStackConfig(config_files=[str(file)] if file else None, load_envvars=False)
                region = config.get_one(cloud=self._settings.cloud, **wanted)
                self._interface = self._settings.interface or str(region.get_interface() or "public")
                self._region = region.get_region_name() or None
                self._session = region.get_session()
            except ConfigException as error:
                raise PermanentError(f"clouds.yaml: {error}") from None
        return self._session


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
