"""An Alertmanager and a Zabbix to be asked, as far as that goes, with answers in the shape of the real ones."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from doctor.drivers.monitors.alertmanager.monitor import make as make_alertmanager
from doctor.drivers.monitors.zabbix.monitor import make as make_zabbix
from doctor.ports.monitor import Monitor
from doctor.testing.contracts.monitor import AskedRig

Answer = Callable[[str, Any, Mapping[str, str]], Any]
BEGAN = int(time.time()) - 60


class Source:
    """A server that answers by a function; away it refuses connections, mute it never answers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.raw: bytes | None = None  # what it says instead
        self.status = 200
        source = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                self.reply(None)

            def do_POST(self) -> None:
                self.reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def reply(self, body: Any) -> None:
                said = source.raw
                if said is None:
                    said = json.dumps(source.answer(self.path, body, dict(self.headers.items()))).encode()
                self.send_response(source.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_request(self, *args: Any) -> None:
                """Say nothing."""

        self._handler = Handler
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.appear()

    def appear(self) -> None:
        """Be there."""
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
            self.port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def vanish(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class AlertmanagerRig(AskedRig):
    """An Alertmanager with alerts."""

    def __init__(self) -> None:
        self.number = 0
        self.more: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str | None]] = []
        self.source = Source(self._answer)
        self.settings = {
            "url": f"http://127.0.0.1:{self.source.port}",
            "source": "am",
            "every": 0.1,
            "timeout": 1,
        }
        self.monitor = self.make(self.settings)

    def _answer(self, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        self.asked.append(
            (path, {name.lower(): value for name, value in headers.items()}.get("authorization"))
        )
        began = time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime(BEGAN))
        return [
            {
                "annotations": {},
                "endsAt": began,
                "fingerprint": f"{number:016x}",
                "receivers": [{"name": "doctor"}],
                "startsAt": began,
                "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
                "updatedAt": began,
                "generatorURL": "",
                "labels": {"alertname": "HostDown", "host": f"compute-{number}"},
            }
            for number in range(self.number)
        ] + self.more

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make_alertmanager(settings)

    def put_wrong(self, number: int) -> None:
        self.number = number

    def vanish(self) -> None:
        self.source.vanish()

    def appear(self) -> None:
        self.source.appear()


class ZabbixRig(AskedRig):
    """A Zabbix with problems, which wants a token."""

    def __init__(self, folder: Path, version: str = "6.0.14") -> None:
        self.number = 0
        self.version = version
        self.methods: list[str] = []
        self.source = Source(self._answer)
        token = folder / "zabbix.token"
        token.write_text("secret\n")
        self.settings = {
            "url": f"http://127.0.0.1:{self.source.port}",
            "source": "zabbix",
            "every": 0.1,
            "timeout": 1,
            "token_file": str(token),
        }
        self.monitor = self.make(self.settings)

    def _answer(self, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        self.methods.append(body["method"])
        return {"jsonrpc": "2.0", "id": body["id"], **self._result(body, headers)}

    def _result(self, body: Any, headers: Mapping[str, str]) -> dict[str, Any]:
        if body["method"] == "apiinfo.version":
            return {"result": self.version}
        bearer = self.version >= "6.4"
        given = (
            {name.lower(): value for name, value in headers.items()}.get("authorization")
            if bearer
            else body.get("auth")
        )
        if given != ("Bearer secret" if bearer else "secret") or (bearer and "auth" in body):
            return {"error": {"code": -32602, "message": "Invalid params.", "data": "Not authorised."}}
        if body["method"] == "trigger.get":
            return {
                "result": [
                    {"triggerid": one, "hosts": [{"hostid": "1", "host": f"compute-{one}"}]}
                    for one in body["params"]["triggerids"]
                ]
            }
        tags = [{"tag": "doctor_type", "value": "compute.host.down"}]
        return {
            "result": [
                {
                    "eventid": str(number),
                    "objectid": str(number),
                    "clock": str(BEGAN),
                    "name": "no answer",
                    "severity": "5",
                    "opdata": "",
                    "suppressed": "0",
                    "tags": tags,
                }
                for number in range(self.number)
            ]
        }

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make_zabbix(settings)

    def put_wrong(self, number: int) -> None:
        self.number = number

    def vanish(self) -> None:
        self.source.vanish()

    def appear(self) -> None:
        self.source.appear()


@contextmanager
def closing(rig: AlertmanagerRig | ZabbixRig) -> Iterator[Any]:
    """Give a rig, and end its source."""
    try:
        yield rig
    finally:
        rig.source.vanish()
