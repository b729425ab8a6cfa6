"""The bugs that are planted: each would let a machine run twice, or a healthy host be cut off, in some order of events."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Bugs:
    """Which of them are in."""

    trusts_the_answer: bool = False
    one_sensor: bool = False
    evacuates_early: bool = False
    on_before_reconciliation: bool = False
    ignores_life: bool = False
    ignores_fallen: bool = False
    impatient: bool = False
    silence_is_off: bool = False
    unguarded: bool = False
    commands_first: bool = False
    no_deadline: bool = False
    returns_at_once: bool = False
    repeats_blindly: bool = False
    forgets_the_fallen: bool = False
    cuts_on: bool = False
    widens_unasked: bool = False
    rack_on_before_its_hosts: bool = False
    isolated_while_coming_back: bool = False


SOUND = Bugs()
BUGS = {field.name: Bugs(**{field.name: True}) for field in fields(Bugs)}
