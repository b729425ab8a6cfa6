"""Which way of asking is allowed here."""

import errno

import structlog

from doctor.drivers.monitors.ping.echo import EchoProber
from doctor.drivers.monitors.ping.probing import Prober
from doctor.drivers.monitors.ping.settings import Method, PingSettings
from doctor.drivers.monitors.ping.tcp import TcpProber
from doctor.model.errors import PermanentError

BEST_FIRST = (Method.RAW, Method.DATAGRAM, Method.TCP)
NOT_ALLOWED = frozenset(
    {errno.EPERM, errno.EACCES, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT}
)
REMEDIES = {
    Method.RAW: "give the process CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW)",
    Method.DATAGRAM: "let its group into the sysctl net.ipv4.ping_group_range",
}

log = structlog.get_logger()


def open_prober(settings: PingSettings) -> Prober:
    """Open the method of the settings or, if that is ``auto``, the best that is allowed here.

    Raises:
        PermanentError: the method is not allowed; the message says what would help.
    """
    methods = BEST_FIRST if settings.method is Method.AUTO else (settings.method,)
    refusals: list[str] = []
    for method in methods:
        try:
            return open_method(method, settings)
        except OSError as error:
            if error.errno not in NOT_ALLOWED:
                raise PermanentError(f"ping: {method} does not work here: {error}") from error
            refusals.append(f"{method} is not allowed here ({error.strerror}): {REMEDIES[method]}")
            log.info("ping.method_not_allowed", method=method, error=error.strerror, remedy=REMEDIES[method])
    raise PermanentError(f"ping: {'; '.join(refusals)}; or set another method, or auto")


def open_method(method: Method, settings: PingSettings) -> Prober:
    """Open one method.

    Raises:
        OSError: it is not allowed here.
    """
    if method is Method.TCP:
        return TcpProber(settings.tcp_port, settings.tcp_refused)
    return EchoProber(method)
