"""A small Keystone: logs in, tells whose a token is, keeps a catalogue; and can be slow, broken or refusing."""

import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

SERVICE_TOKEN = "of-doctor-itself"
IN_TEN_YEARS = "2036-03-04T05:06:07.000000Z"


class FakeKeystone:
    """Answers as the Identity API v3 does. ``broken`` is a status for everything, ``slow`` seconds before each answer."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.addresses: dict[str, str] = {}  # where those who log in find services, by type
        self.validated: list[str] = []
        self.changed: list[str] = []
        self.logins = 0
        self.broken: int | None = None
        self.slow = 0.0
        self.may_validate = True
        self.service_token_ends = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"keystone": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"

    def knows(
        self,
        token: str,
        *roles: str,
        project: str | None = None,
        user: str = "ann",
        expires: str = IN_TEN_YEARS,
    ) -> None:
        """Let a token be good: for a project, or for the system."""
        scope = {"system": {"all": True}} if project is None else {"project": {"id": project, "name": "x"}}
        self.tokens[token] = {
            "user": {"id": "u", "name": user, "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": role, "name": role} for role in roles],
            "expires_at": expires,
            "issued_at": "2026-03-04T05:06:07.000000Z",
            "methods": ["password"],
            **scope,
        }

    def clouds_file(self, folder: Path, *, url: str | None = None) -> Path:
        """Write a clouds.yaml with this Keystone as `cloud`."""
        auth = {
            "auth_url": url or self.url,
            "username": "doctor",
            "password": "hush",
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        file = folder / "clouds.yaml"
        file.write_text(yaml.safe_dump({"clouds": {"cloud": {"auth": auth, "region_name": "R1"}}}))
        return file

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _found(kind: str, url: str) -> dict[str, Any]:
    endpoint = {
        "id": kind,
        "interface": "public",
        "region": "RegionOne",
        "region_id": "RegionOne",
        "url": url,
    }
    return {"id": kind, "type": kind, "name": kind, "endpoints": [endpoint]}


class _Handler(BaseHTTPRequestHandler):
    keystone: FakeKeystone
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        time.sleep(self.keystone.slow)
        status, content, headers = self._decide(method, body)
        data = b"" if content is None else json.dumps(content).encode()
        with suppress(OSError):
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    def _decide(self, method: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        keystone, parts = self.keystone, urlsplit(self.path)
        path = parts.path.rstrip("/")
        if keystone.broken is not None:
            return keystone.broken, {"error": {"message": "out of order"}}, {}
        if path == "/v3" and method == "GET":
            version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": keystone.url}]}
            return 200, {"version": version}, {}
        if path == "/v3/auth/tokens" and method == "POST":
            keystone.logins += 1
            keystone.service_token_ends = False
            service = {
                "user": {"id": "d", "name": "doctor", "domain": {"id": "default", "name": "Default"}},
                "expires_at": IN_TEN_YEARS,
                "issued_at": "2026-03-04T05:06:07.000000Z",
                "methods": ["password"],
                "catalog": [_found(kind, url) for kind, url in keystone.addresses.items()],
            }
            return 201, {"token": service}, {"X-Subject-Token": SERVICE_TOKEN}
        if self.headers.get("X-Auth-Token") != SERVICE_TOKEN or keystone.service_token_ends:
            return 401, {"error": {"message": "who are you"}}, {}
        if path == "/v3/auth/tokens":
            return (*self._validate(), {})
        return (*self._catalogue(method, path.removeprefix("/v3/").split("/"), parts.query, body), {})

    def _validate(self) -> tuple[int, Any]:
        if not self.keystone.may_validate:
            return 403, {"error": {"message": "you are not authorized"}}
        token = self.headers.get("X-Subject-Token", "")
        self.keystone.validated.append(token)
        known = self.keystone.tokens.get(token)
        return (404, {"error": {"message": "no such token"}}) if known is None else (200, {"token": known})

    def _catalogue(self, method: str, path: list[str], query: str, body: Any) -> tuple[int, Any]:
        kinds = {"services": self.keystone.services, "endpoints": self.keystone.endpoints}
        kind, table = path[0], kinds[path[0]]
        if method == "GET":
            wanted = parse_qs(query).get("type")
            return 200, {kind: [one for one in table.values() if not wanted or one["type"] in wanted]}
        self.keystone.changed.append(f"{method} {kind}")
        if method == "POST":
            made = {"id": f"{kind}-{len(self.keystone.changed)}", "enabled": True, **body[kind[:-1]]}
            if made.get("region_id") == "nowhere":
                return 400, {"error": {"message": "there is no such region"}}
            table[made["id"]] = made
            return 201, {kind[:-1]: made}
        if method == "DELETE":
            del table[path[1]]
            return 204, None
        table[path[1]].update(body[kind[:-1]])
        return 200, {kind[:-1]: table[path[1]]}
