"""The buttons of an executed chapter lead to what it was made from, not to the executed copy.

They offer its source and its notebook for download, and where the repository's address is known,
edit the source and open the notebook on Colab and Binder.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from sphinx.application import Sphinx

from miiii_book.site import DOWNLOADS, NOTEBOOKS, Repository, parse_address


def name_sources(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Tell the theme, before it makes its buttons, which files it is to offer."""
    if _offered(app, page, ".md"):
        context |= {"page_source_suffix": ".md", "sourcename": f"{page}.md"}
    if _offered(app, page, ".ipynb"):
        context["ipynb_source"] = f"{page}.ipynb"


def add_launchers(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Add the buttons for Colab and Binder, of which the theme's would open the executed copy."""
    options = app.config.html_theme_options
    repository = parse_address(
        options.get("repository_url", ""), options.get("repository_branch", "")
    )
    if repository and _offered(app, page, ".ipynb"):
        context["header_buttons"].insert(0, _launchers(repository, Path(page).name))
    if _offered(app, page, ".md"):
        context["sourcename"] = ""  # else Sphinx would copy the executed page to that name


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx: before the theme's own buttons, which come at 501, and after them."""
    app.connect("html-page-context", name_sources, priority=499)
    app.connect("html-page-context", add_launchers, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _offered(app: Sphinx, page: str, suffix: str) -> bool:
    return Path(app.confdir, DOWNLOADS, "_sources", f"{page}{suffix}").is_file()


def _launchers(repository: Repository, name: str) -> dict[str, Any]:
    notebook, branch = f"{NOTEBOOKS}/{name}.ipynb", quote(repository.branch, safe="")
    place = f"{repository.owner}/{repository.name}"
    colab = f"https://colab.research.google.com/github/{place}/blob/{branch}/{notebook}"
    binder = f"https://mybinder.org/v2/gh/{place}/{branch}?urlpath=lab/tree/{notebook}"
    return {
        "type": "group",
        "label": "launch-buttons",
        "icon": "fas fa-rocket",
        "tooltip": "Run this chapter",
        "buttons": [
            _link("Colab", colab, "_static/images/logo_colab.png"),
            _link("Binder", binder, "_static/images/logo_binder.svg"),
        ],
    }


def _link(text: str, url: str, icon: str) -> dict[str, str]:
    return {"type": "link", "text": text, "url": url, "icon": icon, "tooltip": f"Open on {text}"}
