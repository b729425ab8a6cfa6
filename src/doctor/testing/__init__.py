"""Fakes, scenarios and contract suites, for Doctor's tests and for those of drivers."""
