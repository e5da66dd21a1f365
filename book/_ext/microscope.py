"""The directive ``microscope``: views of a trained network that a reader can touch.

Pages that hold one load the scripts, and the weights when a view is seen; no other page does.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

from miiii_book import explore
from miiii_core import runs

RUNS = ("miiii", "miiii-fast")  # shown on the site, the first unless an address says otherwise
PAGE = "book/explore"
PLACE = "microscope"  # folder below _static
_laid: set[Path] = set()  # folders that hold what pages load


class view(nodes.General, nodes.Element):
    """A place where views come."""


class Microscope(SphinxDirective):
    """``{microscope} ask``, with a ``state`` such as ``n=7919&q=97``."""

    required_arguments, final_argument_whitespace = 1, True
    option_spec = {"state": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the place; an error for a view that there is not."""
        names = self.arguments[0].split()
        if set(names) - {"all", *explore.VIEWS}:
            known = ", ".join(explore.VIEWS)
            raise self.error(f"there is no view {self.arguments[0]}; give all, or any of {known}")
        return [view(views=" ".join(names), state=self.options.get("state", ""))]


def show(self: Any, node: view) -> None:
    """Write the container, with what it needs to find scripts and the page of all views."""
    builder, page = self.builder, self.builder.current_docname
    base = relative_uri(builder.get_target_uri(page), f"_static/{PLACE}/")
    link = ""
    if PAGE in builder.env.found_docs and page != PAGE:
        link = builder.get_relative_uri(page, PAGE) + f"#{node['state']}" * bool(node["state"])
    names = " ".join(explore.name_of(run) for run in shown_runs(builder.app))
    self.body.append(explore.container(node["views"], node["state"], base, names, link))
    raise nodes.SkipNode


def lead(app: Sphinx, tree: nodes.document) -> None:
    """Turn ``[text](explore.html#q=97)`` into a link, where MyST would look for a label."""
    for link in list(tree.findall(addnodes.pending_xref)):
        page, _, state = link["reftarget"].partition("#")
        if page == f"{Path(PAGE).name}.html" and PAGE in app.env.found_docs:
            address = app.builder.get_relative_uri(link["refdoc"], PAGE) + f"#{state}"
            link.replace_self(nodes.reference("", "", *link.children, refuri=address))


def shown_runs(app: Sphinx) -> list[runs.Run]:
    """Return the runs to show, of the book that is in or above the folder that Sphinx reads."""
    places = [folder / "book" / "runs" for folder in (app.srcdir, *app.srcdir.parents)]
    shelf = next(filter(Path.is_dir, places), places[0])
    return [runs.load(shelf / name) for name in RUNS if (shelf / name / "run.json").is_file()]


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Let a page that holds views load what they need, which is written at the first of them."""
    if tree is None or not any(tree.findall(view)):
        return
    if page == PAGE:  # where the views take the margin; a head of the page Jupyter would not keep
        context["meta"] = (context.get("meta") or {}) | {"html_theme.sidebar_secondary.remove": ""}
    found, folder = shown_runs(app), app.outdir / "_static" / PLACE
    if folder not in _laid and found:
        explore.lay_out(folder, found, found[0].folder.parents[2] / "_run" / PLACE)
        _laid.add(folder)
    for name in explore.SCRIPTS:
        app.add_js_file(f"{PLACE}/{name}.js")
    app.add_css_file(f"{PLACE}/{PLACE}.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("microscope", Microscope)
    app.add_node(view, html=(show, None))
    app.connect("doctree-read", lead)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
