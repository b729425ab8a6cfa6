"""Settings, plug-ins, wiring and the running service."""
