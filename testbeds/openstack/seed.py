"""Fill the cloud of the testbed; called by `up`, with the Python that Debian's packages belong to.

seed.py accounts                    services, endpoints, projects, users, roles
seed.py wait-computes N [PIDFILE..] wait until N compute services are up; give up when one of the processes is gone
seed.py resources                   flavors, an image, one network for each tenant

Every step may be repeated.
"""

import os
import sys
import time
from pathlib import Path

import openstack

STATE = Path(os.environ["OPENSTACK_TESTBED"])
IP = os.environ.get("TB_IP", "127.0.0.1")
PATIENCE = 180.0
TENANTS = ("tenant-a", "tenant-b")
FLAVORS = {"tiny": (1, 512, 1), "small": (2, 2048, 10), "vnf": (4, 8192, 40)}


def connect(cloud: str) -> openstack.connection.Connection:
    """Log in as one of the users of clouds.yaml."""
    return openstack.connect(cloud=cloud)


def port(name: str, default: int) -> str:
    """Return the port of a service, which the settings may have moved."""
    return os.environ.get(f"TB_PORT_{name}", str(default))


def accounts() -> None:
    """Make the catalogue, and everybody who works in the cloud."""
    identity = connect("admin").identity
    catalogue = {
        "placement": ("placement", f"http://{IP}:{port('PLACEMENT', 8778)}"),
        "glance": ("image", f"http://{IP}:{port('GLANCE', 9292)}"),
        "neutron": ("network", f"http://{IP}:{port('NEUTRON', 9696)}"),
        "cinder": ("volumev3", f"http://{IP}:{port('CINDER', 8776)}/v3/%(project_id)s"),
        "nova": ("compute", f"http://{IP}:{port('NOVA', 8774)}/v2.1"),
    }
    services = {one.name: one for one in identity.services()}
    endpoints = {(one.service_id, one.interface) for one in identity.endpoints()}
    for name, (kind, url) in catalogue.items():
        service = services.get(name) or identity.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            if (service.id, interface) not in endpoints:
                identity.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    url=url,
                    region_id=os.environ.get("TB_REGION", "RegionOne"),
                )

    roles = {one.name: one for one in identity.roles()}
    for role in ("service", "doctor"):
        if role not in roles:
            roles[role] = identity.create_role(name=role)
    projects = {one.name: one for one in identity.projects()}
    users = {one.name: one for one in identity.users()}
    people = [
        *((name, "service", ("admin", "service")) for name in catalogue),
        ("doctor", "service", ("admin",)),
        ("doctor-least", "service", ("doctor",)),
        *((tenant, tenant, ("member", "reader")) for tenant in TENANTS),
    ]
    for user, project, grants in people:
        if project not in projects:
            projects[project] = identity.create_project(name=project, domain_id="default")
        if user not in users:
            users[user] = identity.create_user(
                name=user,
                password=os.environ.get("TB_PASSWORD", "testbed"),
                domain_id="default",
                default_project_id=projects[project].id,
            )
        for role in grants:
            identity.assign_project_role_to_user(projects[project], users[user], roles[role])


def wait_computes(count: int, pid_files: list[str]) -> None:
    """Wait for the compute services, as long as their processes live."""
    conn = connect("admin")
    end = time.monotonic() + PATIENCE
    while True:
        try:
            services = conn.compute.services(binary="nova-compute")
            up = sum(one.state == "up" or one.is_forced_down for one in services)
        except Exception as error:  # the API may not be there yet
            print(error)
            up = 0
        if up >= count:
            return
        for name in pid_files:
            pid = Path(name).read_text().split()[0]
            if not Path("/proc", pid).exists():
                sys.exit(f"{name}: this service died")
        if time.monotonic() > end:
            sys.exit(f"{up} of {count} compute services are up")
        time.sleep(0.5)


def resources() -> None:
    """Make what tenants find in the cloud."""
    conn = connect("admin")
    known = {one.name for one in conn.compute.flavors()}
    for name, (vcpus, ram, disk) in FLAVORS.items():
        if name not in known:
            conn.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)
    if not conn.image.find_image("dummy"):
        conn.create_image(
            "dummy",
            container="bare",
            disk_format="raw",
            visibility="public",
            data=bytes(1024),
            wait=True,
            allow_duplicates=True,
            use_import=False,
        )
    for number, tenant in enumerate(TENANTS, 1):
        network = connect(tenant).network
        if not network.find_network(f"{tenant}-net"):
            made = network.create_network(name=f"{tenant}-net")
            network.create_subnet(
                name=f"{tenant}-subnet",
                network_id=made.id,
                ip_version=4,
                cidr=f"10.{number}.0.0/16",
                enable_dhcp=False,
            )


def main() -> None:
    """Do one step."""
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(STATE / "clouds.yaml")
    match sys.argv[1:]:
        case ["accounts"]:
            accounts()
        case ["wait-computes", count, *pid_files]:
            wait_computes(int(count), pid_files)
        case ["resources"]:
            resources()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
