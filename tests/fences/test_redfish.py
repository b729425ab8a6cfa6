"""The Redfish fence against the emulator of sushy-tools, and against servers that misbehave."""

import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from doctor.devices.redfish import RedfishAccess
from doctor.drivers.fences.redfish import RedfishFence, make
from doctor.kit.secret import Secret
from doctor.model.fencing import Doubt, Switched, Unknown
from doctor.testing.contracts.fence import FenceContract, soon
from doctor.testing.running import free_port
from tests.fences.redfish_emulator import PASSWORD, USER, UUID, RedfishEmulator
from tests.fences.rig import SimulatorRig


class RedfishRig(SimulatorRig):
    device: RedfishEmulator
    wrong_plug = "../Managers/1"
    names = (UUID,)
    secret = PASSWORD
    harmless = frozenset({"ForceOff"})
    patience = 8.0
    short = 1.5

    def __init__(self, emulator: RedfishEmulator) -> None:
        super().__init__(emulator)
        self.fence = fence_of(emulator.url, emulator.certificate)


def fence_of(url: str, ca: Path | None = None) -> RedfishFence:
    return RedfishFence(
        RedfishAccess(url=url, user=USER, password_file=Path("-"), ca_file=ca), Secret(PASSWORD)
    )


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishEmulator]:
    """One for all: it takes seconds to start."""
    with RedfishEmulator(tmp_path_factory.mktemp("redfish")) as running:
        yield running


@pytest.fixture
async def rig(emulator: RedfishEmulator) -> AsyncIterator[RedfishRig]:
    emulator.reset()
    made = RedfishRig(emulator)
    yield made
    await made.fence.close()


class TestRedfishFence(FenceContract):
    @pytest.fixture
    def rig(self, rig: RedfishRig) -> RedfishRig:
        return rig


@pytest.mark.requirement("B23")
async def test_a_service_with_several_systems_has_plugs(rig: RedfishRig) -> None:
    """The system is named by its id; another one is not there."""
    assert isinstance(await rig.fence.off(UUID, soon(8)), Switched)
    stranger = await rig.fence.status("another", soon(8))
    assert isinstance(stranger, Unknown)


async def test_a_certificate_of_nobody_is_not_trusted(rig: RedfishRig) -> None:
    """The password does not go to whoever sits at the address."""
    fence = fence_of(rig.device.url)
    outcome = await fence.off("", soon(8))
    await fence.close()
    assert isinstance(outcome, Unknown)
    assert "certificate" in outcome.detail
    assert rig.is_on()


async def test_nobody_there_is_known_at_once() -> None:
    fence = fence_of(f"https://127.0.0.1:{free_port()}")
    began = time.monotonic()
    reading = await fence.status("", soon(8))
    await fence.close()
    assert isinstance(reading, Unknown)
    assert reading.doubt is Doubt.UNREACHABLE
    assert time.monotonic() - began < 4


# --- servers that misbehave ---

Handle = Callable[[BaseHTTPRequestHandler], None]


def drip(request: BaseHTTPRequestHandler) -> None:
    """Send a byte from time to time: no single read ever times out."""
    request.send_response(200)
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.1)


def flood(request: BaseHTTPRequestHandler) -> None:
    """Send without end."""
    request.send_response(200)
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b"x" * 1_000_000)


def lead_away(request: BaseHTTPRequestHandler) -> None:
    """Send the caller, and his password, to somebody else."""
    request.send_response(307)
    request.send_header("Location", "https://127.0.0.1:1/redfish/v1/")
    request.end_headers()


def close(request: BaseHTTPRequestHandler) -> None:
    """Promise an answer and go."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.close_connection = True


def nonsense(request: BaseHTTPRequestHandler) -> None:
    """Answer with something that is no JSON."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"\xff<html>")


def other_json(request: BaseHTTPRequestHandler) -> None:
    """Answer with JSON that is no Redfish."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b'{"Id": [1], "Systems": 7}')


@pytest.mark.parametrize("handle", [drip, flood, lead_away, close, nonsense, other_json])
async def test_whatever_a_server_does_it_is_unknown_and_in_time(tmp_path: Path, handle: Handle) -> None:
    with serving(tmp_path, handle) as (url, certificate):
        fence = fence_of(url, certificate)
        began = time.monotonic()
        for outcome in (await fence.status("", soon(2), fresh=True), await fence.off("", soon(2))):
            assert isinstance(outcome, Unknown), outcome
            assert PASSWORD not in outcome.detail
        assert time.monotonic() - began < 5
        await fence.close()


@contextmanager
def serving(folder: Path, handle: Handle) -> Iterator[tuple[str, Path]]:
    """Serve every request like this."""
    emulator = RedfishEmulator(folder / "certificates")  # never started: its certificate will do

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                handle(self)
            except OSError:
                self.close_connection = True

        do_POST = do_GET  # noqa: N815 - the name is that of the server

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(emulator.certificate, emulator.folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", emulator.certificate
    finally:
        server.shutdown()
        server.socket.close()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        pytest.param({"url": "http://192.0.2.1"}, "url", id="without-tls"),
        pytest.param({"url": "https://u:p@192.0.2.1"}, "url", id="a-password-in-the-url"),
        pytest.param({"url": "https://192.0.2.1/redfish"}, "url", id="a-path"),
        pytest.param({"url": "https://[x"}, "url", id="no-url"),
        pytest.param({"ca_file": "/nowhere"}, "ca_file", id="no-ca"),
        pytest.param({"password_file": 7}, "password_file", id="no-file"),
        pytest.param({"verify": False}, "verify", id="trust-nobody-away"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, change: dict[str, Any], where: str) -> None:
    file = tmp_path / "password"
    file.write_text("x\n")
    file.chmod(0o600)
    good = {"url": "https://192.0.2.1", "user": "doctor", "password_file": str(file)}
    assert isinstance(make(good), RedfishFence)
    with pytest.raises(ValueError, match=where):
        make({**good, **change})
