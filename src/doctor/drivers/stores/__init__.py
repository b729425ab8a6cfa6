"""Stores: where state outlives the process."""
