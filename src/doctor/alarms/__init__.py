"""Decides what becomes of alarms: raised, changed, cleared."""
