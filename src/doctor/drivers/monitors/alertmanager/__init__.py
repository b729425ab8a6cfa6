"""Prometheus and Alertmanager: what they push."""
