"""Monitors: where raw events come from."""
