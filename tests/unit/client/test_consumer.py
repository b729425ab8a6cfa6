"""What a Consumer is safe to believe."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from doctor.client import Fresh, Gap, Inbox, Repeat, SignatureError, sign, verify

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER = "whsec_" + "QUJD" * 8
BODY = b'{"notification_id": "n1"}'
NOW = 1_772_600_000


def headers(secret: str = SECRET, body: bytes = BODY, sent: int = NOW) -> dict[str, str]:
    return {
        "Webhook-Id": "n1",
        "Webhook-Timestamp": str(sent),
        "Webhook-Signature": sign("n1", sent, body, secret),
    }


# --- signatures ---


def test_what_doctor_signed_is_believed() -> None:
    assert verify(headers(), BODY, SECRET, now=NOW + 1.5) == "n1"
    assert verify(headers(sent=int(datetime.now(UTC).timestamp())), BODY, SECRET) == "n1"


def test_the_library_of_standard_webhooks_agrees() -> None:
    sent = datetime.now(UTC)
    signature = Webhook(SECRET).sign("n1", sent, BODY.decode())
    assert signature == sign("n1", int(sent.timestamp()), BODY, SECRET)
    theirs = {
        "webhook-id": "n1",
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": signature,
    }
    assert verify(theirs, BODY, SECRET) == "n1"


def test_one_of_several_signatures_is_enough_while_a_secret_changes() -> None:
    both = headers() | {
        "Webhook-Signature": f"v1a,AAAA {sign('n1', NOW, BODY, OTHER)} {sign('n1', NOW, BODY, SECRET)}"
    }
    assert verify(both, BODY, SECRET, now=NOW) == "n1"
    assert verify(both, BODY, OTHER, now=NOW) == "n1"


@pytest.mark.parametrize(
    ("changed", "body", "why"),
    [
        pytest.param({}, b"{}", "no signature fits", id="another body"),
        pytest.param({"Webhook-Id": "n2"}, BODY, "no signature fits", id="another id"),
        pytest.param({"Webhook-Timestamp": str(NOW + 1)}, BODY, "no signature fits", id="another time"),
        pytest.param({"Webhook-Signature": "v1,AAAA"}, BODY, "no signature fits", id="another signature"),
        pytest.param({"Webhook-Signature": "\udcff"}, BODY, "no signature fits", id="not even text"),
        pytest.param({"Webhook-Signature": ""}, BODY, "are needed", id="none"),
        pytest.param({"Webhook-Timestamp": "yesterday"}, BODY, "not a time", id="no time"),
        pytest.param({"Webhook-Timestamp": "9" * 5000}, BODY, "not a time", id="absurd time"),
        pytest.param({"Webhook-Timestamp": "-5"}, BODY, "not a time", id="negative time"),
        pytest.param(headers(sent=NOW - 301), BODY, "301 s before now", id="too old"),
        pytest.param(headers(sent=NOW + 301), BODY, "301 s after now", id="from the future"),
        pytest.param(headers(secret=OTHER), BODY, "no signature fits", id="another secret"),
    ],
)
def test_everything_else_is_not(changed: dict[str, str], body: bytes, why: str) -> None:
    with pytest.raises(SignatureError, match=why):
        verify(headers() | changed, body, SECRET, now=NOW)


def test_how_old_it_may_be_is_up_to_the_consumer() -> None:
    assert verify(headers(sent=NOW - 900), BODY, SECRET, timedelta(hours=1), now=NOW) == "n1"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*", "password"])
def test_a_secret_that_is_none_is_our_own_mistake(secret: str) -> None:
    with pytest.raises(ValueError, match="no secret"):
        verify(headers(), BODY, secret + ("!" if secret == "password" else ""), now=NOW)


# --- repeats and gaps ---


def message(sequence: int | None, subscription: str = "s1") -> dict[str, Any]:
    found = {"notification_id": f"{subscription}-{sequence}", "subscription_id": subscription}
    return found if sequence is None else found | {"sequence": sequence}


def test_each_is_news_once() -> None:
    inbox = Inbox()
    assert inbox.take(message(1)) == Fresh()
    assert inbox.take(message(1)) == Repeat()
    assert inbox.take(message(2)) == Fresh()
    assert inbox.take(json.loads(json.dumps(message(1)))) == Repeat()
    assert inbox.positions() == {"s1": 2}


def test_a_gap_is_told_and_closes_when_it_is_filled() -> None:
    inbox = Inbox({"s1": 0})
    assert inbox.take(message(1)) == Fresh()
    gap = Gap("s1", after=1, before=5)
    assert inbox.take(message(5)) == Fresh(gap)
    assert len(gap) == 3
    assert inbox.gaps("s1") == (gap,)
    assert inbox.positions() == {"s1": 1}
    assert inbox.take(message(3)) == Fresh()
    assert inbox.gaps("s1") == (Gap("s1", 1, 3), Gap("s1", 3, 5))
    assert inbox.take(message(2)) == Fresh()
    assert inbox.take(message(4)) == Fresh()
    assert inbox.gaps("s1") == ()
    assert inbox.positions() == {"s1": 5}


def test_a_new_subscription_that_begins_late_has_a_gap() -> None:
    assert Inbox({"s1": 0}).take(message(3)) == Fresh(Gap("s1", 0, 3))


def test_an_unknown_subscription_begins_where_it_begins() -> None:
    inbox = Inbox()
    assert inbox.take(message(41)) == Fresh()
    assert inbox.take(message(42)) == Fresh()


def test_subscriptions_do_not_mix() -> None:
    inbox = Inbox()
    assert inbox.take(message(1, "s1")) == Fresh()
    assert inbox.take(message(7, "s2")) == Fresh()
    assert inbox.take(message(9, "s2")) == Fresh(Gap("s2", 7, 9))
    assert inbox.gaps("s1") == ()
    assert inbox.positions() == {"s1": 1, "s2": 7}


def test_what_failed_is_news_again() -> None:
    inbox = Inbox()
    for sequence in (1, 2, 3):
        inbox.take(message(sequence))
    inbox.put_back(message(2))
    inbox.put_back(message(2))
    assert inbox.positions() == {"s1": 1}
    assert inbox.take(message(2)) == Fresh()
    assert inbox.positions() == {"s1": 3}


def test_without_a_sequence_only_repeats_are_known() -> None:
    inbox = Inbox()
    assert inbox.take(message(None)) == Fresh()
    assert inbox.take(message(None)) == Repeat()
    inbox.put_back(message(None))
    assert inbox.take(message(None)) == Fresh()
    assert inbox.positions() == {}


def test_numbers_that_begin_anew_are_news() -> None:
    inbox = Inbox({"s1": 50})
    assert inbox.take(message(3)) == Fresh()


def test_it_remembers_so_many_and_no_more() -> None:
    inbox = Inbox(remember=2)
    for sequence in (1, 2, 3):
        inbox.take(message(sequence))
    assert inbox.take(message(3)) == Repeat()
    assert inbox.take(message(1)) == Fresh()


@given(st.lists(st.integers(1, 12), max_size=40))
def test_gaps_are_what_is_missing(sequences: list[int]) -> None:
    """Against the simple version: the set of what came."""
    inbox = Inbox({"s1": 0})
    came: set[int] = set()
    for sequence in sequences:
        assert isinstance(inbox.take(message(sequence)), Repeat) == (sequence in came)
        came.add(sequence)
    missing = set(range(1, max(came, default=0) + 1)) - came
    gaps = inbox.gaps("s1")
    assert {number for gap in gaps for number in range(gap.after + 1, gap.before)} == missing
    assert all(one.before <= other.after + 1 for one, other in pairwise(gaps))
    assert inbox.positions() == {"s1": min(missing) - 1 if missing else max(came, default=0)}
