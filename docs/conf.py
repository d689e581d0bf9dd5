"""Sphinx configuration of the site: all pages, with docs/index.md as the first.

Usage: sphinx-build -W --keep-going -b html -c docs . .build/docs     then open .build/docs/index.html
The source is the whole repository, so that links to ARCHITECTURE.md work as they do in a checkout.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.ext.napoleon.docstring import GoogleDocstring

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "auditsense"
author = "The auditsense authors"
copyright = "The auditsense authors, Apache-2.0"  # noqa: A001 - Sphinx's own name
release = importlib.metadata.version("auditsense")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "auditsense"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
root_doc = "docs/index"
INDEXES = (root_doc, "docs/adr/README")
LINK = re.compile(r"\[([^]\n]+)\]\(([\w./-]+)\)")
FIRST = """
```{toctree}
:hidden:

Overview <../README.md>
```
"""
LAST = """
```{toctree}
:hidden:
:caption: Project

../CONTRIBUTING.md
../CHANGELOG.md
```
"""
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [f"{path.name}/**" for path in ROOT.iterdir() if path.is_dir() and path.name != "docs"]
myst_heading_anchors = 4  # as GitHub makes them
default_role = "code"  # `name` in a docstring is code
nitpicky = False  # most types are imported for type checkers only, so not every name can be linked
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 90  # longer ones have a line per parameter
autodoc_default_options = {"members": True, "inherited-members": "Exception,StrEnum,IntEnum,int,str"}


def _attribute(docstring: GoogleDocstring) -> tuple[str, list[str]]:
    """Return an attribute's docstring unchanged: napoleon reads the words before a colon as a type."""
    lines = docstring._dedent(docstring._consume_to_end())  # noqa: SLF001 - there is no setting for it
    return "", type(docstring)(lines, docstring._config).lines()  # noqa: SLF001 - the same


GoogleDocstring._consume_inline_attribute = _attribute  # type: ignore[method-assign]  # noqa: SLF001 - the same


def _adapt(app: Sphinx, name: str, source: list[str]) -> None:
    """Make the sidebar from the links of the index, section by section, and replace links to folders."""
    folder = (ROOT / name).parent

    def page(link: re.Match[str]) -> str:
        """Lead to the page of a folder, as GitHub does; without one, keep the text alone."""
        if not (folder / link[2]).is_dir():
            return link[0]
        readme = folder / link[2] / "README.md"
        return f"[{link[1]}]({link[2].rstrip('/')}/README.md)" if readme.exists() else link[1]

    if str(app.env.doc2path(name)).endswith(".md"):
        source[0] = LINK.sub(page, source[0])
    if name not in INDEXES:
        return
    head, *sections = source[0].split("\n## ")
    contents = []
    for section in sections or [head]:
        caption = f":caption: {section.partition(chr(10))[0]}" if sections else ""
        links = [link for link in LINK.finditer(section) if link[2].endswith((".md", ".rst"))]
        pages = [f"{link[1][0].upper()}{link[1][1:]} <{link[2]}>" for link in links]
        contents.append("\n".join(["", "```{toctree}", ":hidden:", caption, "", *pages, "```", ""]))
    source[0] += "".join([FIRST, *contents, LAST] if name == root_doc else contents)


def _redirect(app: Sphinx, _: Exception | None) -> None:
    """Lead from the top of the site to the README."""
    page = '<!doctype html><title>auditsense</title><meta http-equiv="refresh" content="0; url=README.html">'
    (Path(app.outdir) / "index.html").write_text(f"{page}\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register the two functions above."""
    app.connect("source-read", _adapt)
    app.connect("build-finished", _redirect)
