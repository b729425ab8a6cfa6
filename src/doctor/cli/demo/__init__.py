"""Doctor shown at work on one machine: hosts that really fail, and owners that are told."""
