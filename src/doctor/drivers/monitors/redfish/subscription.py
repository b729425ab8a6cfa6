"""The subscription for the events of a service: made, looked after, made anew when it was forgotten.

A BMC that was reset knows of none, one that could not deliver suspends them, and of a Doctor that was killed one is left
over. An event is worth a look at the BMC and nothing more, so one that is lost is found at the next look.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from doctor.devices.worker import Leash

if TYPE_CHECKING:
    from doctor.devices.redfish_session import RedfishSession

SERVICE = "/redfish/v1/EventService"
TYPES = ["StatusChange", "ResourceUpdated", "ResourceAdded", "ResourceRemoved", "Alert"]
GONE = {"Disabled", "StandbyOffline", "UnavailableOffline"}
MOST = 32  # subscriptions of a service that are looked at
ASK_AGAIN = 20  # looks, until somebody who offers no events is asked again


class Subscription:
    """One subscription, to be used in the thread of its BMC. ``trouble`` is why there is none."""

    def __init__(self, destination: str, context: str) -> None:
        self._wish = {"Destination": destination, "Context": context, "Protocol": "Redfish"}
        self._where: str | None = None
        self._rest = 0
        self.trouble: str | None = None
        self.made = 0

    def keep(self, session: "RedfishSession", leash: Leash) -> None:
        """See that it is there. What goes wrong is nothing to give up for: then it is as before, by looking."""
        try:
            self._keep(session, leash)
        except Exception as error:
            self._where = None
            self.trouble = f"it takes no subscription ({type(error).__name__})"
            self._rest = ASK_AGAIN

    def end(self, session: "RedfishSession", leash: Leash) -> None:
        """Take it back."""
        where, self._where = self._where, None
        if where is not None:
            session.delete(where, leash)

    def _keep(self, session: "RedfishSession", leash: Leash) -> None:
        if self._rest:
            self._rest -= 1
            return
        if self._where is not None and self._is_good(session.read(self._where, leash)):
            return
        self._where = None
        service = session.read(SERVICE, leash)
        link = service.get("Subscriptions") if isinstance(service, dict) else None
        path = link.get("@odata.id") if isinstance(link, dict) else None
        if not isinstance(path, str) or service.get("ServiceEnabled") is False:
            self.trouble = "it offers no events"
            self._rest = ASK_AGAIN
            return
        for old, found in self._ours(session, path, leash):
            if self._where is None and self._is_good(found):
                self._where = old
            else:
                session.delete(old, leash)
        if self._where is None:
            self._where = self._subscribe(session, path, leash)
            self.made += 1
        self.trouble = None

    def _subscribe(self, session: "RedfishSession", path: str, leash: Leash) -> str | None:
        """Subscribe in the older way, which names types of events, else in the newer one, which knows of none."""
        from sushy.exceptions import BadRequestError

        try:
            return session.create(path, {**self._wish, "EventTypes": TYPES}, leash)
        except BadRequestError:
            return session.create(path, {**self._wish, "EventFormatType": "Event"}, leash)

    def _ours(
        self, session: "RedfishSession", path: str, leash: Leash
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        document = session.read(path, leash)
        members = document.get("Members") if isinstance(document, dict) else None
        for link in members[:MOST] if isinstance(members, list) else []:
            one = link.get("@odata.id") if isinstance(link, dict) else None
            found = session.read(one, leash) if isinstance(one, str) else None
            if (
                isinstance(one, str)
                and isinstance(found, dict)
                and found.get("Context") == self._wish["Context"]
            ):
                yield one, found

    def _is_good(self, found: Any) -> bool:
        if not isinstance(found, dict):
            return False
        status = found.get("Status")
        state = status.get("State") if isinstance(status, dict) else None
        return state not in GONE and all(
            found.get(key) == self._wish[key] for key in ("Destination", "Context")
        )
