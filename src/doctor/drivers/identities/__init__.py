"""Identity services: who else knows whose a token is."""
