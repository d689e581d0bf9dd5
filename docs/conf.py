"""Sphinx configuration of the API reference. `sphinx-build -W -b html docs .build/docs`."""

from __future__ import annotations

import importlib.metadata

from sphinx.ext.napoleon.docstring import GoogleDocstring

project = "auditsense"
author = "The auditsense authors"
copyright = "The auditsense authors, Apache-2.0"  # noqa: A001 - Sphinx's own name
release = importlib.metadata.version("auditsense")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"auditsense {release}"
master_doc = "api"
exclude_patterns = ["adr"]
default_role = "code"  # `name` in a docstring is code
nitpicky = False  # most types are imported for type checkers only, so not every name can be linked
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "inherited-members": "Exception,StrEnum,IntEnum,int,str"}


def _attribute(docstring: GoogleDocstring) -> tuple[str, list[str]]:
    """Return an attribute's docstring unchanged: napoleon reads the words before a colon as a type."""
    lines = docstring._dedent(docstring._consume_to_end())  # noqa: SLF001 - there is no setting for it
    return "", type(docstring)(lines, docstring._config).lines()  # noqa: SLF001 - the same


GoogleDocstring._consume_inline_attribute = _attribute  # type: ignore[method-assign]  # noqa: SLF001 - the same
