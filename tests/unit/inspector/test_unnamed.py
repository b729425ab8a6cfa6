"""What no rule names is counted by its type, and takes no more than so much room."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from doctor.inspector.unnamed import UnnamedTypes
from tests.unit.model.nfvis import long_lists


def test_events_are_counted_by_their_types() -> None:
    types = UnnamedTypes()
    for event_type in ("coffee", "tea", "coffee"):
        types.count(event_type)
    assert list(types) == [("coffee", 2), ("tea", 1)]


@given(long_lists(st.sampled_from("abcdefgh"), 40), st.integers(1, 8))
def test_types_beyond_the_most_are_counted_together(came: list[str], most: int) -> None:
    """Those that came first are counted one by one, and none is lost."""
    types = UnnamedTypes(most)
    for event_type in came:
        types.count(event_type)
    first = list(dict.fromkeys(came))[:most]
    wanted = Counter(event_type if event_type in first else None for event_type in came)
    assert dict(types) == wanted
