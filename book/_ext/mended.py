"""Mend pages where the theme and other extensions leave no other way.

Every page loads the icons twice, as a webfont in the theme's style and as a script that puts
drawings in their place; an index for a search while typing, which is switched off; the style and
script of cards and tabs, which no page may have; MathJax where the pages below have formulas and
this one has none; and the scripts of sphinx-thebe, which name a foreign host. They go. An icon in a
font is a letter to a screen reader: it is hidden from it.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ICONS = "fontawesome.js"
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
DESIGN = ("sphinx-design.min.css", "design-tabs.js")
MATHS = ("mathjax/startup.js",)
SPOKEN = {
    # It would be read in the place of what stands there: "Show code cell source".
    ' aria-label="Toggle hidden content"': "",
    # Deprecated in DPUB-ARIA 1.1, and no child that the list around it may have.
    'role="doc-biblioentry"': 'role="listitem"',
}


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Take everything of thebe's out of what a page loads, and replace labels and roles."""
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if not _of_thebe(file)]
    for wrong, right in SPOKEN.items():
        context["body"] = context.get("body", "").replace(wrong, right)


def finished(text: str, *, searches: bool) -> str:
    """Return a page without the files that it does not use, its icons for the eye alone.

    Args:
        text: The page in HTML.
        searches: Whether it is the page that searches.
    """
    designed = re.search(r'class="(?:[^"]* )?sd-', text)
    counted = re.search(r'class="(?:[^"]* )?math[ "]', text)
    unused = (ICONS, *(() if searches else SEARCH), *(() if designed else DESIGN))
    unused += () if counted else MATHS
    address = rf'"[^"]*/(?:{"|".join(map(re.escape, unused))})(?:\?[^"]*)?"'
    text = re.sub(rf"<script[^>]* src={address}[^>]*></script>\s*", "", text)
    text = re.sub(rf"<link[^>]* href={address}[^>]*>\s*", "", text)
    return re.sub(r'<i (class="[^"]*\bfa-)', r'<i aria-hidden="true" \1', text)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Mend every page that was written."""
    site = Path(app.outdir)
    for page in site.rglob("*.html") if app.builder.format == "html" and not error else ():
        if site / "_static" not in page.parents:
            searches = page == site / "search.html"
            page.write_text(finished(page.read_text("utf-8"), searches=searches), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, to run after the extensions that add files."""
    app.connect("html-page-context", mend, priority=900)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _of_thebe(file: Any) -> bool:
    said = f"{file} {getattr(file, 'attributes', {}).get('body', '')}"
    return "thebe" in said.lower()
