"""Check a built site: links lead somewhere, nothing is fetched, figures speak, no cell failed."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

RESOURCE_TAGS = ("audio", "embed", "iframe", "img", "input", "object", "script", "source", "video")
LITERAL_TAGS = ("code", "pre", "script", "style", "textarea")  # where a backtick is one
RESOURCE_RELATIONS = {"icon", "manifest", "modulepreload", "prefetch", "preload", "stylesheet"}
FOREIGN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class Page(HTMLParser):
    """What one page offers and asks for.

    Attributes:
        anchors: Names of places that links may lead to.
        links: Addresses that a reader may follow.
        resources: Addresses that the browser fetches by itself.
        faults: What is wrong with the page by itself.
    """

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.faults: list[str] = []
        self._literal = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag offers or asks for."""
        self._literal += tag in LITERAL_TAGS
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        fetched = tag == "link" and set(values.get("rel", "").split()) & RESOURCE_RELATIONS
        if "href" in values and tag in ("a", "area", "link"):
            (self.resources if fetched else self.links).append(values["href"])
        if "traceback" in values.get("class", "").split():
            self.faults.append("a cell has failed; its traceback stands on the page")
        if tag in RESOURCE_TAGS:
            sets = [part.split()[0] for part in values.get("srcset", "").split(",") if part]
            self.resources += [values[n] for n in ("src", "data") if n in values] + sets
        text, source = values.get("alt", "").strip(), values.get("src", "an image")
        # Without an alternative text Sphinx writes the address of the image.
        if tag == "img" and (not text or Path(text).name == Path(source).name):
            self.faults.append(f"{source} has no alt text")

    def handle_endtag(self, tag: str) -> None:
        """Note where text is prose again."""
        self._literal -= tag in LITERAL_TAGS

    def handle_data(self, data: str) -> None:
        """Note marks of Markdown in prose, such as a glued value has that holds some."""
        if not self._literal and "`" in data:
            self.faults.append(f"Markdown stands there unread: {' '.join(data.split())}")


def check_site(site: Path) -> list[str]:
    """Return all faults of a site, one line each: ``page: what is wrong``."""
    site = site.resolve()
    # Below _static lie parts of the theme, not pages.
    found = [path for path in sorted(site.rglob("*.html")) if site / "_static" not in path.parents]
    if not found:
        return [f"{site}: no pages there; run make book first"]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in found}
    faults = {path: [*_addresses(path, page, pages), *page.faults] for path, page in pages.items()}
    for path in sorted(site.rglob("*.css")):
        foreign = FOREIGN_STYLE.findall(path.read_text(encoding="utf-8"))
        faults[path] = [f"{address} is fetched from another host" for address in foreign]
    return [f"{path.relative_to(site)}: {fault}" for path in faults for fault in faults[path]]


def _addresses(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for address in dict.fromkeys((*page.links, *page.resources)):
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            if parts.netloc and address in page.resources:
                yield f"{address} is fetched from another host"
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchor = unquote(parts.fragment)
        if not target.exists():
            yield f"{address} leads to a file that is not there"
        elif "=" in anchor and target.stem == "explore":
            continue  # a state of the microscope
        elif anchor and target in pages and anchor not in pages[target].anchors:
            yield f"{address} leads to a place that is not on that page"
