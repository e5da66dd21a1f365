"""Mend finished pages where the templates of the theme leave no other way.

Every page loads the icons twice, as a webfont in the theme's style and as a script that puts
drawings in their place; an index for a search while typing, which is switched off; and the style
and script of cards and tabs, which no page may have. They go, half of what a first visit would
read. An icon in a font is a letter to a screen reader, and what it means its button says already:
it is hidden from it.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ICONS = "fontawesome.js"
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
DESIGN = ("sphinx-design.min.css", "design-tabs.js")


def finished(text: str, *, searches: bool) -> str:
    """A page without the files that it does not use, its icons for the eye alone.

    Args:
        text: of the page, in HTML.
        searches: whether it is the page that searches.
    """
    designed = re.search(r'class="(?:[^"]* )?sd-', text)
    unused = (ICONS, *(() if searches else SEARCH), *(() if designed else DESIGN))
    address = rf'"[^"]*/(?:{"|".join(map(re.escape, unused))})(?:\?[^"]*)?"'
    text = re.sub(rf"<script[^>]* src={address}[^>]*></script>\s*", "", text)
    text = re.sub(rf"<link[^>]* href={address}[^>]*>\s*", "", text)
    return re.sub(r'<i (class="[^"]*\bfa-)', r'<i aria-hidden="true" \1', text)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Mend every page that was written."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for page in site.rglob("*.html"):
        if site / "_static" not in page.parents:
            searches = page == site / "search.html"
            page.write_text(finished(page.read_text("utf-8"), searches=searches), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
