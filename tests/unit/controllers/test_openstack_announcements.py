"""What is on a message bus is read, as far as it is meant for us."""

import json
from pathlib import Path
from typing import Any

import pytest

from doctor.drivers.controllers.openstack.announcements import (
    GroupsChanged,
    HostsChanged,
    PortSeen,
    ServerGone,
    ServerSeen,
    ServiceSeen,
    ThingGone,
    opened,
    read,
)
from doctor.drivers.controllers.openstack.resources import Port, Server

SAMPLES = Path(__file__).parents[2] / "samples" / "openstack"
VM = "7cfc03c7-bd6f-45a0-b95c-b67b05a33261"
PORT = "f708bd25-b79b-462c-b8b2-5a310071b945"
TENANT = "cae3362544aa42d39678ba0096971c2b"


def sample(name: str) -> Any:
    envelope = opened((SAMPLES / f"{name}.json").read_bytes())
    assert envelope is not None
    return read(envelope)


def said(event_type: str, payload: Any) -> Any:
    inner = json.dumps({"event_type": event_type, "payload": payload, "timestamp": "2026-11-21 13:19:01"})
    envelope = opened(json.dumps({"oslo.version": "2.0", "oslo.message": inner}).encode())
    assert envelope is not None
    return read(envelope)


def test_a_server_is_read_whole() -> None:
    assert sample("instance.update") == ServerSeen(
        Server(
            id=VM,
            name="vm-3",
            project=TENANT,
            user="c5f54b9eed534fc290edef8cf2c27b71",
            host="compute-4",
            vm_state="error",
            task_state=None,
            vcpus=1,
            memory_mb=512,
            metadata={"doctor:role": "ACT"},
            updated="2026-11-21T13:18:48Z",
        )
    )


def test_a_server_that_has_moved_says_where_it_is() -> None:
    seen = sample("instance.live_migration_post_dest.end")
    assert (seen.server.host, seen.server.vm_state, seen.server.task_state) == ("compute-3", "active", None)


def test_an_unversioned_notification_says_the_same_but_for_what_it_leaves_out() -> None:
    server = sample("compute.instance.update").server
    assert (server.id, server.project, server.host, server.vm_state) == (VM, TENANT, "compute-4", "error")
    assert server.updated == ""


def test_a_deleted_server_is_gone() -> None:
    assert sample("instance.delete.end") == ServerGone(VM)


def test_a_host_that_is_forced_down_says_so() -> None:
    assert sample("service.update") == ServiceSeen("compute-3", False, None, True)


def test_a_port_is_read_with_its_server_and_its_data_plane() -> None:
    assert sample("port.update.end") == PortSeen(
        PORT,
        Port(
            id=PORT,
            project=TENANT,
            network="42655e83-3e98-442d-b6a2-0274c5efa353",
            server=VM,
            host="compute-4",
            data_plane_status="DOWN",
            revision=4,
        ),
    )


def test_a_deleted_port_is_gone() -> None:
    assert sample("port.delete.end") == ThingGone(PORT)


def test_a_port_that_leaves_its_server_is_none_of_a_server() -> None:
    assert said("port.update.end", {"port": {"id": "p", "device_id": "", "device_owner": ""}}) == PortSeen(
        "p", None
    )


@pytest.mark.parametrize(
    ("event_type", "payload", "meaning"),
    [
        pytest.param("server_group.add_member", {}, GroupsChanged(), id="a group has another member"),
        pytest.param("aggregate.add_host.end", {}, HostsChanged(), id="a host is in another aggregate"),
        pytest.param(
            "service.create",
            {"nova_object.data": {"host": "compute-9", "binary": "nova-compute"}},
            HostsChanged(),
            id="a new host",
        ),
        pytest.param(
            "service.update",
            {"nova_object.data": {"host": "controller", "binary": "nova-scheduler", "forced_down": True}},
            None,
            id="another service of Nova",
        ),
        pytest.param("instance.update", {"nova_object.data": {"uuid": 7}}, None, id="no shape of Nova's"),
        pytest.param("instance.update", "hello", None, id="no object at all"),
        pytest.param("instance.power_off.start", {}, None, id="what only begins"),
        pytest.param("compute.metrics.update", {}, None, id="nothing about a server"),
        pytest.param("port.update.end", {"ports": []}, None, id="ports in a bundle"),
        pytest.param("volume.create.end", {}, None, id="another service"),
    ],
)
def test_of_what_is_not_meant_for_us_nothing_is_read(event_type: str, payload: Any, meaning: Any) -> None:
    assert said(event_type, payload) == meaning


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"oslo.version":"2.0","oslo.message":"no JSON"}',
        b'{"oslo.version":"2.0","oslo.message":"{}"}',
        b'{"oslo.version":"2.0","oslo.message":7}',
        b'{"event_type":7,"payload":{}}',
    ],
)
def test_what_is_no_notification_is_nothing(body: bytes) -> None:
    assert opened(body) is None


def test_a_notification_without_an_envelope_is_read_too() -> None:
    envelope = opened(b'{"event_type":"server_group.create","payload":{}}')
    assert envelope is not None
    assert read(envelope) == GroupsChanged()
