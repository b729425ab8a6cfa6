"""The words of Fenix, OpenStack's rolling maintenance, as far as its clients hear or say them."""

from collections.abc import Mapping
from enum import StrEnum

from doctor.model.maintenance import Deed

SERVICE = "fenix"


class Step(StrEnum):
    """How far a session is in Fenix' workflow, and what projects are told of it."""

    MAINTENANCE = "MAINTENANCE"
    SCALE_IN = "SCALE_IN"
    PREPARE_MAINTENANCE = "PREPARE_MAINTENANCE"
    START_MAINTENANCE = "START_MAINTENANCE"
    PLANNED_MAINTENANCE = "PLANNED_MAINTENANCE"
    INSTANCE_ACTION_DONE = "INSTANCE_ACTION_DONE"
    MAINTENANCE_COMPLETE = "MAINTENANCE_COMPLETE"
    MAINTENANCE_DONE = "MAINTENANCE_DONE"
    MAINTENANCE_FAILED = "MAINTENANCE_FAILED"
    IN_MAINTENANCE = "IN_MAINTENANCE"  # of a host; MAINTENANCE_COMPLETE is its end

    @property
    def asks_for_machines(self) -> bool:
        """Tell whether it asks what is to be done to machines."""
        return self in (Step.PREPARE_MAINTENANCE, Step.PLANNED_MAINTENANCE)


ANSWERED = (  # by ACK_ or NACK_ of a project
    Step.MAINTENANCE,
    Step.SCALE_IN,
    Step.PREPARE_MAINTENANCE,
    Step.PLANNED_MAINTENANCE,
    Step.MAINTENANCE_COMPLETE,
)

ACTIONS: Mapping[Deed, str] = {
    Deed.MIGRATE: "MIGRATE",
    Deed.LIVE_MIGRATE: "LIVE_MIGRATE",
    Deed.OWN_ACTION: "OWN_ACTION",
}
# In constraints some of Fenix' documents have other words for the same.
DEEDS: Mapping[str, Deed] = {
    **{word: deed for deed, word in ACTIONS.items()},
    "MIGRATION": Deed.MIGRATE,
    "LIVE_MIGRATION": Deed.LIVE_MIGRATE,
}


def step_asking(*, moves_again: bool) -> Step:
    """Return the step in which machines leave; ``moves_again``: there is no host yet that they can stay on."""
    return Step.PREPARE_MAINTENANCE if moves_again else Step.PLANNED_MAINTENANCE
