"""Prometheus and Alertmanager: what they push, and what Alertmanager says when it is asked."""
