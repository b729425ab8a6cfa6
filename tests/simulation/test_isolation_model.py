"""[I-12 to I-17] Every order of events in a small world, with the production deciders: no machine ever runs twice."""

import os

import pytest

from doctor.testing.isolation_model.bugs import BUGS
from doctor.testing.isolation_model.search import DECEIVING, search, sites
from doctor.testing.isolation_model.world import Bmc, Site

IS_LONG = bool(os.environ.get("DOCTOR_SOAK"))
SITES = list(sites(small=not IS_LONG))
SMALL = list(sites(small=True))


def name_of(site: Site) -> str:
    liar = "" if site.liar is None else f", witness {site.liar} lies"
    dark = ", in the dark" if site.dark else ""
    return f"{site.bmc.value}{', PDU' if site.pdu else ''}{liar}{dark}"


@pytest.mark.requirement("B22")
@pytest.mark.parametrize("site", SITES, ids=name_of)
def test_every_promise_holds_whatever_happens(site: Site) -> None:
    found = search(site)
    assert found.broken is None, "\n".join((found.broken or "", *found.way))
    assert found.states > 100, "nothing has happened"


@pytest.mark.parametrize("bug", BUGS)
def test_every_planted_bug_is_found(bug: str) -> None:
    """A search that does not see a bug proves nothing about it."""
    for site in (*SMALL, *(site for site in sites() if site.liar is None)):
        found = search(site, BUGS[bug])
        if found.broken is not None:
            print(f"{bug}: {found.broken}, in {len(found.way)} steps, after {found.states} worlds")
            return
    pytest.fail(f"{bug} was not found")


@pytest.mark.parametrize("bmc", DECEIVING)
def test_what_nobody_could_find_out_is_known(bmc: Bmc) -> None:
    """A device that lies, and a host that thaws when it has been silent for long enough: told in the known weaknesses."""
    found = search(Site(bmc=bmc, late=True, offices=1, wishes=0))
    assert found.broken is not None
    assert "the host thaws" in found.way
