"""Sphinx configuration; `make docs` builds the pages and fails on any warning."""

import re
from importlib.metadata import version as installed_version

project = "intertwine"
author = "the intertwine authors"
project_copyright = "the intertwine authors"
release = version = installed_version("intertwine")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# Cards also link to files that are no pages; tests/test_house.py checks that every link leads somewhere.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"intertwine {release}"
html_show_sphinx = False

CODE = re.compile(r"``.+?``|`[^`]+`")


def as_plain_text(app, what, name, obj, options, lines):
    """Read docstrings as this project writes them: backquotes mark code, and all else is plain text.

    Formulas such as ``|x|`` or ``a * b`` would otherwise be markup. Examples and indented blocks after ``::``
    are kept. Runs before the sections (``Args:``, ``Raises:``) are translated.
    """
    literal = None  # the indentation of the paragraph that a literal block belongs to
    for place, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith((">>>", "...", "===")):
            lines[place] = _plain(line)
        if line.rstrip().endswith("::"):
            literal = indent


def _plain(line):
    pieces, end = [], 0
    for match in CODE.finditer(line):
        pieces += [_escape(line[end : match.start()]), f"``{match[0].strip('`')}``"]
        end = match.end()
    return "".join([*pieces, _escape(line[end:])])


def _escape(text):
    return re.sub(r"([*|])|(?<=\w)(_)(?=\W|$)", r"\\\1\2", text)


def setup(app):
    """Register what autodoc needs beyond its settings."""
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)
