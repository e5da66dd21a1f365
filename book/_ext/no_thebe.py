"""Leave out the scripts of sphinx-thebe, which Jupyter Book loads whether they are used or not.

They name a foreign host, and on every page they define the same constant twice.
"""

from typing import Any

from sphinx.application import Sphinx


def drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Take everything of thebe's out of what a page loads."""
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if not _of_thebe(file)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, to run after the extensions that add files."""
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _of_thebe(file: Any) -> bool:
    said = f"{file} {getattr(file, 'attributes', {}).get('body', '')}"
    return "thebe" in said.lower()
