"""Ids made from content."""

from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.kit.ids import DOCTOR, SEPARATOR, namespace, stable_id, stable_ids


@given(st.text(), st.lists(st.text(), max_size=20))
def test_they_are_uuids_of_version_5(kind: str, names: list[str]) -> None:
    """The quick way comes to the same as the library's, for one name and for many."""
    space = uuid5(DOCTOR, kind)
    assert stable_ids(kind, [name.encode() for name in names]) == [str(uuid5(space, name)) for name in names]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_one_thing_has_one_id(parts: list[str]) -> None:
    assert stable_id("alarm", *parts) == stable_ids("alarm", [SEPARATOR.join(parts).encode()])[0]


@given(st.text())
def test_a_kind_has_a_namespace_of_its_own(name: str) -> None:
    assert stable_id("alarm", name) != stable_id("fault", name)


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b"), tuple(map(str, range(1_000)))])
def test_many_come_in_their_order(names: tuple[str, ...]) -> None:
    assert stable_ids("alarm", [name.encode() for name in names]) == [
        stable_id("alarm", name) for name in names
    ]


def test_an_id_is_the_same_for_ever() -> None:
    """Consumers and stores keep them: whoever changes how they are made changes every one of them."""
    assert stable_id("alarm", "fault", "1", "vm-1") == "b30fba22-2b6c-58c1-ae27-13503f691fd5"
    assert UUID(bytes=namespace("alarm")) == uuid5(DOCTOR, "alarm")
