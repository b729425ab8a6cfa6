"""The words of the field, as frozen data. Nothing here reads a clock, a socket or a file."""
