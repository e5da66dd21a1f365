"""Check a built site: links lead somewhere, nothing is fetched, figures speak, no cell failed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

RESOURCE_TAGS = ("audio", "embed", "iframe", "img", "input", "object", "script", "source", "video")
LITERAL_TAGS = ("code", "pre", "script", "style", "textarea")  # where a backtick is one
RESOURCE_RELATIONS = ("icon", "manifest", "modulepreload", "prefetch", "preload", "stylesheet")
FOREIGN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


@dataclass
class Page(HTMLParser):
    """What one page offers and asks for.

    Attributes:
        anchors: ids that links may lead to.
        links: addresses that a reader may follow.
        resources: addresses that the browser fetches by itself.
        silent: images without a text that says what they show.
        unread: text with marks of Markdown, such as a glued value has that holds some.
        errors: whether a cell on it has failed.
    """

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    errors: bool = False
    _literal: int = 0

    def __post_init__(self) -> None:
        """Set the parser up, which a dataclass would leave out."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag offers or asks for."""
        self._literal += tag in LITERAL_TAGS
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        fetched = tag == "link" and set(values.get("rel", "").split()) & set(RESOURCE_RELATIONS)
        if "href" in values and tag in ("a", "area", "link"):
            (self.resources if fetched else self.links).append(values["href"])
        self.errors |= "traceback" in values.get("class", "").split()
        if tag == "img" and not _speaks(values):
            self.silent.append(values.get("src", "an image"))
        if tag in RESOURCE_TAGS:
            self.resources += [values[name] for name in ("src", "data") if name in values]
            self.resources += [
                part.split()[0] for part in values.get("srcset", "").split(",") if part
            ]

    def handle_endtag(self, tag: str) -> None:
        """Note where text is prose again."""
        self._literal -= tag in LITERAL_TAGS

    def handle_data(self, data: str) -> None:
        """Note marks of Markdown in prose."""
        if not self._literal and "`" in data:
            self.unread.append(" ".join(data.split()))


def check_site(site: Path) -> list[str]:
    """All faults of a site, one line each: ``page: what is wrong``."""
    site = site.resolve()
    # Below _static lie parts of the theme, not pages.
    found = [path for path in sorted(site.rglob("*.html")) if site / "_static" not in path.parents]
    if not found:
        return [f"{site}: no pages there; run make book first"]
    pages = {path: _read(path) for path in found}
    faults = {
        path: [*_broken(path, page, pages), *_foreign(page), *_contents(page)]
        for path, page in pages.items()
    } | {path: list(_foreign_styles(path)) for path in sorted(site.rglob("*.css"))}
    return [f"{path.relative_to(site)}: {fault}" for path in faults for fault in faults[path]]


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _broken(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for address in dict.fromkeys((*page.links, *page.resources)):
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchor = unquote(parts.fragment)
        if not target.exists():
            yield f"{address} leads to a file that is not there"
        elif anchor and target in pages and anchor not in pages[target].anchors:
            yield f"{address} leads to a place that is not on that page"


def _foreign(page: Page) -> Iterator[str]:
    for address in page.resources:
        if urlsplit(address).netloc:
            yield f"{address} is fetched from another host"


def _contents(page: Page) -> Iterator[str]:
    for source in page.silent:
        yield f"{source} has no alt text"
    for text in page.unread:
        yield f"Markdown stands there unread: {text}"
    if page.errors:
        yield "a cell has failed; its traceback stands on the page"


def _speaks(image: dict[str, str]) -> bool:
    """Whether an image has an alt text of its own: without one, Sphinx writes its address."""
    text = image.get("alt", "").strip()
    return bool(text) and Path(text).name != Path(image.get("src", "")).name


def _foreign_styles(path: Path) -> Iterator[str]:
    for address in FOREIGN_STYLE.findall(path.read_text(encoding="utf-8")):
        yield f"{address} is fetched from another host"
