"""The look of the site where no stylesheet reaches: its sidebar, chapter numbers, link previews.

Chapters are numbered, and only they: the theme's way of numbering would number each heading,
figure and equation too.
"""

import html
import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from sphinx.addnodes import toctree
from sphinx.application import Sphinx

from miiii_book.site import parse_address

STORY, FOLDED = "The story", "Appendices"  # parts of the table of contents; others stand apart
PICTURE, SAYS = "share.png", "Two curves: training inputs are learned long before unseen ones"
LONGEST = 280  # characters of the description that goes with a link


def widen(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Call wide figures what the theme calls them, so that it moves its contents out of their way.

    It knows them only as divisions, so that their width stands in our stylesheet.
    """
    for figure in tree.findall(nodes.figure):
        if "wide" in figure["classes"]:
            figure["classes"].append("full-width")


def dress(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Number the page if it is a chapter, arrange its sidebar, and say what a link to it shows."""
    chapters = _chapters(app)
    if page in chapters:
        said = f'<p class="chapter-number">Chapter {chapters.index(page) + 1}</p>\n<h1>'
        context["body"] = context["body"].replace("<h1>", said, 1)
    if make := context.get("generate_toctree_html"):
        context["generate_toctree_html"] = partial(_arranged, make)
    if tree is not None:
        context["metatags"] = context.get("metatags", "") + _preview(app, page, context, tree)


def lead_on(app: Sphinx, error: Exception | None) -> None:
    """Let the address of the site, which only leads on to its front page, show what that shows."""
    page = f"{app.config.root_doc}.html"
    if error or app.builder.name != "html" or "/" not in page:
        return
    front = Path(app.outdir, page).read_text("utf-8")
    tags = re.findall(r'<title>.*</title>|<meta (?:property="og:|name="(?:desc|twitter)).*', front)
    lines = [
        '<!DOCTYPE html>', '<html lang="en">', '<meta charset="utf-8" />', *tags,
        f'<meta http-equiv="refresh" content="0; url={page}" />',
        f'<p><a href="{page}">{html.escape(app.config.html_title)}</a></p>',
    ]  # fmt: skip
    up = "../" * page.count("/")
    Path(app.outdir, "index.html").write_text("\n".join(lines).replace(up, "") + "\n", "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, to run after the theme has put its functions into the context."""
    app.connect("doctree-resolved", widen)
    app.connect("html-page-context", dress, priority=800)
    app.connect("build-finished", lead_on)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _chapters(app: Sphinx) -> list[str]:
    """Return the pages of the story, in its order."""
    parts = app.env.get_doctree(app.config.root_doc).findall(toctree)
    return [page for part in parts if part.get("caption") == STORY for _, page in part["entries"]]


def _arranged(make: Any, **options: Any) -> Any:
    """Return the theme's sidebar with the story numbered, the appendices folded, others apart."""
    made = make(**options)
    if options.get("kind") != "sidebar":
        return made
    soup = BeautifulSoup(str(made), "html.parser")
    for caption in soup.select("p.caption:has(+ ul)"):
        entries, name = caption.find_next_siblings("ul", limit=1)[0], caption.get_text()
        kind = {STORY: "story", FOLDED: "folded"}.get(name, "apart")
        part = soup.new_tag("details" if kind == "folded" else "div", attrs={"class": kind})
        caption.insert_before(part)
        part.extend([caption.extract(), entries.extract()])
        if kind == "folded":
            caption.name, caption.attrs = "summary", {"class": "caption"}
            if entries.select("li.current"):
                part["open"] = ""
        if kind == "story":
            links = entries.select("li > a")
            for number, link in enumerate(links, 1):
                link.insert(0, _tag(soup, f"{number} ", "number"))
            links[0].append(_tag(soup, " start here", "start"))
    return str(soup)


def _tag(soup: BeautifulSoup, text: str, kind: str) -> Tag:
    tag = soup.new_tag("span", attrs={"class": kind})
    tag.string = text
    return tag


def _preview(app: Sphinx, page: str, context: dict[str, Any], tree: nodes.document) -> str:
    """Return the tags that tell others what to show in the place of a link to the page.

    They want absolute addresses: of the site if it knows its own, of the picture in the
    repository if that is known; else nothing but a relative one is left.
    """
    options, base = app.config.html_theme_options, app.config.html_baseurl
    branch = options.get("repository_branch", "")
    repository = parse_address(options.get("repository_url", ""), branch)
    picture = context["pathto"](f"_static/{PICTURE}", resource=True)
    if base:
        picture = f"{base.rstrip('/')}/_static/{PICTURE}"
    elif repository:
        place = f"{repository.owner}/{repository.name}/{quote(branch, safe='')}"
        picture = f"https://raw.githubusercontent.com/{place}/book/_static/{PICTURE}"
    # The answer that a page begins with, or else its first words.
    first = max(tree.findall(nodes.paragraph), key=lambda p: "answer" in p["classes"], default=None)
    said = " ".join(first.astext().split()) if first else ""
    if len(said) > LONGEST:
        said = said[:LONGEST].rsplit(" ", 1)[0] + " …"
    tags = {
        "og:type": "article", "og:site_name": app.config.html_title,
        "og:title": app.env.titles[page].astext(), "og:description": said,
        "og:image": picture, "og:image:width": "1200", "og:image:height": "630",
        "og:image:alt": SAYS,
    }  # fmt: skip
    if base:
        tags["og:url"] = context.get("pageurl") or base
    line = '\n<meta {}="{}" content="{}" />'
    named = {"description": said, "twitter:card": "summary_large_image"}
    lines = [line.format("property", name, html.escape(text)) for name, text in tags.items()]
    return "".join(lines + [line.format("name", n, html.escape(t)) for n, t in named.items()])
