"""The doors to the outside as the flows see them: small protocols in our own words."""
