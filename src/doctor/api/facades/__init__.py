"""Doors that answer as other services do, so that their clients can be Doctor's: translations, without a logic of their own."""
