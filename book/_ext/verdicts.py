"""The figure that shows a claim leads to the claim's entry in the ledger, as that leads to it."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from miiii_core.claims import LEDGER, Claim

PAGE = "book/replication"


def link_claims(app: Sphinx, tree: nodes.document, page: str) -> None:
    """End the caption of each figure with links to the claims that it shows."""
    shown: dict[str, list[Claim]] = {}
    for claim in LEDGER:
        if page == f"book/{claim.page}" and PAGE in app.env.found_docs:
            shown.setdefault(claim.figure, []).append(claim)
    ledger = app.builder.get_relative_uri(page, PAGE) if shown else ""
    for figure in tree.findall(nodes.figure):
        claims = [claim for label in figure["ids"] for claim in shown.get(label, ())]
        for caption in figure.findall(nodes.caption):
            caption.extend(_links(claims, ledger))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", link_claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _links(claims: list[Claim], ledger: str) -> list[nodes.Node]:
    """In words: In the ledger: spike, reuse."""
    said: list[nodes.Node] = []
    for claim in claims:
        said.append(nodes.Text(", " if said else " In the ledger: "))
        address: dict[str, Any] = {"refuri": f"{ledger}#claim-{claim.key}", "internal": True}
        said.append(nodes.reference("", claim.key.replace("-", " "), **address))
    return said + [nodes.Text(".")] if said else []
