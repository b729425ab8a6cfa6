"""A login at a cloud, as clouds.yaml describes it for every OpenStack tool."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from doctor.model.errors import PermanentError

if TYPE_CHECKING:
    from keystoneauth1.session import Session

MISSING = "the OpenStack libraries are not installed: pip install 'doctor-nfvi[openstack]'"


class Cloud(NamedTuple):
    """A session of keystoneauth, which logs in when it is first used, and the region that it is meant for.

    ``config`` is all that clouds.yaml says of the cloud.
    """

    session: "Session"
    region: str | None
    interface: str = "public"
    config: Mapping[str, Any] = {}


def open_cloud(cloud: str, clouds_file: Path | None = None, *, timeout: float) -> Cloud:
    """Return a login at a cloud; no network is needed for this.

    Raises:
        PermanentError: clouds.yaml has no such cloud or cannot be read, or the libraries are missing.
    """
    try:
        from openstack.config import OpenStackConfig  # half a second, which only clouds need
        from openstack.exceptions import ConfigException
    except ModuleNotFoundError:
        raise PermanentError(MISSING) from None
    if clouds_file is None and (named := os.environ.get("OS_CLIENT_CONFIG_FILE")):
        clouds_file = Path(named)
    if clouds_file is not None and not clouds_file.is_file():
        raise PermanentError(f"there is no file {clouds_file}")
    try:
        files = [str(clouds_file)] if clouds_file else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings of the library that nobody has made
            region = OpenStackConfig(config_files=files, load_envvars=False).get_one(cloud=cloud)
            session = region.get_session()
    except (ConfigException, OSError, ValueError) as error:
        raise PermanentError(f"clouds.yaml: {error}") from None
    session.timeout = timeout
    return Cloud(
        session, region.get_region_name() or None, str(region.get_interface() or "public"), region.config
    )
