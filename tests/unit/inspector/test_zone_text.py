"""How failure impact zones are written in a policy, what is refused of them, and what their author is warned of."""

from datetime import timedelta

import pytest

from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import PolicyReport, parse_policy
from doctor.model.errors import RejectedError
from doctor.model.fault import ResourceState, Severity
from doctor.model.policy import (
    Audience,
    Escalate,
    IsolationPolicy,
    RecommendedAction,
    ZoneLevel,
)

PROPAGATE = "{from: rack, kind: contains, state: normal, min_severity: warning, to_state: normal}"


def parsed(zones: str) -> PolicyReport:
    return parse_policy(f"version: 1\nzones: [{zones}]\npropagate: [{PROPAGATE}]\n", default_catalogue())


def level(zone: str) -> ZoneLevel:
    (found,) = parsed(zone).policy.zones
    return found


def warned(zones: str) -> dict[str, str]:
    return {flaw.pointer: flaw.detail for flaw in parsed(zones).warnings if flaw.pointer.startswith("/zones")}


def test_what_is_left_out_is_asked_and_told_to_the_administrator() -> None:
    """The words of the example."""
    assert level("{type: rack, probation: PT15M, frequency: 3, escalate: ask}") == ZoneLevel(
        type="rack",
        relations=("hosts", "contains", "connects", "powers"),
        components=(),
        probation=timedelta(minutes=15),
        frequency=3,
        distinct=1,
        escalate=Escalate.ASK,
        deadline=timedelta(minutes=30),
        next=None,
        isolation=IsolationPolicy.ADVISE,
        severity=Severity.CRITICAL,
        state=ResourceState.NORMAL,
        tell=Audience.ADMINISTRATOR,
        probable_cause="repeated failures within the zone",
        recommended_action=RecommendedAction.INFORM_OAM,
    )


@pytest.mark.requirement("G51", "G53")
def test_every_word_counts() -> None:
    zones = """
      {type: rack, relations: [contains, contains], components: [host, switch], probation: 60, frequency: 4,
       distinct: 2, escalate: automatic, next: [power], isolation: fence,
       raise: {severity: major, state: error, tell: owners, probable_cause: heat, recommended_action: evacuate}},
      {type: power, probation: 60, next: []}"""
    first, second = parsed(zones).policy.zones
    assert first == ZoneLevel(
        type="rack",
        relations=("contains",),
        components=("host", "switch"),
        probation=timedelta(minutes=1),
        frequency=4,
        distinct=2,
        escalate=Escalate.AUTOMATIC,
        next=("power",),
        isolation=IsolationPolicy.FENCE,
        severity=Severity.MAJOR,
        state=ResourceState.ERROR,
        tell=Audience.OWNERS,
        probable_cause="heat",
        recommended_action=RecommendedAction.EVACUATE,
    )
    assert second.next == ()


@pytest.mark.requirement("G48")
@pytest.mark.parametrize(
    ("zone_type", "tell", "action"),
    [
        pytest.param("process", Audience.ADMINISTRATOR, RecommendedAction.INFORM_OAM, id="own-type"),
        pytest.param("virtual machine", Audience.OWNERS, RecommendedAction.LIVE_MIGRATE, id="machine"),
        pytest.param("host", Audience.ADMINISTRATOR, RecommendedAction.INFORM_OAM, id="host"),
    ],
)
def test_any_element_may_be_a_zone(zone_type: str, tell: Audience, action: RecommendedAction) -> None:
    found = level(f"{{type: {zone_type}, probation: 60}}")
    assert (found.tell, found.recommended_action) == (tell, action)


@pytest.mark.parametrize(
    ("zones", "pointer", "says"),
    [
        pytest.param("3", "/zones/0", "mapping", id="number"),
        pytest.param("{probation: 60}", "/zones/0/type", "required", id="no-type"),
        pytest.param("{type: rack}", "/zones/0/probation", "required: a duration", id="no-probation"),
        pytest.param("{type: rack, probation: 0}", "/zones/0/probation", "at least a second", id="no-time"),
        pytest.param("{type: rack, probation: soon}", "/zones/0/probation", "no duration", id="no-duration"),
        pytest.param("{type: rack, probation: 60, frequency: 0}", "/zones/0/frequency", "from 1", id="never"),
        pytest.param("{type: rack, probation: 60, frequency: 101}", "/zones/0/frequency", "at most 100", id="often"),
        pytest.param("{type: rack, probation: 60, frequency: 2, distinct: 3}", "/zones/0/distinct", "never holds", id="distinct"),
        pytest.param("{type: rack, probation: 60, escalate: always}", "/zones/0/escalate", "ask, automatic", id="escalate"),
        pytest.param("{type: rack, probation: 60, escalate: automatic, deadline: 5}", "/zones/0/deadline", "nobody is asked", id="deadline-of-nobody"),
        pytest.param("{type: rack, probation: 60, deadline: P8D}", "/zones/0/deadline", "at most 7 days", id="long-deadline"),
        pytest.param("{type: rack, probation: 60, deadline: 0}", "/zones/0/deadline", "at least a second", id="no-deadline"),
        pytest.param("{type: rack, probation: 60, relations: [contain]}", "/zones/0/relations/0", "did you mean contains?", id="relation"),
        pytest.param("{type: rack, probation: 60, relations: []}", "/zones/0/relations", "empty list", id="no-relation"),
        pytest.param("{type: rack, probation: 60, components: []}", "/zones/0/components", "empty list", id="no-component"),
        pytest.param("{type: rack, probation: 60, next: [powr]}, {type: power, probation: 60}", "/zones/0/next/0", "did you mean power?", id="next"),
        pytest.param("{type: rack, probation: 60, isolation: shoot}", "/zones/0/isolation", "none, advise, fence", id="isolation"),
        pytest.param("{type: rack, probation: 60, raise: loud}", "/zones/0/raise", "mapping", id="raise"),
        pytest.param("{type: rack, probation: 60, raise: {tell: nobody}}", "/zones/0/raise/tell", "administrator, owners", id="tell"),
        pytest.param("{type: rack, probation: 60, raise: {severity: ok}}", "/zones/0/raise/severity", "raised as cleared", id="severity"),
        pytest.param("{type: virtual machine, probation: 60, raise: {tell: administrator}}", "/zones/0/raise/tell", "has an owner", id="behind-the-owner"),
        pytest.param("{type: rack, probation: 60}, {type: rack, probation: 90}", "/zones/1/type", "/zones/0 says already", id="contradiction"),
        pytest.param("{type: rack, probation: 60, threshold: 3}", "/zones/0/threshold", "unknown here", id="key"),
        pytest.param(", ".join(f"{{type: t{n}, probation: 60}}" for n in range(21)), "/zones", "at most 20", id="levels"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_place(zones: str, pointer: str, says: str) -> None:
    with pytest.raises(RejectedError) as caught:
        parsed(zones)
    assert [(flaw.pointer, says in flaw.detail) for flaw in caught.value.flaws] == [(pointer, True)]


@pytest.mark.parametrize(
    ("zones", "pointer", "says"),
    [
        pytest.param("{type: rack, probation: 60, frequency: 1}", "/zones/0/frequency", "fires at every failure", id="always"),
        pytest.param("{type: rack, probation: 60, escalate: automatic, isolation: fence}", "/zones/0/isolation", "asks nobody", id="healthy-hosts"),
        pytest.param("{type: switch, probation: 60, raise: {tell: owners}}", "/zones/0/raise/tell", "tells no owner", id="no-propagation"),
        pytest.param("{type: rack, probation: 60, raise: {tell: owners, state: down}}", "/zones/0/raise/tell", "in the state down", id="no-propagation-of-the-state"),
        pytest.param("{type: rack, probation: 60, raise: {tell: owners, severity: indeterminate}}", "/zones/0/raise/tell", "tells no owner", id="no-propagation-of-the-severity"),
        pytest.param("{type: rack, probation: 60, raise: {recommended_action: evacuate}}", "/zones/0/raise/recommended_action", "'evacuate' is for owners", id="action-for-nobody"),
        pytest.param("{type: rack, probation: 60, raise: {state: down}}", "/zones/0/raise/state", "stays as it is", id="state-for-nobody"),
        pytest.param("{type: rack, probation: 60, next: [rack]}", "/zones/0/next", "of its own type", id="own-type"),
        pytest.param("{type: rack, probation: 60, components: rack, distinct: 2}", "/zones/0/components", "of its own type", id="own-parts"),
        pytest.param("{type: rak, probation: 60}", "/zones/0/type", "did you mean rack?", id="type"),
        pytest.param("{type: rack, probation: 60, components: [hosts]}", "/zones/0/components", "did you mean host?", id="component"),
        pytest.param(
            "{type: rack, probation: 60, next: switch}, {type: power, probation: 60}, "
            "{type: switch, probation: 60, next: [power, rack]}",
            "/zones/0/next", "runs in a circle ('rack' -> 'switch' -> 'rack')", id="circle",
        ),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_warned_of(zones: str, pointer: str, says: str) -> None:
    found = warned(zones)
    assert list(found) == [pointer]
    assert says in found[pointer]


@pytest.mark.parametrize(
    "zones",
    [
        pytest.param("{type: rack, probation: 60, raise: {tell: owners}}", id="owners-who-are-told"),
        pytest.param("{type: switch, probation: 60}", id="administrator"),
        pytest.param("{type: virtual machine, probation: 60}", id="machine"),
        pytest.param(
            "{type: switch, probation: 60, next: [switch, rack]}, {type: rack, probation: 60, next: power}, "
            "{type: power, probation: 60, next: []}",
            id="ladder",
        ),
    ],
)
def test_what_is_meant_is_not_warned_of(zones: str) -> None:
    assert warned(zones) == {}
