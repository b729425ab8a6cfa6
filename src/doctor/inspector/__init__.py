"""Decides what is broken: RawEvent -> Fault -> what it takes down."""
