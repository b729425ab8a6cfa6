"""A Doctor that monitors of others report to, and what it makes of that."""

from typing import Any
from urllib.parse import quote

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door

HOSTS = {
    "physical_resources": [{"id": f"compute-{number}", "zone_id": "az1"} for number in (1, 2)],
    "virtual_resources": [{"id": "vm-red", "host": "compute-1", "owner": "red"}],
}


class Site:
    """A running Doctor with a small map, and the token of a monitor."""

    def __init__(self, doctor: RunningDoctor) -> None:
        self.doctor = doctor
        self.door = Door(doctor)
        assert self.door.ask("PUT", "/v1/resource-map", HOSTS)[0] == 200

    def token(self, name: str) -> str:
        """Make a token by which a monitor of this name reports."""
        status, made = self.door.ask("POST", "/v1/tokens", {"role": "monitor", "name": name})
        assert status == 201, made
        token: str = made["token"]
        return token

    def push(self, path: str, body: Any, token: str = "") -> tuple[int, Any]:
        """Post what a source sends."""
        return self.door.ask("POST", path, body, token=token)

    def alarms(self) -> set[tuple[str, str]]:
        """Return what is wrong: on what, and what."""
        found = self.door.ask("GET", "/v1/alarms?limit=1000")[1]["items"]
        return {
            (one["resource_id"], one["fault_type"])
            for one in found
            if one["resource_type"] != "virtual machine"
        }

    def alarm(self, resource: str) -> dict[str, Any]:
        """Return the one alarm of a resource."""
        (found,) = (
            one
            for one in self.door.ask("GET", "/v1/alarms?limit=1000")[1]["items"]
            if one["resource_id"] == resource
        )
        return dict(found)

    def source(self, name: str) -> dict[str, Any]:
        """Return what is known of a source."""
        status, found = self.door.ask("GET", f"/v1/monitors/{quote(name)}")
        return dict(found) if status == 200 else {}

    def subscribed(self) -> str:
        """Have the owner of the machine subscribe."""
        _, made = self.door.ask("POST", "/v1/subscriptions", {}, token=self.door.token(Role.CONSUMER, "red"))
        subscription_id: str = made["subscription_id"]
        return subscription_id
