"""`doctor bench`: how fast this machine runs Doctor, beside the least that the same work costs on it."""
