"""Decides how hosts are emptied: what becomes of each machine, when a host is free, when it never will be."""
