"""What owners say of groups goes over what the map says, machine by machine."""

import pytest

from doctor.model.group import Group, GroupBook
from doctor.model.resource import NIC, Constraints, VirtualResource


def machine(name: str = "vm-1", **more: object) -> VirtualResource:
    return VirtualResource(**{"id": name, "owner": "red", **more})  # type: ignore[arg-type]


def test_where_nothing_is_said_a_resource_is_the_same_object() -> None:
    book = GroupBook([Group(project="red", name="core", members=("vm-1",))])
    for one in (
        machine("vm-2"),
        machine("vm-1", owner="blue"),
        machine("vm-3", group="web"),
        machine("vm-1", type=NIC),
    ):
        assert book.dressed(one) is one


def test_a_member_by_its_owners_word_is_in_the_group_with_its_role_and_limits() -> None:
    said = Group(
        project="red",
        name="core",
        members=("vm-1",),
        roles={"vm-1": "ACT"},
        max_out=1,
        recovery_time=4.0,
        max_per_host=1,
    )
    own = Constraints(live_migration=False, max_out=5)
    worn = GroupBook([said]).dressed(machine(group="of the map", role="STBY", constraints=own))
    assert (worn.group, worn.role) == ("core", "ACT")
    assert worn.constraints == Constraints(live_migration=False, max_out=1, recovery_time=4.0, max_per_host=1)


def test_a_group_of_the_map_gets_the_limits_too_and_keeps_what_is_not_said() -> None:
    book = GroupBook([Group(project="red", name="core", max_out=2)])
    worn = book.dressed(machine(group="core", role="STBY"))
    assert (worn.role, worn.constraints) == ("STBY", Constraints(max_out=2))
    book.put(Group(project="red", name="core"))
    assert book.dressed(machine(group="core")) == machine(group="core")


def test_what_is_taken_back_counts_no_more() -> None:
    book = GroupBook([Group(project="red", name="core", members=("vm-1", "vm-2"))])
    book.put(Group(project="red", name="core", members=("vm-2",)))
    assert (book.group_of("red", "vm-1"), book.group_of("red", "vm-2")) == (None, "core")
    book.put(Group(project="red", name="web", members=("vm-2",)))
    book.forget("red", "core")
    book.forget("red", "core")
    assert book.group_of("red", "vm-2") == "web"
    assert (len(book), [one.name for one in book]) == (1, ["web"])


@pytest.mark.parametrize(
    ("said", "together"),
    [
        pytest.param(Constraints(), None, id="nothing"),
        pytest.param(Constraints(anti_affinity=True), 1, id="apart"),
        pytest.param(Constraints(anti_affinity=True, max_per_host=3), 1, id="the-stricter-holds"),
        pytest.param(Constraints(max_per_host=3), 3, id="three"),
    ],
)
def test_how_many_of_a_group_may_be_on_one_host(said: Constraints, together: int | None) -> None:
    assert said.together == together
