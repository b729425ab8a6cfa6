"""Zabbix: what its webhook pushes, and what its API says when it is asked."""
