"""Masakari: what its monitors of hosts, processes and machines report."""
