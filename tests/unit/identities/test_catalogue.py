"""What has to be done until a service catalogue says where Doctor is: never more than that."""

import pytest

from doctor.drivers.identities.catalogue import (
    Action,
    Endpoint,
    Entry,
    Service,
    Step,
    find_service,
    plan,
    plan_removal,
)
from doctor.model.errors import Reason, RejectedError

ENTRY = Entry(
    service_type="fault-management",
    name="doctor",
    region="R1",
    urls={"public": "https://d/", "internal": "http://i/"},
)
SERVICE = Service(id="s", type="fault-management", name="doctor")


def endpoint(name: str, interface: str, url: str, **other: object) -> Endpoint:
    return Endpoint(
        **{"id": name, "service_id": "s", "interface": interface, "url": url, "region": "R1", **other}  # type: ignore[arg-type]
    )


PUBLIC = endpoint("e1", "public", "https://d/")
INTERNAL = endpoint("e2", "internal", "http://i/")


@pytest.mark.parametrize(
    ("service", "endpoints", "actions"),
    [
        pytest.param(None, [], ["create", "create", "create"], id="nothing-there"),
        pytest.param(SERVICE, [PUBLIC, INTERNAL], ["keep", "keep", "keep"], id="all-there"),
        pytest.param(SERVICE, [INTERNAL], ["keep", "create", "keep"], id="half-there"),
        pytest.param(
            SERVICE,
            [endpoint("e1", "public", "https://old/"), INTERNAL],
            ["keep", "change", "keep"],
            id="moved",
        ),
        pytest.param(
            SERVICE,
            [endpoint("e1", "public", "https://d/", enabled=False), INTERNAL],
            ["keep", "change", "keep"],
            id="disabled-endpoint",
        ),
        pytest.param(
            Service(id="s", type="fault-management", name="doctor", enabled=False),
            [PUBLIC, INTERNAL],
            ["change", "keep", "keep"],
            id="disabled-service",
        ),
        pytest.param(
            SERVICE,
            [endpoint("e1", "public", "https://d/", region="R2"), INTERNAL],
            ["keep", "create", "keep"],
            id="other-region",
        ),
        pytest.param(
            SERVICE,
            [endpoint("e1", "public", "https://d/", service_id="t"), INTERNAL],
            ["keep", "create", "keep"],
            id="other-service",
        ),
        pytest.param(
            SERVICE,
            [endpoint("e0", "public", "https://old/"), PUBLIC, INTERNAL],
            ["keep", "keep", "keep"],
            id="one-of-two-is-right",
        ),
    ],
)
def test_only_what_is_wrong_is_changed(
    service: Service | None, endpoints: list[Endpoint], actions: list[str]
) -> None:
    assert [step.action for step in plan(ENTRY, service, endpoints)] == actions


def test_a_step_says_what_it_is_about() -> None:
    steps = plan(ENTRY, SERVICE, [endpoint("e1", "public", "https://old/")])
    assert steps == [
        Step(action=Action.KEEP, id="s"),
        Step(action=Action.CHANGE, interface="public", url="https://d/", id="e1"),
        Step(action=Action.CREATE, interface="internal", url="http://i/"),
    ]


def test_another_service_of_the_type_is_never_touched() -> None:
    with pytest.raises(RejectedError, match="'aodh'") as refused:
        find_service(ENTRY, [Service(id="x", type="fault-management", name="aodh")])
    assert refused.value.reason is Reason.CONFLICT
    other = Service(id="x", type="alarming", name="doctor")
    assert find_service(ENTRY, [other]) is None
    twin = Service(id="a", type="fault-management", name="doctor")
    assert find_service(ENTRY, [SERVICE, twin, other]) == twin


@pytest.mark.parametrize(
    ("service", "endpoints", "removed"),
    [
        pytest.param(None, [PUBLIC], [], id="never-there"),
        pytest.param(SERVICE, [PUBLIC, INTERNAL], ["e1", "e2", "s"], id="with-the-last-endpoint"),
        pytest.param(SERVICE, [], ["s"], id="without-any"),
        pytest.param(
            SERVICE,
            [PUBLIC, endpoint("e3", "public", "https://d/", region="R2")],
            ["e1"],
            id="still-in-another-region",
        ),
        pytest.param(
            SERVICE,
            [PUBLIC, endpoint("e3", "public", "https://x/", service_id="t")],
            ["e1", "s"],
            id="not-others",
        ),
    ],
)
def test_what_is_removed_is_ours(
    service: Service | None, endpoints: list[Endpoint], removed: list[str]
) -> None:
    steps = plan_removal(ENTRY, service, endpoints)
    assert [step.id for step in steps] == removed
    assert {step.action for step in steps} <= {Action.REMOVE}
