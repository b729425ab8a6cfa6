"""A deterministic simulation: the production flows in a small world where everything goes wrong, by the thousand.

One number, the seed, decides all of a run: the infrastructure, what the monitors report, how consumers behave, when the
disk fails and Doctor dies, and in which order what is ready at the same moment goes on. Time is virtual. The same seed
gives the same run, to the last line of its trace. `doctor.testing.simulation.world` is the story of one run,
`doctor.testing.simulation.oracles` says what must hold, and `doctor.testing.simulation.mutants` are bugs that the
simulation has to find, or it proves nothing::

    python -m doctor.testing.simulation --seeds 1000
    python -m doctor.testing.simulation --replay 42
    python -m doctor.testing.simulation --mutants
"""
