"""How Sphinx makes the documentation: `make docs` writes the generated pages, then the HTML."""

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))[
    "project"
]

project = _PROJECT["name"]
release = _PROJECT["version"]
html_title = f"{project} {release}"
html_theme = "furo"
html_show_copyright = False
extensions = ["myst_parser"]
myst_heading_anchors = 3  # a page can link to methods.md#el2n
smartquotes = False  # two hyphens begin an option
