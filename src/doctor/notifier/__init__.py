"""Decides who is told what, in which order."""
