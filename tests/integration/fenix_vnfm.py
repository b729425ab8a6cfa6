"""A VNF manager that was written for Fenix: it knows nothing of Doctor, and says what such managers say.

It says constraints for its groups and machines, takes what Aodh's event alarms POST at ``/maintenance``, reads the traits as
text with Python's lists in it, and answers by PUT at the ``reply_url`` that it was given. Anything but 200 counts as lost.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Queue
from typing import Any

import urllib3

from tests.integration.receiver import receiving


class FenixVnfm:
    """The manager of one project. ``active`` is the machine that does the work; ``pair`` are those that can."""

    def __init__(self, endpoint: str, token: str, project: str, pair: tuple[str, ...] = ()) -> None:
        self.endpoint = endpoint
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "X-Auth-Token": token,
        }
        self.project = project
        self.pair = pair
        self.active = pair[0] if pair else None
        self.url = ""
        self.is_silent = False
        self.action: str | None = "MIGRATE"
        self.heard: Queue[dict[str, Any]] = Queue()
        self.replies: list[tuple[str, dict[str, Any], int]] = []
        self.switched: list[str] = []
        self._pool = urllib3.PoolManager(retries=False)

    def say(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Send a request as `requests` would."""
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, url, body=data, headers=self.headers, timeout=20)
        return answer.status, json.loads(answer.data)

    def constrain_group(self, group_id: str, **more: Any) -> tuple[int, Any]:
        """Say what a group bears."""
        usual = {
            "group_id": group_id,
            "project_id": self.project,
            "group_name": f"{self.project}_{group_id}",
            "anti_affinity_group": False,
            "max_instances_per_host": 0,
            "max_impacted_members": 2,
            "recovery_time": 0,
            "resource_mitigation": True,
        }
        return self.say("PUT", f"{self.endpoint}/instance_group/{group_id}", {**usual, **more})

    def constrain(self, instance_id: str, group_id: str, **more: Any) -> tuple[int, Any]:
        """Say what a machine bears."""
        usual = {
            "instance_id": instance_id,
            "project_id": self.project,
            "group_id": group_id,
            "instance_name": instance_id,
            "max_interruption_time": 120,
            "migration_type": "MIGRATION",
            "resource_mitigation": True,
            "lead_time": 40,
        }
        return self.say("PUT", f"{self.endpoint}/instance/{instance_id}", {**usual, **more})

    def take(self, alarm: dict[str, Any]) -> None:
        """Do what an alarm asks for."""
        traits = {name: _decoded(value) for name, _, value in alarm["reason_data"]["event"]["traits"]}
        assert traits["project_id"] == self.project
        self.heard.put(traits)
        if self.is_silent:
            return
        reply: dict[str, Any] = {}
        match traits["state"]:
            case "MAINTENANCE":
                status, found = self.say("GET", traits["instance_ids"])
                assert status == 200
                reply["instance_ids"] = found["instance_ids"]
            case "PREPARE_MAINTENANCE" | "PLANNED_MAINTENANCE":
                assert "MIGRATE" in traits["allowed_actions"]
                (instance,) = traits["instance_ids"]
                if instance == self.active:
                    self.active = next(one for one in self.pair if one != instance)
                    self.switched.append(instance)
                reply |= {} if self.action is None else {"instance_action": self.action}
            case "INSTANCE_ACTION_DONE":
                return
            case other:
                assert other == "MAINTENANCE_COMPLETE"
        reply["session_id"] = traits["session_id"]
        reply["state"] = f"ACK_{traits['state']}"
        status, _ = self.say("PUT", traits["reply_url"], reply)
        self.replies.append((traits["reply_url"], reply, status))


def _decoded(value: str) -> Any:
    return ast.literal_eval(value) if value[:1] in ("[", "{") else value


@contextmanager
def serving(vnfm: FenixVnfm) -> Iterator[FenixVnfm]:
    """Let a manager listen at its ``url``."""
    with receiving(lambda path, alarm: vnfm.take(alarm)) as address:
        vnfm.url = f"{address}/maintenance"
        yield vnfm
