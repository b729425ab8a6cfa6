"""Makes Zabbix report to Doctor: a media type, a user who has it, and what is sent by it, all by Zabbix's own API.

What is there already is brought up to date. A heartbeat goes with it: a problem that never ends, sent every minute.
"""

import secrets
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec
import urllib3

NAME = "Doctor"
HEARTBEAT = "Doctor heartbeat"
HOST = "doctor-heartbeat"
MACRO = "{$DOCTOR_TOKEN}"
SILENT_AFTER = "180"  # seconds: three heartbeats
BEARER_SINCE = (6, 4)

SUPER_ADMIN = "3"  # the role: a host group that is added later must not be without alarms
WEBHOOK, SECRET, INTERNAL_ITEM, NO_FRONTEND = 4, 1, 5, 3

PARAMETERS = {
    "event_id": "{EVENT.ID}",
    "value": "{EVENT.VALUE}",
    "host": "{HOST.HOST}",
    "name": "{EVENT.NAME}",
    "nseverity": "{EVENT.NSEVERITY}",
    "event_date": "{EVENT.DATE}",
    "event_time": "{EVENT.TIME}",
    "recovery_date": "{EVENT.RECOVERY.DATE}",
    "recovery_time": "{EVENT.RECOVERY.TIME}",
    "tags": "{EVENT.TAGSJSON}",
    "trigger_id": "{TRIGGER.ID}",
    "opdata": "{EVENT.OPDATA}",
    "token": MACRO,
}


class Refused(Exception):
    """Zabbix did not do it: why not."""


def script() -> str:
    """Return what the webhook runs."""
    return (files("doctor.cli.monitor_setup") / "zabbix.js").read_text()


class Zabbix:
    """Its API. Give a token of it, or a user and his password."""

    def __init__(self, url: str, *, token: str = "", user: str = "", password: str = "") -> None:
        self._url = url.rstrip("/") + "/api_jsonrpc.php"
        self._pool = urllib3.PoolManager(retries=False, timeout=15)
        self._auth = ""
        self.version = tuple(int(part) for part in str(self.call("apiinfo.version")).split(".")[:2])
        self._auth = token or str(self.call("user.login", username=user, password=password))

    def call(self, method: str, _params: Any = None, **params: Any) -> Any:
        """Return the result of a method.

        Raises:
            Refused: there is none.
        """
        request = {
            "jsonrpc": "2.0",
            "method": method,
            "params": params if _params is None else _params,
            "id": 1,
        }
        headers = {"content-type": "application/json-rpc"}
        if self._auth and self.version >= BEARER_SINCE:
            headers["authorization"] = f"Bearer {self._auth}"
        elif self._auth:
            request["auth"] = self._auth
        try:
            answer = self._pool.request(
                "POST", self._url, body=msgspec.json.encode(request), headers=headers, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise Refused(f"{self._url}: {error}") from None
        try:
            document = msgspec.json.decode(answer.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(f"{self._url}: answered {answer.status}, and no JSON: is this Zabbix?") from None
        if not isinstance(document, dict) or "result" not in document:
            said = document.get("error") if isinstance(document, dict) else None
            reason = said.get("data") or said.get("message") if isinstance(said, dict) else None
            raise Refused(f"{method}: {reason or 'no result'}")
        return document["result"]

    def put(self, kind: str, key: Mapping[str, str], wanted: Mapping[str, Any], **new: Any) -> str:
        """Make an object, or bring the one with this key up to date; ``new`` is for one that is new. Return its id."""
        name = IDS[kind]
        found = self.call(f"{kind}.get", output=[name], filter=dict(key))
        if found:
            self.call(f"{kind}.update", **{name: found[0][name]}, **wanted)
            return str(found[0][name])
        made = self.call(f"{kind}.create", **key, **wanted, **new)
        return str(made[f"{name}s"][0])


IDS = {
    "action": "actionid",
    "host": "hostid",
    "hostgroup": "groupid",
    "item": "itemid",
    "mediatype": "mediatypeid",
    "trigger": "triggerid",
    "user": "userid",
    "usergroup": "usrgrpid",
}


def provision(zabbix: Zabbix, doctor: str, token: str) -> list[str]:
    """Make Zabbix report to the Doctor at this address; return what is there now.

    Raises:
        Refused: Zabbix does not do it.
    """
    _put_macro(zabbix, token)
    media = zabbix.put("mediatype", {"name": NAME}, {"type": WEBHOOK, **_media_type(doctor)})
    group = zabbix.put("usergroup", {"name": NAME}, {"gui_access": NO_FRONTEND})
    medias = [
        {"mediatypeid": media, "sendto": "doctor", "active": 0, "severity": 63, "period": "1-7,00:00-24:00"}
    ]
    user = zabbix.put(
        "user",
        {"username": "doctor"},
        {"roleid": SUPER_ADMIN, "usrgrps": [{"usrgrpid": group}], "medias": medias},
        passwd=secrets.token_urlsafe(24) + "aA1!",
    )
    _put_action(
        zabbix, NAME, media, user, _tag_condition("doctor_type", but="monitor.heartbeat"), again=False
    )
    _put_heartbeat(zabbix)
    _put_action(
        zabbix, HEARTBEAT, media, user, _tag_condition("doctor_type", only="monitor.heartbeat"), again=True
    )
    return [
        f"global macro {MACRO} (secret): the token",
        f"media type {NAME!r}: a webhook to {doctor}/v1/monitors/zabbix",
        f"user 'doctor' of the group {NAME!r}: sees all hosts, cannot log in",
        f"action {NAME!r}: sends every problem with the tag doctor_type",
        f"host {HOST!r} and action {HEARTBEAT!r}: a heartbeat every minute",
    ]


def _put_macro(zabbix: Zabbix, token: str) -> None:
    found = zabbix.call("usermacro.get", globalmacro=True, output=["globalmacroid"], filter={"macro": MACRO})
    wanted = {"value": token, "type": SECRET, "description": "the token by which Zabbix reports to Doctor"}
    if found:
        zabbix.call("usermacro.updateglobal", globalmacroid=found[0]["globalmacroid"], **wanted)
    else:
        zabbix.call("usermacro.createglobal", macro=MACRO, **wanted)


def _media_type(doctor: str) -> dict[str, Any]:
    message = {"eventsource": 0, "subject": "{EVENT.NAME}", "message": "{EVENT.NAME}"}
    return {
        "script": script(),
        "timeout": "5s",
        "maxattempts": 10,
        "attempt_interval": "5s",
        "process_tags": 0,
        "status": 0,
        "parameters": [
            {"name": name, "value": macro} for name, macro in (PARAMETERS | {"url": doctor}).items()
        ],
        "message_templates": [message | {"recovery": recovery} for recovery in (0, 1, 2)],
    }


def _tag_condition(tag: str, *, only: str = "", but: str = "") -> list[dict[str, Any]]:
    has_tag = {"conditiontype": 25, "operator": 0, "value": tag}
    value = {"conditiontype": 26, "operator": 0 if only else 1, "value": only or but, "value2": tag}
    return [has_tag, value]


def _put_action(
    zabbix: Zabbix, name: str, media: str, user: str, conditions: list[dict[str, Any]], *, again: bool
) -> None:
    message = {"opmessage": {"default_msg": 1, "mediatypeid": media}, "opmessage_usr": [{"userid": user}]}
    follow_up = {"opmessage": {"default_msg": 1}}
    steps = {"esc_step_from": 1, "esc_step_to": 0 if again else 1}
    wanted = {
        "status": 0,
        "esc_period": "60s",
        "filter": {"evaltype": 1, "conditions": conditions},  # and
        "operations": [{"operationtype": 0, **steps, **message}],
    }
    if not again:
        wanted["recovery_operations"] = [{"operationtype": 11, **follow_up}]
        wanted["update_operations"] = [{"operationtype": 12, **follow_up}]
    zabbix.put("action", {"name": name}, wanted, eventsource=0)


def _put_heartbeat(zabbix: Zabbix) -> None:
    group = zabbix.put("hostgroup", {"name": NAME}, {})
    host = zabbix.put("host", {"host": HOST}, {"groups": [{"groupid": group}]})
    found = zabbix.call("item.get", output=["itemid"], hostids=host, filter={"key_": "zabbix[uptime]"})
    if not found:
        zabbix.call(
            "item.create",
            name="uptime of Zabbix",
            key_="zabbix[uptime]",
            hostid=host,
            type=INTERNAL_ITEM,
            value_type=3,
            delay="10s",
        )
    tags = [
        {"tag": "doctor_type", "value": "monitor.heartbeat"},
        {"tag": "doctor_silent_after", "value": SILENT_AFTER},
    ]
    trigger = {
        "expression": f"last(/{HOST}/zabbix[uptime])>=0",
        "priority": 0,
        "tags": tags,
        "manual_close": 0,
    }
    zabbix.put("trigger", {"description": "Zabbix speaks to Doctor"}, trigger)
