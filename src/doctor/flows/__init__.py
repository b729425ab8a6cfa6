"""The stories of Doctor, read from top to bottom: ask, decide, then perform."""
