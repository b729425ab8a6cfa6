"""Doctor: fault management and maintenance for the infrastructure under virtual network functions."""

__version__ = "0.1.0"
