"""The acceptance test of a running Doctor."""
