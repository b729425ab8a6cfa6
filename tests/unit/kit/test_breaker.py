"""Who fails again and again is left alone for a while."""

from doctor.kit.breaker import Breaker, Circuit


def failing(times: int, breaker: Breaker, now: float = 0.0) -> Breaker:
    for _ in range(times):
        assert breaker.may_pass(now)
        breaker.failed(now)
    return breaker


def test_some_failures_are_nothing() -> None:
    breaker = failing(4, Breaker(failures=5))
    assert breaker.circuit is Circuit.CLOSED
    assert breaker.remaining(0.0) == 0.0


def test_an_answer_in_between_makes_the_failures_before_it_nothing() -> None:
    breaker = failing(4, Breaker(failures=5))
    breaker.succeeded()
    assert failing(4, breaker).circuit is Circuit.CLOSED


def test_after_too_many_nobody_passes_until_the_rest_is_over() -> None:
    breaker = failing(5, Breaker(failures=5, rest=5.0), now=10.0)
    assert breaker.circuit is Circuit.OPEN
    assert breaker.remaining(11.0) == 4.0
    assert not breaker.may_pass(14.9)
    assert breaker.may_pass(15.0)


def test_after_the_rest_one_tries_and_the_others_wait() -> None:
    breaker = failing(5, Breaker(failures=5, rest=5.0))
    assert breaker.may_pass(5.0)
    assert breaker.circuit is Circuit.TRYING
    assert not breaker.may_pass(5.1)
    breaker.succeeded()
    assert breaker.may_pass(5.2)
    assert breaker.remaining(5.2) == 0.0


def test_one_who_tries_in_vain_doubles_the_rest_up_to_a_limit() -> None:
    breaker = failing(5, Breaker(failures=5, rest=5.0, longest_rest=15.0))
    assert breaker.may_pass(5.0)
    breaker.failed(5.0)
    assert not breaker.may_pass(14.9)
    assert breaker.may_pass(15.0)
    breaker.failed(15.0)
    assert not breaker.may_pass(29.9)
    assert breaker.may_pass(30.0)
    breaker.failed(30.0)
    assert breaker.may_pass(45.0)


def test_one_who_tries_and_never_reports_does_not_lock_out_the_others() -> None:
    breaker = failing(5, Breaker(failures=5, rest=5.0))
    assert breaker.may_pass(5.0)
    assert not breaker.may_pass(9.9)
    assert breaker.may_pass(10.0)


def test_the_next_bad_day_begins_with_a_short_rest() -> None:
    breaker = failing(5, Breaker(failures=5, rest=5.0))
    assert breaker.may_pass(5.0)
    breaker.failed(5.0)
    assert breaker.may_pass(15.0)
    breaker.succeeded()
    failing(5, breaker, now=100.0)
    assert breaker.may_pass(105.0)


def test_one_who_asks_for_it_is_left_alone_for_so_long() -> None:
    breaker = failing(1, Breaker(failures=5, rest=5.0))
    breaker.spare(0.0, 30.0)
    assert not breaker.may_pass(29.9)
    assert breaker.may_pass(30.0)
    breaker.succeeded()
    assert breaker.may_pass(30.1)


def test_a_short_wish_does_not_shorten_a_rest() -> None:
    breaker = failing(5, Breaker(failures=5, rest=5.0))
    breaker.spare(0.0, 1.0)
    assert not breaker.may_pass(4.9)
    assert breaker.may_pass(5.0)
