"""``python -m doctor``: the same as the command ``doctor``."""

from doctor.cli.main import main

main()
