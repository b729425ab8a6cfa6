"""Redfish as sushy speaks it, who knows the ways of the vendors, held to a time and a size.

sushy waits a minute for each answer, takes it however long it is, and tries again after pauses: all of that is for
provisioning. Here every request ends when the caller's time does.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import requests
import sushy
from requests.adapters import HTTPAdapter
from sushy.auth import BasicAuth
from sushy.connector import Connector

from doctor.devices.worker import Leash

MOST_ANSWER = 1024 * 1024  # bytes
PIECE = 64 * 1024
ROOT = "/redfish/"
SYSTEMS = ROOT + "v1/Systems/"

logging.getLogger("sushy").setLevel(logging.CRITICAL)  # what it complains about is told by the driver, once


class Bounded(HTTPAdapter):
    """Sends requests that end in time, and takes answers of a sane size."""

    def __init__(self, leash: Leash) -> None:
        super().__init__()
        self.leash = leash

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request and take the whole answer.

        Raises:
            TimeoutError: it did not end in time; of requests, when that was the server's silence.
            ContentDecodingError: the answer is too long.
        """
        response = super().send(request, True, self.leash.left, verify, cert, {})
        body = bytearray()
        while piece := response.raw.read(PIECE, decode_content=True):
            body += piece
            _ = self.leash.left
            if len(body) > MOST_ANSWER:
                response.close()
                raise requests.exceptions.ContentDecodingError("the answer is too long")
        response._content = bytes(body)
        response._content_consumed = True  # else requests reads it, without bounds
        response.close()
        return response


class RedfishSession:
    """A connection with one service. ``ca`` is a file of certificates to trust; None trusts those of this machine."""

    def __init__(self, url: str, user: str, password: str, ca: str | None, leash: Leash) -> None:
        self._adapter = Bounded(leash)
        self._connector = Connector(url, verify=ca or True, server_side_retries=1)
        http: requests.Session = self._connector._session
        http.mount("https://", self._adapter)
        http.mount("http://", self._adapter)
        http.trust_env = False  # neither proxies nor passwords from elsewhere
        http.max_redirects = 0  # the password is for this address alone
        self._root = sushy.Sushy(url, auth=BasicAuth(user, password), connector=self._connector)
        self._systems: dict[str, Any] = {}

    def system(self, plug: str, leash: Leash) -> Any:
        """Return the system as it is now; without a plug the only one.

        Raises:
            LookupError: there are several, or none.
        """
        self._adapter.leash = leash
        system = self._systems.get(plug)
        if system is None:
            system = self._systems[plug] = self._root.get_system(self.path(plug, leash))
        else:
            system.refresh(force=True)
        return system

    def path(self, plug: str, leash: Leash) -> str:
        """Return where a system is; without a plug the only one.

        Raises:
            LookupError: there are several, or none.
        """
        if plug:
            return SYSTEMS + plug
        self._adapter.leash = leash
        members = self._root.get_system_collection().members_identities
        if len(members) != 1:
            raise LookupError(f"there are {len(members)} systems: say which one")
        return str(members[0])

    def read(self, path: str, leash: Leash) -> Any:
        """Return the JSON at a path of this service, None where there is nothing.

        Raises:
            LookupError: the path leads elsewhere: the password is for this service alone.
        """
        try:
            return self._connector.get(self._own(path, leash)).json()
        except sushy.exceptions.ResourceNotFoundError:
            return None

    def create(self, path: str, document: Mapping[str, Any], leash: Leash) -> str | None:
        """Add a document to a collection, and return its path, if the service says it.

        Raises:
            LookupError: the path leads elsewhere.
        """
        answer = self._connector.post(self._own(path, leash), data=dict(document))
        where = urlsplit(str(answer.headers.get("Location") or "")).path
        return where if where.startswith(ROOT) else None

    def delete(self, path: str, leash: Leash) -> None:
        """Delete a document, if it is there.

        Raises:
            LookupError: the path leads elsewhere.
        """
        with suppress(sushy.exceptions.ResourceNotFoundError):
            self._connector.delete(self._own(path, leash))

    def _own(self, path: str, leash: Leash) -> str:
        if not path.startswith(ROOT):
            raise LookupError("it points to somewhere else")
        self._adapter.leash = leash
        return path

    def close(self) -> None:
        """Close the connections."""
        self._connector.close()
