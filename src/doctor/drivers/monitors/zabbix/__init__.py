"""Zabbix: what its webhook pushes."""
