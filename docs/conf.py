"""How Sphinx builds the documentation: `make docs`."""

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "Doctor"
author = "The Doctor developers"
copyright = author
release = version = _project["version"]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"Doctor {release}"
html_show_sphinx = False
html_copy_source = False
