"""Which word counts for a machine, and what is wrong with a policy."""

from datetime import timedelta
from typing import Any

import pytest

from doctor.model.instruction import Action
from doctor.model.recovery import Handler, RecoveryPolicy, RecoveryStep
from doctor.model.resource import VirtualResource
from doctor.model.scope import Scope, ScopeKind
from doctor.recovery.policies import HARD, PolicyBook, flaws, wish_of

A = Action
GROUP, SAL, MACHINE = (
    Scope(ScopeKind.GROUP, "core"),
    Scope(ScopeKind.SAL, "1"),
    Scope(ScopeKind.MACHINE, "vm-1"),
)


def policy(scope: Scope = MACHINE, *actions: Action, **more: Any) -> RecoveryPolicy:
    steps = tuple(RecoveryStep(action=one) for one in actions)
    return RecoveryPolicy(**{"project": "red", "scope": scope, "steps": steps, **more})


def machine(**more: Any) -> VirtualResource:
    return VirtualResource(**{"id": "vm-1", "owner": "red", "group": "core", "sal": 1, **more})


def scope_for(book: PolicyBook, one: VirtualResource) -> str | None:
    found = book.of(one)
    return None if found is None else str(found.scope)


@pytest.mark.requirement("G18", "F15")
def test_the_narrower_word_counts() -> None:
    book = PolicyBook()
    assert scope_for(book, machine()) is None
    book.put(policy(SAL))
    assert scope_for(book, machine()) == "sal:1"
    book.put(policy(GROUP, after_groups=("db",)))
    assert scope_for(book, machine()) == "group:core"
    wish = book.of(machine(recovery="evacuate"))
    assert wish is not None
    assert (wish.steps[0].action, wish.handled_by) == (A.EVACUATE, Handler.DOCTOR)
    book.put(policy(MACHINE, A.REBUILD))
    own = book.of(machine(recovery="evacuate"))
    assert own is not None
    assert own.steps[0].action is A.REBUILD
    assert book.after_groups(machine()) == ("db",)
    book.forget("red", MACHINE)
    assert scope_for(book, machine()) == "group:core"
    assert len(list(book)) == 2


def test_nobody_speaks_for_the_machines_of_others() -> None:
    book = PolicyBook([policy(SAL), policy(GROUP)])
    assert book.of(machine(owner="blue")) is None
    assert book.of(machine(id="vm-9", group=None, sal=None)) is None
    assert book.after_groups(machine(group=None)) == ()


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("evacuate", [A.EVACUATE]),
        ("reboot, evacuate", [A.REBOOT, A.EVACUATE]),
        ("leave", [A.LEAVE]),
        ("please", None),
        ("stop", None),
        (" , ", None),
        (" ".join(["reboot"] * 11), None),
        (None, None),
    ],
)
def test_a_wish_is_a_list_of_actions(text: str | None, actions: list[Action] | None) -> None:
    found = wish_of(machine(recovery=text))
    assert (None if found is None else [step.action for step in found.steps]) == actions
    if found is not None and actions is not None and A.REBOOT in actions:
        assert found.steps[0].parameters == HARD


FIRST = RecoveryStep(action=A.LEAVE)


@pytest.mark.parametrize(
    ("given", "pointer", "says"),
    [
        pytest.param(policy(MACHINE, A.TERMINATE), "/steps/0/action", "use one of", id="no-such-step"),
        pytest.param(
            policy(MACHINE, steps=(RecoveryStep(action=A.REBOOT, parameters={"type": "warm"}),)),
            "/steps/0/parameters/type",
            "soft or hard",
            id="parameter",
        ),
        pytest.param(
            policy(MACHINE, steps=(FIRST, RecoveryStep(action=A.REBOOT))),
            "/steps/1",
            "never reached",
            id="after-leave",
        ),
        pytest.param(
            policy(MACHINE, A.REBOOT, after_groups=("db",)), "/after_groups", "group", id="no-group"
        ),
        pytest.param(
            policy(GROUP, after_groups=("db",)),
            "/after_groups",
            "circle: core after db after app after core",
            id="circle",
        ),
        pytest.param(policy(GROUP, after_groups=("core",)), "/after_groups", "circle", id="itself"),
    ],
)
def test_what_is_wrong_is_named(given: RecoveryPolicy, pointer: str, says: str) -> None:
    others = PolicyBook(
        [
            policy(Scope(ScopeKind.GROUP, "db"), after_groups=("app", "x")),
            policy(Scope(ScopeKind.GROUP, "app"), after_groups=("core",)),
            policy(Scope(ScopeKind.GROUP, "core"), project="blue", after_groups=("db",)),
        ]
    )
    (flaw,) = flaws(given, others)
    assert flaw.pointer == pointer
    assert says in flaw.detail


def test_who_waits_for_his_own_word_does_not_count_seconds() -> None:
    (flaw,) = flaws(policy(MACHINE, A.REBOOT, after=timedelta(seconds=9)), PolicyBook())
    assert flaw.pointer == "/after"
    assert list(flaws(policy(MACHINE, A.REBOOT, A.EVACUATE, A.LEAVE), PolicyBook())) == []
    some = RecoveryStep(action=A.LEAVE, fault_type=("power",))
    assert list(flaws(policy(MACHINE, steps=(some, RecoveryStep(action=A.REBOOT))), PolicyBook())) == []
