"""A BMC that speaks Redfish over TLS, for what the emulator of sushy-tools does not have: readings that change, power
supplies, logs, and an EventService. Its documents are shaped as DMTF's schemas say.
"""

import base64
import copy
import json
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.fences.redfish_emulator import PASSWORD, USER, RedfishEmulator

ROOT = "/redfish/v1"
SYSTEM, CHASSIS, MANAGER = f"{ROOT}/Systems/1", f"{ROOT}/Chassis/1", f"{ROOT}/Managers/1"
THERMAL, POWER = f"{CHASSIS}/Thermal", f"{CHASSIS}/Power"
LOGS = f"{SYSTEM}/LogServices"
ENTRIES = f"{LOGS}/SEL/Entries"
EVENTS = f"{ROOT}/EventService"
SUBSCRIPTIONS = f"{EVENTS}/Subscriptions"
GOOD = {"State": "Enabled", "Health": "OK"}


def link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def collection(*paths: str) -> dict[str, Any]:
    return {"Members@odata.count": len(paths), "Members": [link(path) for path in paths]}


def temperature(number: int, celsius: float = 41) -> dict[str, Any]:
    return {
        "MemberId": str(number),
        "Name": f"DIMM {number} Temp",
        "Status": dict(GOOD),
        "ReadingCelsius": celsius,
        "UpperThresholdNonCritical": 70,
        "UpperThresholdCritical": 90,
        "UpperThresholdFatal": 96,
    }


def documents() -> dict[str, Any]:
    """Return a host that is well."""
    return {
        f"{ROOT}/": {
            "RedfishVersion": "1.15.0",
            "Systems": link(f"{ROOT}/Systems"),
            "Chassis": link(f"{ROOT}/Chassis"),
            "Managers": link(f"{ROOT}/Managers"),
            "EventService": link(EVENTS),
        },
        f"{ROOT}/Systems": collection(SYSTEM),
        SYSTEM: {
            "Id": "1",
            "PowerState": "On",
            "Status": {**GOOD, "HealthRollup": "OK"},
            "MemorySummary": {"Status": dict(GOOD)},
            "ProcessorSummary": {"Status": dict(GOOD)},
            "Links": {"Chassis": [link(CHASSIS)], "ManagedBy": [link(MANAGER)]},
            "LogServices": link(LOGS),
        },
        CHASSIS: {"Id": "1", "Status": dict(GOOD), "Thermal": link(THERMAL), "Power": link(POWER)},
        THERMAL: {
            "Temperatures": [temperature(number) for number in range(3)],
            "Fans": [
                {
                    "MemberId": "0",
                    "Name": "Fan 1",
                    "Status": dict(GOOD),
                    "Reading": 4200,
                    "LowerThresholdFatal": 600,
                }
            ],
        },
        POWER: {
            "PowerSupplies": [
                {"MemberId": str(number), "Name": f"PSU {number}", "Status": dict(GOOD)}
                for number in range(2)
            ],
            "Redundancy": [{"MemberId": "0", "Name": "PSU redundancy", "Status": dict(GOOD)}],
        },
        LOGS: collection(f"{LOGS}/SEL"),
        f"{LOGS}/SEL": {"Id": "SEL", "Entries": link(ENTRIES)},
        ENTRIES: {"Members@odata.count": 0, "Members": []},
        EVENTS: {"ServiceEnabled": True, "Subscriptions": link(SUBSCRIPTIONS)},
    }


class RedfishService:
    """One BMC. ``documents`` may be changed while it runs; ``raw`` is answered instead of all of them."""

    def __init__(self, folder: Path) -> None:
        self.certificate = (certificates := RedfishEmulator(folder)).certificate  # never started
        self._key = certificates.folder / "key.pem"
        self.documents = documents()
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.most_subscriptions = 4
        self.raw: bytes | None = None
        self.status = 200
        self.asked: list[str] = []
        self.port = 0
        self._made = 0
        self._server: ThreadingHTTPServer | None = None
        self.appear()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def heat(self, number: int, celsius: float = 92) -> None:
        """Let so many sensors be hot, of which there are as many at least."""
        there = max(number, 3)
        self.documents[THERMAL]["Temperatures"] = [
            temperature(one, celsius if one < number else 41) for one in range(there)
        ]

    def write(self, **entry: Any) -> None:
        """Write into the log, with the time of a clock that was never set."""
        entries = self.documents[ENTRIES]
        number = entries.get("written", 0) + 1
        members = [
            *entries["Members"],
            {
                "Id": str(number),
                "EntryType": "SEL",
                "Severity": "Critical",
                "Created": "1970-01-01T00:15:44Z",
                "Message": "",
                **entry,
            },
        ]
        self.documents[ENTRIES] = {"Members@odata.count": len(members), "Members": members, "written": number}

    def clear_log(self) -> None:
        """Clear it: numbers begin anew."""
        self.documents[ENTRIES] = {"Members@odata.count": 0, "Members": []}

    def send(self, *events: dict[str, Any]) -> list[int]:
        """Send events to all who have subscribed, and return what each has answered."""
        answered = []
        for one in list(self.subscriptions.values()):
            body = {"@odata.type": "#Event.v1_3_0.Event", "Context": one["Context"], "Events": list(events)}
            answered.append(post(one["Destination"], json.dumps(body).encode()))
        return answered

    def forget(self) -> None:
        """Know of no subscriptions any more, as after a reset."""
        self.subscriptions.clear()

    # --- the server ---

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        self.asked.append(f"{method} {path}")
        if EVENTS not in self.documents and path.startswith(EVENTS):
            return 404, {"error": {}}, {}
        if path == SUBSCRIPTIONS and method == "POST":
            if len(self.subscriptions) >= self.most_subscriptions:
                return 400, {"error": {"message": "too many"}}, {}
            self._made += 1
            where = f"{SUBSCRIPTIONS}/{self._made}"
            self.subscriptions[where] = body
            return 201, body, {"Location": where}
        if path == SUBSCRIPTIONS:
            return 200, collection(*self.subscriptions), {}
        if path in self.subscriptions:
            one = self.subscriptions.pop(path) if method == "DELETE" else self.subscriptions[path]
            return (204, None, {}) if method == "DELETE" else (200, one, {})
        found = self.documents.get(path)
        if found is None:
            return 404, {"error": {}}, {}
        name = path.rstrip("/").rpartition("/")[2]
        return 200, {"@odata.id": path, "Id": name, "Name": name, **copy.deepcopy(found)}, {}

    def appear(self) -> None:
        """Be there."""
        if self._server is not None:
            return
        service = self
        word = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, said, headers = 401, None, dict[str, str]()
                if self.headers.get("authorization") == word or self.path == f"{ROOT}/":
                    status, said, headers = service.answer(
                        self.command, self.path, json.loads(body) if body else None
                    )
                raw = json.dumps(said).encode() if said is not None else b""
                if service.raw is not None:
                    raw, status = service.raw, service.status
                with suppress(OSError):
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(raw)

            do_POST = do_DELETE = do_GET  # noqa: N815 - the names are those of the server

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler, bind_and_activate=False)
        server.allow_reuse_address = True
        server.request_queue_size = 64
        server.server_bind()
        server.server_activate()
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self._key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def vanish(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.vanish()


def post(url: str, body: bytes, *, method: str = "POST") -> int:
    """Send something to somebody on loopback, and return what he answers."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - ours
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
