"""What was already said is dropped, for as long as it is remembered."""

from hypothesis import given
from hypothesis import strategies as st

from doctor.inspector.intake import DEFAULT_MEMORY, Intake
from tests.unit.model.nfvis import long_lists


def test_what_was_said_is_no_news() -> None:
    intake = Intake()
    assert [intake.is_news(event_id) for event_id in ("a", "b", "a", "b", "c")] == [
        True,
        True,
        False,
        False,
        True,
    ]


@given(long_lists(st.integers(0, 12), 80), st.integers(1, 5))
def test_at_least_the_newest_are_remembered_and_at_most_twice_as_many(said: list[int], memory: int) -> None:
    """Held against a list of all that was seen, each once, the last seen last."""
    intake = Intake(memory=memory)
    seen: list[str] = []
    for event_id in map(str, said):
        was_news = intake.is_news(event_id)
        if event_id in seen[-memory:]:
            assert not was_news
        if event_id not in seen[-2 * memory :]:
            assert was_news
        seen = [*(other for other in seen if other != event_id), event_id]


def test_what_is_repeated_for_ever_is_remembered_for_ever() -> None:
    """[design 5] Else the old report of a tireless monitor would one day be a new outage."""
    intake = Intake(memory=10)
    assert intake.is_news("tireless")
    for number in range(1_000):
        assert intake.is_news(f"other {number}")
        if number % 7 == 0:
            assert not intake.is_news("tireless")


def test_it_forgets_the_oldest_first() -> None:
    intake = Intake(memory=2)
    for event_id in "abcde":
        assert intake.is_news(event_id)
    assert not intake.is_news("e")
    assert not intake.is_news("d")
    assert intake.is_news("a")


def test_it_remembers_a_long_outage_of_a_talkative_monitor() -> None:
    assert DEFAULT_MEMORY >= 200_000
