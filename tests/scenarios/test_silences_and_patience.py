"""Silences beside all else that keeps something back: groups, hosts to be isolated, other maps; and the VIM."""

from doctor.model.resource import Isolation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Audience, SilenceMatcher
from doctor.model.subscription import Aggregate, When
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.nfvi import FAULTS, small_nfvi
from tests.scenarios.test_patience import STANDBYS, pool
from tests.scenarios.test_vim_and_corrections import VIM, vim_down

EVERYBODY = Audience.EVERYBODY


def test_what_is_silenced_does_not_count_in_a_group_until_the_silence_is_over() -> None:
    story = Scenario(pool())
    story.at(0.0).subscribe("vnfm", project="red", aggregate=STANDBYS)
    story.at(0.5).silence("vm-1", project="red", until=50.0)
    for second, host in ((1.0, "compute-1"), (2.0, "compute-2"), (3.0, "compute-3")):
        story.at(second).push(host_down(host))
    story.want("vnfm").between(50.0, 50.5).gets("vm-1 is error", "vm-2 is error", "vm-3 is error")
    story.play(until=90.0)


def test_who_subscribes_to_a_group_in_the_silence_hears_of_it_when_it_is_over() -> None:
    story = Scenario(pool())
    story.at(0.5).silence("vm-1", project="red", until=50.0)
    for second, host in ((1.0, "compute-1"), (2.0, "compute-2"), (3.0, "compute-3")):
        story.at(second).push(host_down(host))
    story.at(10.0).subscribe(
        "vnfm", project="red", aggregate=Aggregate(group="vnf", role="STBY", more_than=2)
    )
    story.want("vnfm").between(50.0, 50.5).gets("vm-1 is error", "vm-2 is error", "vm-3 is error")
    story.play(until=90.0)


def test_what_waits_for_a_host_waits_for_the_silence_too() -> None:
    """It was to be told when the host is isolated, and that happens in the silence."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).silence("vm-1", project="red", until=50.0)
    story.at(10.0).isolate("compute-1", Isolation.ISOLATED)
    story.want("patient").between(50.0, 50.5).gets("vm-1 is error")
    story.at(60.0).push(host_up("compute-1"))
    story.want("patient").between(60.0, 60.5).gets_clear("vm-1 is normal")
    story.play(until=90.0)


def test_what_is_silenced_waits_for_its_host_behind_the_silence() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("patient", project="red", when=When.ISOLATED)
    story.at(1.0).silence("vm-1", project="red", until=50.0)
    story.at(2.0).push(host_down("compute-1"))
    story.at(70.0).isolate("compute-1", Isolation.ISOLATED)
    story.want("patient").between(70.0, 70.5).gets("vm-1 is error")
    story.play(until=90.0)


def without_vm_1() -> ResourceMap:
    before = small_nfvi()
    left = [one for one in before.virtual.values() if one.id != "vm-1"]
    return ResourceMap(before.physical.values(), [*left, VirtualResource(id="vm-9", owner="red")])


def test_a_correction_is_told_to_whoever_was_told_what_it_corrects() -> None:
    """[I-24] In a silence as well, and to nobody else."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("noc", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).silence("compute-1", until=50.0)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).silence("vm-1", project="red", until=50.0)
    story.at(4.0).load(without_vm_1())
    story.want("vnfm-red").between(2.0, 2.5).gets("vm-1 is error")
    story.want("vnfm-red").between(4.0, 4.5).gets_correction("vm-1 is normal")
    story.want("noc").between(50.0, 50.5).gets("compute-1 is down", "vm-3 is error")
    story.play(until=90.0)


def test_a_list_told_anew_leaves_out_what_was_never_told() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-2"))
    story.at(2.0).silence("vm-*", project="red", until=50.0, everything=True)
    story.at(3.0).push(host_down("compute-1"))
    story.at(4.0).rebuild_list()
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-2 is error")
    story.want("vnfm-red").between(4.0, 4.5).gets_list("vm-2 is error")
    story.want("vnfm-red").between(50.0, 50.5).gets("vm-1 is error")
    story.play(until=90.0)


def test_a_failure_of_the_vim_can_be_silenced_for_everybody_or_for_the_administrator() -> None:
    story = Scenario(small_nfvi())
    for name, project in (("red", "red"), ("noc", None)):
        story.at(0.0).subscribe(name, project=project, asked=VIM)
    vim = SilenceMatcher(fault_type=("VIM service failure",))
    story.at(1.0).silence(until=50.0, matcher=vim, name="his")
    story.at(2.0).push(vim_down())
    story.want("red").between(2.0, 2.5).gets_vim("nova-api is major")
    story.want("noc").between(50.0, 50.5).gets_vim("nova-api is major")
    story.at(60.0).push(vim_down(status="up"))
    for name in ("red", "noc"):
        story.want(name).between(60.0, 60.5).gets_vim("nova-api is cleared")
    story.at(61.0).silence(until=100.0, matcher=vim, audience=EVERYBODY, name="all")
    story.at(62.0).push(vim_down())
    for name in ("red", "noc"):
        story.want(name).between(100.0, 100.5).gets_vim("nova-api is major")
    story.play(until=120.0)
