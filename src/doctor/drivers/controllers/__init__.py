"""Controllers: where the resource map comes from."""
