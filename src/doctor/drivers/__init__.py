"""What speaks with the outside, each behind a port."""
