"""Print the built site into one PDF, chapters in order, with bookmarks and working links.

python -m tools.print_book [FILE]
"""

import base64
import io
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit
from selenium.webdriver import Chrome

from .browser import ROOT, Missing, chromium, command, find_pages, show

FILE = ROOT / "_build" / "miiii-book.pdf"
PAPER = {"paperWidth": 8.27, "paperHeight": 11.69}  # A4, in inches
HEADINGS = """
return [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => {
  const copy = heading.cloneNode(true);
  copy.querySelectorAll(".headerlink").forEach((link) => link.remove());
  return copy.textContent.trim().replace(/\\s+/g, " ");
});
"""
SHOWS = re.compile(rb"\s(?:Tj|TJ|Do)\s")  # operators that set words or draw a picture
MARGINS = {f"margin{side}": 0.6 for side in ("Top", "Bottom", "Left", "Right")}


def main() -> int:
    """Write the PDF and say where it is."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    try:
        pages = find_pages()
        with chromium() as chrome:
            printed = {page: print_page(chrome, page) for page in pages.values()}
    except Missing as error:
        print(error, file=sys.stderr)
        return 1
    joined(printed).write(file)
    document = PdfReader(file)
    print(f"{file}: {len(document.pages)} sheets")
    found = faults(document, printed)
    print("".join(f"{fault}\n" for fault in found), end="", file=sys.stderr)
    return 1 if found else 0


@dataclass(frozen=True)
class Printed:
    """A page of the site on paper.

    Attributes:
        document: its sheets, with an outline of its headings.
        headings: what they say, by their letters alone.
    """

    document: PdfReader
    headings: Mapping[str, str]

    @property
    def title(self) -> str:
        """The first heading."""
        return next(iter(self.headings.values()), "")

    def heading(self, title: str) -> str:
        """What a title of Chromium's outline says.

        In it words run together where a line ends, and what was moved to the next sheet is
        said twice.
        """
        letters = _letters(title)
        for end, heading in self.headings.items():
            if letters.endswith(end) and end.startswith(letters.removesuffix(end)):
                return heading
        return title


def print_page(chrome: Chrome, page: Path) -> Printed:
    """Print one page of the site, in light."""
    show(chrome, page)
    headings = {_letters(heading): heading for heading in chrome.execute_script(HEADINGS)}
    options = {"printBackground": True, "generateTaggedPDF": True, "generateDocumentOutline": True}
    taken = command(chrome, "Page.printToPDF", **PAPER, **MARGINS, **options)
    return Printed(PdfReader(io.BytesIO(base64.b64decode(taken["data"]))), headings)


def joined(printed: Mapping[Path, Printed]) -> PdfWriter:
    """All documents in one, each with its outline, links between them leading inside."""
    writer, starts = PdfWriter(), {}
    for page, sheets in printed.items():
        starts[page] = len(writer.pages)
        writer.append(sheets.document, import_outline=False)
        _add_outline(writer, sheets, sheets.document.outline, starts[page])
    writer.add_metadata({"/Title": "miiii, the book"})
    for number in range(len(writer.pages)):
        _turn_links_inwards(writer, number, starts)
    return writer


def faults(document: PdfReader, printed: Mapping[Path, Printed]) -> list[str]:
    """What is wrong with the joined document, a line for each.

    Every page of the site is one entry of the outline, by its title, at its first sheet; every
    sheet has words or a picture; none is lost.
    """
    found, expected, start = [], [], 0
    for sheets in printed.values():
        expected.append((sheets.title, start))
        start += len(sheets.document.pages)
    if len(document.pages) != start:
        found.append(f"{len(document.pages)} sheets where {start} were printed")
    tops = [item for item in document.outline if not isinstance(item, list)]
    entries = [(str(item.title), document.get_destination_page_number(item)) for item in tops]
    if entries != expected:
        found.append(f"the outline has {entries}, where the pages are {expected}")
    for number, sheet in enumerate(document.pages, start=1):
        contents = sheet.get_contents()
        if contents is None or not SHOWS.search(contents.get_data()):
            found.append(f"sheet {number} is empty")
    return found


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
            place = Fit.xyz(left=item.left, top=item.top)
            title = sheets.heading(str(item.title))
            last = writer.add_outline_item(
                title=title, page_number=number, parent=parent, fit=place
            )


def _letters(title: str) -> str:
    """A text without its spaces."""
    return "".join(title.split())


def _turn_links_inwards(writer: PdfWriter, number: int, starts: Mapping[Path, int]) -> None:
    """Let the links of a sheet that open a page of the site on disk lead to it in the document."""
    annotations = writer.pages[number].get("/Annots", [])
    for index, reference in reversed(list(enumerate(annotations))):
        address = urlsplit(str(reference.get_object().get("/A", {}).get("/URI", "")))
        if address.scheme != "file":
            continue
        rectangle = reference.get_object()["/Rect"]
        del annotations[index]
        start = starts.get(Path(unquote(address.path)))
        if start is not None:
            link = Link(rect=rectangle, target_page_index=start, fit=Fit.fit())
            writer.add_annotation(number, link)


if __name__ == "__main__":
    sys.exit(main())
