"""How the testbed is reached: as whom, and where its bus is."""

import os
from pathlib import Path

from doctor.drivers.identities.cloud import open_cloud

CLOUDS_FILE = Path(os.environ.get("OPENSTACK_TESTBED", "/var/tmp/openstack-testbed")) / "clouds.yaml"
BUS = ("127.0.0.1", 15680)
BUS_URL = f"amqp://openstack:testbed@{BUS[0]}:{BUS[1]}/"
KEYSTONE = "http://127.0.0.1:5000/v3"


def token_of(cloud: str) -> tuple[str, str]:
    """Log in at a cloud of clouds.yaml; return a fresh token and the id of the project that it is for."""
    session = open_cloud(cloud, CLOUDS_FILE, timeout=20).session
    token, project = session.get_token(), session.get_project_id()
    assert token
    assert project
    return token, project


def keystone(cloud: str = "doctor", **settings: object) -> dict[str, object]:
    """Return the settings of a Doctor that lets in users of the testbed."""
    return {"keystone": {"cloud": cloud, "clouds_file": str(CLOUDS_FILE), **settings}}
