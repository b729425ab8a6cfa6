"""The fault catalogue that ships: which faults an NFVI has, how bad each is, and what to do about it [D 7].

The rows are data, in ``catalogue.yaml`` beside this file; the policy that ships is ``default-policy.yaml``.
"""

import re
from functools import cache
from importlib.resources import files

from doctor.inspector.condition_text import read_severity
from doctor.inspector.document import Document, Place
from doctor.inspector.policy_text import read_grades
from doctor.model.fault import EventType, ResourceState
from doctor.model.policy import Catalogue, CatalogueRow, ClearingRow, RecommendedAction

ROW_KEYS = (
    *("type", "fault_type", "resource", "severity", "state", "event_type", "probable_cause"),
    *("recommended_action", "detection", "repair", "cites", "grades"),
)
CLEARING_KEYS = ("type", "clears", "detection", "cites")


@cache
def default_catalogue() -> Catalogue:
    """Return the catalogue that ships."""
    return parse_catalogue(_shipped("catalogue.yaml"))


def default_policy_text(*, damping: bool = True) -> str:
    """Return the failure policy that ships, as its author wrote it.

    Without damping every change is told however often a fault comes and goes: for tests, and to measure.
    """
    text = _shipped("default-policy.yaml")
    return text if damping else re.sub(r"^damping: .*$", "damping: off", text, flags=re.MULTILINE)


def parse_catalogue(text: str) -> Catalogue:
    """Read a catalogue.

    Raises:
        RejectedError: something is wrong; every flaw is named by its place.
    """
    document = Document("the fault catalogue", text)
    top = document.top.section(("faults", "clearing"))
    clearing = [_clearing(each) for each in top.at("clearing").sections(CLEARING_KEYS)]
    rows = [_row(each, clearing) for each in top.at("faults").sections(ROW_KEYS)]
    document.finish()
    return Catalogue(rows={row.type: row for row in rows}, clearing={row.type: row for row in clearing})


def _row(section: Place, clearing: list[ClearingRow]) -> CatalogueRow:
    event_type = section.at("type").text()
    return CatalogueRow(
        type=event_type,
        fault_type=section.at("fault_type").text(),
        resource=section.at("resource").text(),
        severity=read_severity(section.at("severity")),
        state=section.at("state").word(ResourceState),
        event_type=section.at("event_type").word(EventType),
        probable_cause=section.at("probable_cause").text(),
        recommended_action=section.at("recommended_action").word(RecommendedAction),
        detection=section.at("detection").text(),
        repair=section.at("repair").text(),
        cites=_cites(section),
        grades=read_grades(section.at("grades")),
        clears_by=tuple(each.type for each in clearing if each.clears == event_type),
    )


def _clearing(section: Place) -> ClearingRow:
    return ClearingRow(
        type=section.at("type").text(),
        clears=section.at("clears").text(),
        detection=section.at("detection").text(),
        cites=_cites(section),
    )


def _cites(section: Place) -> tuple[str, ...]:
    return tuple(each.text() for each in section.at("cites").demand("where is it named?").one_or_more())


def _shipped(name: str) -> str:
    return files("doctor.inspector").joinpath(name).read_text(encoding="utf-8")
