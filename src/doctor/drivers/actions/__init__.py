"""What is done around the work on hosts: one file for each kind."""
