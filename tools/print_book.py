"""Print the built site into one PDF, chapters in order, with bookmarks and working links.

python -m tools.print_book [--all] [FILE]

That is the front page and the story, without code; with --all every page, and the code that is
open on it.
"""

import argparse
import base64
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit
from selenium.webdriver import Chrome
from sphinx_external_toc.parsing import parse_toc_yaml

from .browser import ROOT, Missing, chromium, command, find_pages, show

FILES = {False: ROOT / "_build" / "miiii-book.pdf", True: ROOT / "_build" / "miiii-book-all.pdf"}
STORY = "The story"  # caption of its part in the table of contents
NO_CODE = """
const style = document.createElement("style");
style.textContent = ".cell_input { display: none !important }";
document.head.append(style);
"""
LAYOUT = {
    "marginTop": 0.7, "marginBottom": 0.7, "marginLeft": 0.9, "marginRight": 0.9,
    "paperWidth": 8.27, "paperHeight": 11.69,  # A4, in inches
    "printBackground": True, "generateTaggedPDF": True, "generateDocumentOutline": True,
}  # fmt: skip
HEADINGS = """
return [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => {
  const copy = heading.cloneNode(true);
  copy.querySelectorAll(".headerlink").forEach((link) => link.remove());
  return copy.textContent.trim().replace(/\\s+/g, " ");
});
"""
SHOWS = re.compile(rb"\s(?:Tj|TJ|Do)\s")  # operators that set words or draw a picture


class Printed(NamedTuple):
    """A page of the site on paper: its sheets with an outline, and its headings by their letters.

    In Chromium's outline words run together where a line ends.
    """

    document: PdfReader
    headings: Mapping[str, str]

    def heading(self, title: str) -> str:
        """Return what a title of Chromium's outline says; what was moved on it says twice."""
        letters = _letters(title)
        for end, heading in self.headings.items():
            if letters.endswith(end) and end.startswith(letters.removesuffix(end)):
                return heading
        return title


def main() -> int:
    """Write the PDF and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every page, code included")
    parser.add_argument("file", type=Path, nargs="?")
    asked = parser.parse_args()
    file = asked.file or FILES[asked.all]
    try:
        pages = find_pages()
        names = pages if asked.all else story(ROOT)
        with chromium() as chrome:
            printed = {pages[name]: print_page(chrome, pages[name], asked.all) for name in names}
    except Missing as error:
        print(error, file=sys.stderr)
        return 1
    joined(printed).write(file)
    sheets = PdfReader(file).pages
    print(f"{file}: {len(sheets)} sheets")
    contents = [sheet.get_contents() for sheet in sheets]
    empty = [n for n, c in enumerate(contents, 1) if c is None or not SHOWS.search(c.get_data())]
    if empty:
        print(f"sheets without words or pictures: {empty}", file=sys.stderr)
    return 1 if empty else 0


def story(root: Path) -> list[str]:
    """Return the names of the front page and of the chapters."""
    table = parse_toc_yaml(root / "_toc.yml").root
    parts = [part for part in table.subtrees if part.caption == STORY]
    return [table.docname] + [str(page) for part in parts for page in part.items]


def print_page(chrome: Chrome, page: Path, code: bool) -> Printed:
    """Print one page of the site, in light, with the code that is open on it or without."""
    show(chrome, page)
    if not code:
        chrome.execute_script(NO_CODE)
    headings = {_letters(heading): heading for heading in chrome.execute_script(HEADINGS)}
    taken = command(chrome, "Page.printToPDF", **LAYOUT)
    return Printed(PdfReader(io.BytesIO(base64.b64decode(taken["data"]))), headings)


def joined(printed: Mapping[Path, Printed]) -> PdfWriter:
    """Join all documents, each with its outline, links between them leading inside."""
    writer, starts = PdfWriter(), {}
    for page, sheets in printed.items():
        starts[page] = len(writer.pages)
        writer.append(sheets.document, import_outline=False)
        _add_outline(writer, sheets, sheets.document.outline, starts[page])
    writer.add_metadata({"/Title": "miiii, the book"})
    for number in range(len(writer.pages)):
        _turn_links_inwards(writer, number, starts)
    return writer


def _add_outline(
    writer: PdfWriter, sheets: Printed, items: list[Any], start: int, parent: Any = None
) -> None:
    """Add the items of an outline, a list following the item that it belongs to."""
    last = parent
    for item in items:
        if isinstance(item, list):
            _add_outline(writer, sheets, item, start, last)
        else:
            number = start + (sheets.document.get_destination_page_number(item) or 0)
            last = writer.add_outline_item(
                title=sheets.heading(str(item.title)), page_number=number, parent=parent,
                fit=Fit.xyz(left=item.left, top=item.top),
            )  # fmt: skip


def _turn_links_inwards(writer: PdfWriter, number: int, starts: Mapping[Path, int]) -> None:
    """Let the links of a sheet that open a page of the site on disk lead to it in the document."""
    annotations = writer.pages[number].get("/Annots", [])
    for index, reference in reversed(list(enumerate(annotations))):
        address = urlsplit(str(reference.get_object().get("/A", {}).get("/URI", "")))
        if address.scheme == "file":
            rectangle = reference.get_object()["/Rect"]
            del annotations[index]
            start = starts.get(Path(unquote(address.path)))
            if start is not None:
                link = Link(rect=rectangle, target_page_index=start, fit=Fit.fit())
                writer.add_annotation(number, link)


def _letters(title: str) -> str:
    """Return a text without its spaces."""
    return "".join(title.split())


if __name__ == "__main__":
    sys.exit(main())
