"""One suite per port: every driver passes it."""
