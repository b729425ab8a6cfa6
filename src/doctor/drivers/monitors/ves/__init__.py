"""VES, the event streaming of ONAP: what its agents push."""
