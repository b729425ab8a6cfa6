"""Keeps the time of every fault, and sums it up."""
