"""Mend what a screen reader is told by parts that other extensions write."""

from typing import Any

from sphinx.application import Sphinx

REPAIRS = {
    # It would be read in the place of what stands there: "Show code cell source".
    ' aria-label="Toggle hidden content"': "",
    # Deprecated in DPUB-ARIA 1.1, and no child that the list around it may have.
    'role="doc-biblioentry"': 'role="listitem"',
}


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Replace labels and roles in the body of a page."""
    for wrong, right in REPAIRS.items():
        context["body"] = context.get("body", "").replace(wrong, right)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
