"""Whether the machines of a host would find room elsewhere: it is no use to cut a host off for that, if they would not."""

from collections.abc import Sequence

from doctor.model.resource import VirtualResource


def shortage(machines: Sequence[VirtualResource], vcpus: int, memory_mb: int) -> str | None:
    """Say what machines miss in what is left elsewhere, or None. Those of the highest level have to fit; sizes unknown do.

    It is a sum over all hosts: who will place them has the last word.
    """
    if not machines:
        return None
    first = min(one.sal_rank for one in machines)
    needed = [one for one in machines if one.sal_rank == first]
    wanted_vcpus = sum(one.vcpus or 0 for one in needed)
    wanted_memory = sum(one.memory_mb or 0 for one in needed)
    missing = []
    if wanted_vcpus > vcpus:
        missing.append(f"{wanted_vcpus} vcpus are needed and {vcpus} left")
    if wanted_memory > memory_mb:
        missing.append(f"{wanted_memory} MB are needed and {memory_mb} left")
    return ", ".join(missing) or None
