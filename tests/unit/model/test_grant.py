"""Which role of a cloud gives which one in Doctor."""

from datetime import UTC, datetime

import pytest

from doctor.model.grant import DEFAULT_RULES, SYSTEM, Grant, RoleRule, identity_of, parse_rule
from doctor.model.identity import Identity, Role

EXPIRES = datetime(2026, 3, 4, tzinfo=UTC)


def grant(*roles: str, scope: str | None = "p-1") -> Grant:
    return Grant(user="ann@Default", scope=scope, roles=frozenset(roles), expires=EXPIRES)


@pytest.mark.requirement("B20")
@pytest.mark.parametrize(
    ("granted", "role", "project"),
    [
        pytest.param(grant("member", "reader"), Role.CONSUMER, "p-1", id="a-member-owns-the-project"),
        pytest.param(grant("admin", "member"), Role.ADMIN, None, id="an-admin-first-of-all"),
        pytest.param(grant("admin", scope=SYSTEM), Role.ADMIN, None, id="an-admin-of-the-system"),
        pytest.param(grant("reader", scope=SYSTEM), Role.AUDITOR, None, id="a-reader-of-the-system"),
        pytest.param(grant("reader"), None, None, id="a-reader-of-a-project-may-not-subscribe"),
        pytest.param(grant("member", scope=SYSTEM), None, None, id="the-system-owns-nothing"),
        pytest.param(grant("admin", "member", scope=None), None, None, id="a-token-for-nothing"),
        pytest.param(grant(), None, None, id="no-roles"),
    ],
)
def test_without_rules_the_roles_mean_what_they_usually_do(
    granted: Grant, role: Role | None, project: str | None
) -> None:
    wanted = None if role is None else Identity(name="ann@Default", role=role, project=project)
    assert identity_of(granted, DEFAULT_RULES) == wanted


def test_the_first_rule_that_fits_counts() -> None:
    rules = [parse_rule("watcher", Role.MONITOR), parse_rule("member", Role.CONSUMER)]
    assert identity_of(grant("member", "watcher"), rules) == Identity(name="ann@Default", role=Role.MONITOR)
    consumer = Identity(name="ann@Default", role=Role.CONSUMER, project="p-1")
    assert identity_of(grant("member"), rules) == consumer


def test_a_role_can_be_asked_for_in_one_project_only() -> None:
    rules = [parse_rule("admin@p-ops", Role.OPERATOR)]
    assert identity_of(grant("admin"), rules) is None
    operator = Identity(name="ann@Default", role=Role.OPERATOR)
    assert identity_of(grant("admin", scope="p-ops"), rules) == operator


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param("Admin", RoleRule(cloud_role="admin", role=Role.ADMIN), id="case-means-nothing"),
        pytest.param(
            "admin@system", RoleRule(cloud_role="admin", where=SYSTEM, role=Role.ADMIN), id="of-the-system"
        ),
        pytest.param(
            "ops@0A", RoleRule(cloud_role="ops", where="0A", role=Role.ADMIN), id="ids-are-as-they-are"
        ),
    ],
)
def test_a_rule_is_a_role_and_where_it_is_held(text: str, rule: RoleRule) -> None:
    assert parse_rule(text, Role.ADMIN) == rule


@pytest.mark.parametrize(
    ("text", "role", "words"),
    [
        pytest.param("", Role.ADMIN, "write ROLE", id="nothing"),
        pytest.param("@system", Role.ADMIN, "write ROLE", id="no-role"),
        pytest.param("admin@", Role.ADMIN, "write ROLE", id="nowhere"),
        pytest.param("member@system", Role.CONSUMER, "the system has none", id="a-consumer-of-nothing"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, role: Role, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_rule(text, role)
