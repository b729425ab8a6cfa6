"""Decides what fencing means: when a host is cut off, and whether it could be."""
