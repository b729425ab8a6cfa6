"""Real monitors as they run at a site, on loopback: Prometheus, Alertmanager, and what Prometheus scrapes."""

import json
import signal
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from doctor.cli.demo.simulator import Program
from doctor.testing.running import free_port

SECOND = "1s"


class Exporter:
    """What Prometheus scrapes: figures of hosts, which a test sets."""

    def __init__(self) -> None:
        self.port = free_port()
        self.figures: dict[str, float] = {}
        figures = self.figures

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f"{name} {value}\n" for name, value in dict(figures).items()).encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def is_ready(port: int) -> bool:
    """Tell whether a program of the Prometheus family answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Prometheus(Program):
    """One Prometheus that evaluates every second, and tells an Alertmanager of what is wrong every second again."""

    def __init__(self, folder: Path, exporter: int, alertmanager: str, token: str = "") -> None:
        super().__init__(folder)
        self.port = free_port()
        (folder / "token").write_text(token)
        target: dict[str, Any] = {"static_configs": [{"targets": [alertmanager]}]}
        if token:
            target["authorization"] = {"credentials_file": str(folder / "token")}
        every = {"scrape_interval": SECOND, "scrape_timeout": "500ms", "evaluation_interval": SECOND}
        document = {
            "global": every,
            "alerting": {"alertmanagers": [target]},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": "hosts", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document))

    def rules(self, *rules: dict[str, Any]) -> None:
        """Use these rules from now on."""
        groups = [{"name": "nfvi", "interval": SECOND, "rules": list(rules)}]
        (self.folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        self._launch(
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=1s",
        )
        self._wait(lambda: is_ready(self.port))


class Alertmanager(Program):
    """One Alertmanager that tells a webhook at once, and again every two seconds."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        (folder / "token").write_text(token)
        webhook = {
            "url": url,
            "send_resolved": True,
            "http_config": {"authorization": {"credentials_file": str(folder / "token")}},
        }
        route = {
            "receiver": "doctor",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": SECOND,
            "repeat_interval": "2s",
        }
        document = {"route": route, "receivers": [{"name": "doctor", "webhook_configs": [webhook]}]}
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(document))

    def start(self) -> None:
        self._launch(
            "prometheus-alertmanager",
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        )
        self._wait(lambda: is_ready(self.port))

    def alerts(self) -> list[Any]:
        """Return the alerts that it has."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/alerts", timeout=5) as answer:
            return list(json.load(answer))
