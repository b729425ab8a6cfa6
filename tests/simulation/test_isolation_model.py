"""[I-12 to I-17] Every order of events in a small world, with the production deciders: no machine ever runs twice."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import pytest

from doctor.testing.isolation_model.bugs import BUGS
from doctor.testing.isolation_model.search import DECEIVING, Found, search, sites
from doctor.testing.isolation_model.world import Bmc, Rack, Site

IS_LONG = bool(os.environ.get("DOCTOR_SOAK"))
SITES = list(sites(small=not IS_LONG))
SMALL = list(sites(small=True))


def name_of(site: Site) -> str:
    liar = "" if site.liar is None else f", witness {site.liar} lies"
    dark = ", in the dark" if site.dark else ""
    rack = "" if site.rack is Rack.NONE else f", rack {site.rack.value}"
    return f"{site.bmc.value}{', PDU' if site.pdu else ''}{rack}{liar}{dark}"


class Searches(NamedTuple):
    """All searches, side by side in two processes."""

    of_sites: dict[Site, Future[Found]]
    of_bugs: dict[str, Future[Found | None]]


@pytest.fixture(scope="module")
def searches() -> Iterator[Searches]:
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    yield Searches(
        {site: pool.submit(search, site) for site in SITES}, {bug: pool.submit(hunt, bug) for bug in BUGS}
    )
    pool.shutdown(cancel_futures=True)


def hunt(bug: str) -> Found | None:
    """Search one site after the other, until a planted bug is found."""
    every = (*SMALL, *(site for site in sites() if site.liar is None))
    return next((found for site in every if (found := search(site, BUGS[bug])).broken is not None), None)


@pytest.mark.requirement("B22")
@pytest.mark.parametrize("site", SITES, ids=name_of)
def test_every_promise_holds_whatever_happens(site: Site, searches: Searches) -> None:
    found = searches.of_sites[site].result()
    assert found.broken is None, "\n".join((found.broken or "", *found.way))
    assert found.states > 100, "nothing has happened"


@pytest.mark.parametrize("bug", BUGS)
def test_every_planted_bug_is_found(bug: str, searches: Searches) -> None:
    """A search that does not see a bug proves nothing about it."""
    found = searches.of_bugs[bug].result()
    assert found is not None, f"{bug} was not found"
    print(f"{bug}: {found.broken}, in {len(found.way)} steps")


@pytest.mark.parametrize("bmc", DECEIVING)
def test_what_nobody_could_find_out_is_known(bmc: Bmc) -> None:
    """A device that lies, and a host that thaws when it has been silent for long enough: told in the known weaknesses."""
    found = search(Site(bmc=bmc, late=True, offices=1, wishes=0))
    assert found.broken is not None
    assert "the host thaws" in found.way
