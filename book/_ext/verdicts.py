"""The figure that shows a claim leads to the claim's entry in the ledger, as that leads to it."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from miiii_book.ledger import LEDGER

PAGE = "book/replication"


def link_claims(app: Sphinx, tree: nodes.document, page: str) -> None:
    """End the caption of each figure with links to the claims that it shows."""
    shown: dict[str, list[str]] = {}
    for claim in LEDGER:
        chapter, _, label = claim.where.partition("#")
        if page == f"book/{chapter}" and PAGE in app.env.found_docs:
            shown.setdefault(label, []).append(claim.key)
    ledger = app.builder.get_relative_uri(page, PAGE) if shown else ""
    for figure in tree.findall(nodes.figure):
        claims = [key for label in figure["ids"] for key in shown.get(label, ())]
        for caption in figure.findall(nodes.caption):
            caption.extend(_links(claims, ledger))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", link_claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _links(claims: list[str], ledger: str) -> list[nodes.Node]:
    """Return words with links: Verdicts: spike, reuse."""
    said: list[nodes.Node] = []
    for key in claims:
        said.append(nodes.Text(", " if said else " Verdicts: "))
        address: dict[str, Any] = {"refuri": f"{ledger}#claim-{key}", "internal": True}
        said.append(nodes.reference("", key.replace("-", " "), **address))
    return said + [nodes.Text(".")] if said else []
