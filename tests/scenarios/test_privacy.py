"""Nobody learns anything of anybody else [D 3.3.4, reliability 5.3]."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.drivers.stores.memory import MemoryStore
from doctor.inspector.catalogue import default_policy_text
from doctor.kit.ids import stable_id, stable_ids
from doctor.model.fault import Severity
from doctor.model.notification import Failed
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import SubscribeFilter
from doctor.testing.scenario import Heard, Scenario, down, up
from tests.unit.model.nfvis import long_lists

# Every name below is a word that cannot be part of another text.
KINDS = {"host": "QHOST", "switch": "QSWITCH", "power": "QFEED", "storage": "QSTORE", "rack": "QRACK"}
OWNERS = ("red", "blue")
VIRTUAL = ("virtual machine", "virtual storage", "virtual network")
TYPES = ("compute.host.down", "network.switch.down", "compute.power.failure", "storage.backend.degraded",
         "compute.instance.down", "compute.disk.crash", "compute.instance.error")  # fmt: skip
POLICY_MORE = """
  - {from: virtual storage, kind: attaches, state: error, to_state: error, severity: same}
  - {from: virtual machine, kind: connects, to_state: error, severity: same}
"""


@st.composite
def shared_nfvis(draw: st.DrawFn) -> ResourceMap:
    """Return an infrastructure that two owners share; machines of one may even depend on those of the other."""
    physical = [
        PhysicalResource(
            id=f"{KINDS[kind]}{number}Q",
            type=kind,
            zone_id=f"zone-{draw(st.integers(1, 2))}",
            aliases=(f"QALIAS{number}Q",),
            address=(f"QADDRESS{number}Q",),
            metadata={"QKEY": f"QSERIAL{number}Q"},
            firmware_version=f"QFIRM{number}Q",
        )
        for number, kind in enumerate(["host", *draw(st.lists(st.sampled_from(list(KINDS)), max_size=5))])
    ]
    hosts = [one.id for one in physical if one.type == "host"]
    virtual = [
        VirtualResource(
            id=f"Q{owner}{number}Q",
            type=draw(st.sampled_from(VIRTUAL)),
            host=draw(st.sampled_from([*hosts, None])),
            owner=owner,
            group=f"QGROUP{owner}Q",
        )
        for number, owner in enumerate(draw(st.lists(st.sampled_from(OWNERS), min_size=2, max_size=6)))
    ]
    names = [*(one.id for one in physical), *(one.id for one in virtual)]
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    tied = draw(st.lists(st.sampled_from(pairs), max_size=12, unique=True))
    kinds = st.sampled_from(["connects", "powers", "contains", "backs", "attaches"])
    return ResourceMap(physical, virtual, [Relation(one, draw(kinds), other) for one, other in tied])


@pytest.mark.requirement("A11", "B21", "C1", "F3")
@settings(deadline=None, max_examples=40)
@given(st.data(), shared_nfvis())
def test_what_an_owner_is_told_names_nothing_but_its_own(data: st.DataObject, resources: ResourceMap) -> None:
    """[D 3.3.4] No host, no serial number, no detail of an event, no resource and no id that somebody else is told."""
    names = [*resources.physical, *resources.virtual, "QSTRANGERQ"]
    story = Scenario(resources, policy=_policy())
    for name in (*OWNERS, "operator"):
        story.at(0.0).subscribe(name, project=None if name == "operator" else name)
    steps = st.tuples(st.sampled_from([down, down, up]), st.sampled_from(TYPES), st.sampled_from(names))
    for second, (report, event_type, name) in enumerate(data.draw(long_lists(steps, 12)), 1):
        details = {"QDETAIL": f"QVALUE{name}", "related_to": "QRELATEDQ", "cause": "QCAUSEQ"}
        event = report(event_type, name, source="QSOURCEQ", monitor_event_id="QEVENTQ", details=details)
        story.at(float(second)).push(event)
    story.run()
    ids: dict[str, set[str]] = {}
    for owner in OWNERS:
        for heard in story.heard(owner):
            _check_words(heard, {one.id for one in resources.virtual.values() if one.owner == owner})
            ids.setdefault(owner, set()).update(_ids(heard.message))
    assert not ids.get("red", set()) & ids.get("blue", set())
    told = [heard for owner in OWNERS for heard in story.heard(owner)]
    assert bool(told) <= bool(story.heard("operator"))


def _check_words(heard: Heard, own: set[str]) -> None:
    body = heard.notification.body.decode()
    assert "Q" not in _without(body, own)
    for info in heard.message["virtual_resource_info"]:
        assert info["virtual_resource_id"] in own
        assert info["location"].keys() == {"zone_id", "host_ref"}
        assert all(fault["fault_details"] == {} for fault in info["faults"])
    assert "physical_resource_info" not in heard.message


def _without(body: str, own: set[str]) -> str:
    for name in own:
        body = body.replace(name, "")
    return body


def _ids(message: Any) -> Iterator[str]:
    yield message["notification_id"]
    for info in message["virtual_resource_info"]:
        if info["location"]["host_ref"]:
            yield info["location"]["host_ref"]
        for fault in info["faults"]:
            yield fault["alarm_id"]
            yield fault["fault_id"]
            yield from fault["correlated_fault_id"]


def _policy() -> str:
    return default_policy_text() + POLICY_MORE


class SameSecret(MemoryStore):
    """A store whose random part is always the same."""

    def __init__(self) -> None:
        super().__init__()
        self._secret = b"s" * 32


SHARED = ResourceMap(
    [PhysicalResource(id="compute-1"), PhysicalResource(id="compute-2")],
    [
        VirtualResource(id=f"{owner}-{host}", host=f"compute-{host}", owner=owner)
        for owner in OWNERS
        for host in (1, 2)
    ],
)
TOGGLES = long_lists(st.sampled_from(["compute-1", "compute-2", "blue-1", "red-2"]), 10)
DOINGS = long_lists(st.sampled_from(["subscribe", "fail", "take", "leave", "change"]), 10)


@settings(deadline=None, max_examples=40)
@given(TOGGLES, DOINGS)
def test_nothing_that_one_owner_does_changes_a_byte_for_another(
    toggles: list[str], doings: list[str]
) -> None:
    """[reliability 5.3] What red is told, and when, is the same whether blue is there, is quiet or makes a fuss."""
    assert _told_to_red(toggles, []) == _told_to_red(toggles, doings)


def _told_to_red(toggles: list[str], doings: list[str]) -> list[tuple[float, bytes]]:
    story = Scenario(SHARED, store=SameSecret())
    story.at(0.0).subscribe("red", project="red")
    for second, doing in enumerate(doings):
        _let_blue(story, second + 0.5, doing, f"blue-{doings[:second].count('subscribe')}")
    broken: set[str] = set()
    for second, name in enumerate(toggles, 1):
        event_type = "compute.host.down" if name.startswith("compute") else "compute.instance.down"
        story.at(float(second)).push((up if name in broken else down)(event_type, name))
        broken ^= {name}
    story.run(until=60.0)
    subscription_id = story.subscriptions["red"].subscription_id
    return [
        (
            heard.at,
            heard.notification.body.replace(subscription_id.encode(), b"mine").replace(
                heard.notification.notification_id.encode(), b"it"
            ),
        )
        for heard in story.heard("red")
    ]


def _let_blue(story: Scenario, second: float, doing: str, latest: str) -> None:
    moment = story.at(second)

    def act() -> None:
        for endpoint_id in story.endpoint_ids(latest) if latest in story.subscriptions else []:
            story.channel.always_answer(endpoint_id, Failed("no") if doing == "fail" else None)

    match doing:
        case "subscribe":
            moment.subscribe(_next(latest), project="blue", endpoints=2)
        case "fail" | "take":
            moment.do(act)
        case "leave" if latest != "blue-0":
            moment.update(latest, endpoints=0)
        case "change" if latest != "blue-0":
            moment.update(latest, endpoints=3, asked=SubscribeFilter(min_severity=Severity.CRITICAL))


def _next(name: str) -> str:
    head, _, number = name.partition("-")
    return f"{head}-{int(number) + 1}"


@pytest.mark.requirement("F3")
def test_an_owner_cannot_find_out_its_host_by_trying() -> None:
    """[design 3] Whoever guesses all of an event still cannot make the ids that follow from it."""
    story = Scenario(SHARED)
    story.at(0.0).subscribe("red", project="red")
    report = down("compute.host.down", "compute-1", source="ping", monitor_event_id="1", seen=1.0)
    story.at(1.0).push(report)
    story.run()
    (heard,) = story.heard("red")
    (guessed,) = stable_ids("event", [report.event(1.0).identity])
    key = stable_id("fault", guessed, "compute-1", "host down")
    told = heard.notification.body.decode()
    assert heard.message["virtual_resource_info"][0]["faults"][0]["fault_type"] == "host down"
    assert story.answers[0].event_ids == [guessed]
    assert stable_id("project-fault", key, "red") not in told
    assert stable_id("alarm", key, "1", "red-1") not in told
