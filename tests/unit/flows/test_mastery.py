"""Each resource has one master, however many controllers tell of it."""

from doctor.flows.mastery import Mastery
from doctor.model.map_news import MapDelta
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap

TIE = Relation("disk", "attaches", "vm")


def news(cloud: str, host: str = "compute-1") -> MapDelta:
    return MapDelta(
        physical=(PhysicalResource(id=host, cloud=cloud),),
        virtual=(
            VirtualResource(id="vm", owner="red", cloud=cloud, host=host),
            VirtualResource(id="disk", type="virtual storage", owner="red", cloud=cloud),
        ),
        related=(TIE,),
    )


class Site:
    """Two controllers, and the map that they keep."""

    def __init__(self, *controllers: str) -> None:
        self.mastery = Mastery(controllers or ("east", "west"))
        self.resources = ResourceMap()

    def says(self, controller: str, delta: MapDelta) -> None:
        self.resources.apply(self.mastery.settled(controller, delta, self.resources))

    def masters(self) -> dict[str, str | None]:
        return {
            **{name: one.cloud for name, one in self.resources.physical.items()},
            **{name: one.cloud for name, one in self.resources.virtual.items()},
        }


def test_one_controller_says_all_there_is() -> None:
    site = Site("east")
    delta = news("east")
    assert site.mastery.settled("east", delta, site.resources) is delta


def test_controllers_with_nothing_in_common_do_not_meet() -> None:
    site = Site()
    site.says("east", news("east"))
    site.says("west", MapDelta(physical=(PhysicalResource(id="w-1", cloud="west"),)))
    assert site.masters() == {"compute-1": "east", "vm": "east", "disk": "east", "w-1": "west"}
    assert site.mastery.trouble("east") == site.mastery.trouble("west") == ""


def test_who_came_first_keeps_a_resource_and_the_other_is_told() -> None:
    site = Site()
    site.says("east", news("east"))
    site.says("west", news("west", "w-1"))
    assert site.masters() == {"compute-1": "east", "vm": "east", "disk": "east", "w-1": "west"}
    assert site.resources.virtual["vm"].host == "compute-1"
    assert site.mastery.trouble("east") == ""
    assert site.mastery.trouble("west").startswith("2 resources are another controller's already, 'disk'")


def test_what_another_one_takes_away_stays() -> None:
    site = Site()
    site.says("east", news("east"))
    site.says("west", news("west"))
    site.says("west", MapDelta(gone=("vm", "disk", "compute-1"), unrelated=(TIE,)))
    assert set(site.masters().values()) == {"east"}
    assert list(site.resources.relations) == [TIE]
    assert site.mastery.trouble("west") == ""


def test_what_the_master_has_no_more_is_the_other_ones() -> None:
    site = Site()
    site.says("east", news("east"))
    site.says("west", news("west"))
    site.says("east", MapDelta(gone=("compute-1", "vm", "disk"), unrelated=(TIE,)))
    assert site.masters() == {"compute-1": "west", "vm": "west", "disk": "west"}
    assert site.resources.virtual["vm"].host == "compute-1"
    assert list(site.resources.relations) == [TIE]
    assert site.mastery.trouble("west") == ""


def test_what_a_controller_that_is_no_more_has_brought_is_free() -> None:
    site = Site()
    site.resources.apply(news("north"))
    site.says("west", news("west"))
    assert set(site.masters().values()) == {"west"}


def test_what_is_free_again_is_not_set_aside_any_more() -> None:
    site = Site()
    site.says("east", news("east"))
    site.says("west", news("west"))
    site.resources.apply(MapDelta(gone=("compute-1", "vm", "disk")))
    site.says("west", news("west"))
    assert set(site.masters().values()) == {"west"}
    assert site.mastery.trouble("west") == ""
