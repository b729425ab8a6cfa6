"""The two projects of the test in a cloud, the owner's and the stranger's, and the servers that they start.

All that is made here is put on a stack that takes it away again, in the other order.
"""

from collections.abc import Callable
from contextlib import ExitStack
from secrets import token_urlsafe
from typing import NamedTuple

from doctor.cli.verify.cloud_account import GONE, Account, Json, until
from doctor.cli.verify.cloud_settings import CloudTestSettings
from doctor.cli.verify.mailbox import VerifyError

BOOT_SECONDS = 180.0
DELETE_SECONDS = 90.0
ROLE = "member"
CIDR = "192.0.2.0/24"  # of documentation (RFC 5737): nobody's
Say = Callable[[str], None]


class Wish(NamedTuple):
    """What a server is made of."""

    image: str
    flavor: str
    network: str
    zone: str | None


def make_account(admin: Account, name: str, stack: ExitStack, say: Say) -> Account:
    """Make a project with one user, who may do there what members may.

    Raises:
        VerifyError: this account may not.
    """
    password = token_urlsafe(24)
    roles = admin.items("identity", f"/roles?name={ROLE}")
    if not roles:
        raise VerifyError(f"the cloud has no role {ROLE}: name two accounts with --owner and --stranger")
    body = {"project": {"name": name, "domain_id": admin.domain, "description": "made by doctor verify"}}
    project = admin.ask("POST", "identity", "/projects", body)["project"]["id"]
    stack.callback(_remove, admin, "identity", f"/projects/{project}", f"the project {name}", say)
    account = {
        "name": name,
        "domain_id": admin.domain,
        "password": password,
        "default_project_id": project,
    }
    user = admin.ask("POST", "identity", "/users", {"user": account})["user"]["id"]
    stack.callback(_remove, admin, "identity", f"/users/{user}", f"the user {name}", say)
    admin.ask("PUT", "identity", f"/projects/{project}/users/{user}/roles/{roles[0]['id']}")
    return admin.in_project(project, user, password)


def wish_of(account: Account, settings: CloudTestSettings, name: str, stack: ExitStack, say: Say) -> Wish:
    """Find what a server of this project can be made of; a project without a network gets one.

    Raises:
        VerifyError: there is no such image, flavor or network.
    """
    images = account.items("image", "/v2/images?status=active")
    flavors = account.items("compute", "/flavors/detail")
    networks = [
        one
        for one in account.items("network", "/v2.0/networks")
        if settings.network or (one["project_id"] == account.project and one.get("subnets"))
    ]
    flavors.sort(key=lambda one: (one["ram"], one["vcpus"], one["disk"]))
    if not networks and settings.network is None:
        networks = [_make_network(account, name, stack, say)]
    return Wish(
        image=_named("image", images, settings.image),
        flavor=_named("flavor", flavors, settings.flavor),
        network=_named("network", networks, settings.network),
        zone=settings.zone,
    )


def boot(account: Account, wish: Wish, name: str, stack: ExitStack, say: Say) -> Json:
    """Start a server and wait until it is ACTIVE.

    Raises:
        VerifyError: it does not become that.
    """
    body: Json = {
        "name": name,
        "imageRef": wish.image,
        "flavorRef": wish.flavor,
        "networks": [{"uuid": wish.network}],
    }
    if wish.zone:
        body["availability_zone"] = wish.zone
    server_id = account.ask("POST", "compute", "/servers", {"server": body})["server"]["id"]
    stack.callback(delete_server, account, server_id, say)

    def has_ended() -> Json | None:
        server = account.server(server_id)
        return server if server is not None and server["status"] in ("ACTIVE", "ERROR") else None

    server = until(has_ended, within=BOOT_SECONDS)
    if server is None or server["status"] != "ACTIVE":
        why = (
            "is not ACTIVE in time"
            if server is None
            else (server.get("fault") or {}).get("message", "is in ERROR")
        )
        raise VerifyError(f"the server {name} cannot be started: {why}")
    return server


def delete_server(account: Account, server_id: str, say: Say) -> None:
    """Delete a server and wait until it is gone."""
    _remove(account, "compute", f"/servers/{server_id}", f"the server {server_id}", say)
    if not until(lambda: account.server(server_id) is None, within=DELETE_SECONDS):
        say(f"the server {server_id} is not gone yet: look after it")


def _make_network(account: Account, name: str, stack: ExitStack, say: Say) -> Json:
    network = account.ask("POST", "network", "/v2.0/networks", {"network": {"name": name}})["network"]
    stack.callback(_remove, account, "network", f"/v2.0/networks/{network['id']}", f"the network {name}", say)
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": CIDR, "enable_dhcp": False}
    account.ask("POST", "network", "/v2.0/subnets", {"subnet": subnet})
    return network


def _named(kind: str, found: list[Json], name: str | None) -> str:
    """Return the id of the thing of this name or id; without a name that of the first."""
    for one in found:
        if name in (None, one["id"], one["name"]):
            return str(one["id"])
    raise VerifyError(f"the cloud has no {kind} {name}" if name else f"the cloud has no {kind} for the test")


def _remove(account: Account, service: str, path: str, what: str, say: Say) -> None:
    """Take something away; if that fails it is said, and the rest goes on."""
    try:
        account.ask("DELETE", service, path, ok=(GONE,))
    except VerifyError as error:
        say(f"{what} is left over: {error}")
