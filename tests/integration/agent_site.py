"""A site of real hosts: a Doctor behind TLS, network namespaces with an agent on each, and an owner who listens."""

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import urllib3
import yaml

from doctor.cli.demo.netns import HostNamespace, Namespaces
from doctor.kit.beat import derived
from doctor.kit.key_file import new_key, write_key
from doctor.testing.running import RunningDoctor, free_port
from doctor.testing.scenario import without_damping


class TlsDoctor(RunningDoctor):
    """A Doctor on an address of a wire, with a certificate for it."""

    def __init__(self, folder: Path, address: str, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "doctor.crt"
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=doctor",
                ),
                *("-addext", f"subjectAltName=IP:{address}"),
                *("-keyout", str(folder / "doctor.pem"), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
        )
        self.address = address
        tls = {"certificate": str(self.certificate), "key": str(folder / "doctor.pem")}
        port = free_port()
        super().__init__(folder, listen=f"{address}:{port}", tls=tls, **settings)
        self.url = f"https://{address}:{port}"
        self.pool = urllib3.PoolManager(retries=False, ca_certs=str(self.certificate))

    def is_alive(self) -> bool:
        if not (self.folder / "state" / "admin.token").exists():
            return False
        trust = ssl.create_default_context(cafile=str(self.certificate))
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"{self.url}/healthz", timeout=1, context=trust).status == 200)  # noqa: S310
        return False

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask as the administrator."""
        data = None if body is None else json.dumps(body).encode()
        answer = self.pool.request(method, self.url + path, body=data, headers=self.headers, timeout=20)
        assert answer.status < 300, answer.data
        return json.loads(answer.data) if answer.data else None

    def alarms(self) -> list[tuple[str, str]]:
        """Return what is wrong now: fault types and resources."""
        items = self.ask("GET", "/v1/alarms")["items"]
        return sorted((one["fault_type"], one["resource_id"]) for one in items if not one.get("cleared_time"))


class Owner:
    """An owner's endpoint: notes what he was told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                now = time.monotonic()
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.told.append((now, body))
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def _answer(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Site:
    """The whole of it. Each host has a wire for management (eth0) and one for its machines (eth1)."""

    def __init__(
        self, folder: Path, made: Namespaces, *, hosts: int = 2, prefix: str = "c", **monitor: Any
    ) -> None:
        self.folder = folder
        self.hosts = {f"compute-{n}": made.add(f"{prefix}{n}", wires=2) for n in range(1, hosts + 1)}
        for host in self.hosts.values():
            host.run("ip", "route", "add", "default", "via", host.wires[0].local)
        self.address = next(iter(self.hosts.values())).wires[0].local
        self.beats = free_port()
        self._master = new_key()
        folder.mkdir(parents=True, exist_ok=True)
        write_key(folder / "m.key", self._master)
        heartbeat = {
            "driver": "heartbeat",
            "listen": [f"{self.address}:{self.beats}"],
            "master_key_file": str(folder / "m.key"),
            **monitor,
        }
        policy = folder / "policy.yaml"
        policy.write_text(without_damping())
        self.doctor = TlsDoctor(
            folder / "doctor",
            self.address,
            policy=str(policy),
            monitors=[heartbeat],
            endpoints={"allow": ["127.0.0.0/8"], "http": True},
        )
        self.owner = Owner()
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.doctor.start()
        self.doctor.ask("PUT", "/v1/resource-map", self.resources())
        made = self.doctor.ask("POST", "/v1/tokens", {"role": "monitor", "name": "agents"})
        (self.folder / "agent.token").write_text(made["token"])
        made = self.doctor.ask("POST", "/v1/tokens", {"role": "consumer", "project": "red"})
        wanted = {"endpoints": [{"url": self.owner.url}]}
        headers = {**self.doctor.headers, "Authorization": f"Bearer {made['token']}"}
        answer = self.doctor.pool.request(
            "POST", f"{self.doctor.url}/v1/subscriptions", body=json.dumps(wanted).encode(), headers=headers
        )
        assert answer.status == 201, answer.data
        return self

    def __exit__(self, *_: object) -> None:
        for host in list(self._agents):
            self.kill(host)
        self.doctor.stop()
        self.owner.close()

    def resources(self) -> dict[str, Any]:
        names = list(self.hosts)
        return {
            "physical_resources": [
                *({"id": name, "address": self.hosts[name].addresses} for name in names),
                *({"id": f"{name}:eth1", "type": "nic"} for name in names),
            ],
            "virtual_resources": [{"id": f"vm-{name}", "host": name, "owner": "red"} for name in names],
            "relations": [{"from": f"{name}:eth1", "kind": "attaches", "to": name} for name in names],
        }

    def settings(self, host: str, **change: Any) -> Path:
        """Write the settings of an agent."""
        namespace = self.hosts[host]
        key = self.folder / f"{host}.key"
        if not key.exists():
            write_key(key, derived(self._master, host))
        document = {
            "host": host,
            "state": str(self.folder / f"{host}.state"),
            "doctor": {"url": self.doctor.url, "token_file": str(self.folder / "agent.token"), "timeout": 1},
            "heartbeat": {
                "key_file": str(key),
                "networks": [
                    {"name": f"net{n}", "to": f"{self.address}:{self.beats}", "source": wire.remote}
                    for n, wire in enumerate(namespace.wires[:1])
                ],
                **change.pop("heartbeat", {}),
            },
            "links": {"watch": ["eth*"]},
            **change,
        }
        file = self.folder / f"{host}.yaml"
        file.write_text(yaml.safe_dump(document))
        return file

    def start(self, host: str, **change: Any) -> subprocess.Popen[bytes]:
        """Start the agent of a host."""
        file = self.settings(host, **change)
        with (self.folder / f"{host}.log").open("ab") as log:
            self._agents[host] = self.hosts[host].start(
                *(sys.executable, "-m", "doctor", "agent", "--config", str(file)),
                env={**os.environ, "SSL_CERT_FILE": str(self.doctor.certificate)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self._agents[host]

    def log(self, host: str) -> str:
        return (self.folder / f"{host}.log").read_text()

    def kill(self, host: str) -> None:
        """Kill an agent without a word."""
        process = self._agents.pop(host)
        process.kill()
        process.wait()

    def stop(self, host: str) -> None:
        """Stop an agent in good order."""
        process = self._agents.pop(host)
        process.terminate()
        process.wait(10)


def cut(host: HostNamespace, wire: int) -> float:
    """Pull the other end of a cable: the host loses its carrier. Return when it was pulled."""
    begin = time.monotonic()
    subprocess.run(["ip", "link", "set", host.wires[wire].interface, "down"], check=True)
    return begin


def mend(host: HostNamespace, wire: int) -> None:
    """Plug it in again."""
    subprocess.run(["ip", "link", "set", host.wires[wire].interface, "up"], check=True)


@contextlib.contextmanager
def site(folder: Path, **settings: Any) -> Iterator[Site]:
    """Give a site that runs, and leave nothing of it."""
    with Namespaces() as made, Site(folder, made, **settings) as running:
        yield running
