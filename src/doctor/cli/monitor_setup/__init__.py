"""How other people's monitors are told to report to Doctor."""
