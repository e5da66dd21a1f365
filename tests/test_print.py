"""The tools that use a browser: what they say without one, and how printed pages are joined."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import DecodedStreamObject, NameObject

from tools import browser, print_book, screenshots

FIRST, SECOND = Path("/site/first page.html"), Path("/site/second.html")


def printed(file, titles, links=()):
    """A document with a sheet and an outline item for each title, and links on the first sheet."""
    writer = PdfWriter()
    for number, title in enumerate(titles):
        writer.add_blank_page(width=200, height=200)
        writer.add_outline_item(title=title, page_number=number)
    for address in links:
        writer.add_annotation(0, Link(rect=(0, 0, 9, 9), url=address))
    writer.write(file)
    return PdfReader(file)


@pytest.fixture
def book(tmp_path):
    links = [SECOND.as_uri() + "#there", "https://arxiv.org", "file:///site/gone.html"]
    first = printed(tmp_path / "1.pdf", ["Onetwo", "ThreeThree"], links)
    second = printed(tmp_path / "2.pdf", ["Four"], [FIRST.as_uri()])
    headings = {"Onetwo": "One two", "Three": "Three"}
    both = {
        FIRST: print_book.Printed(first, headings),
        SECOND: print_book.Printed(second, {}),
    }
    print_book.joined(both).write(tmp_path / "book.pdf")
    return PdfReader(tmp_path / "book.pdf")


def test_the_outline_goes_through_all_pages_in_order(book):
    found = [(item.title, book.get_destination_page_number(item)) for item in book.outline]
    assert found == [("One two", 0), ("Three", 1), ("Four", 2)]


def test_links_between_pages_lead_inside_and_those_to_the_web_stay(book):
    places = {page.indirect_reference.idnum: n for n, page in enumerate(book.pages)}
    found = []
    for number in (0, 2):
        for reference in book.pages[number]["/Annots"]:
            link = reference.get_object()
            to = link["/A"]["/URI"] if "/A" in link else places[link["/Dest"][0].idnum]
            found.append((number, to))
    assert sorted(found, key=str) == [(0, "https://arxiv.org"), (0, 2), (2, 0)]


def sheets(file, contents, outline=()):
    """A document of sheets with these contents, and an outline of (title, number of its sheet)."""
    writer = PdfWriter()
    for content in contents:
        stream = DecodedStreamObject()
        stream.set_data(content)
        page = writer.add_blank_page(width=200, height=200)
        if content:
            page[NameObject("/Contents")] = writer._add_object(stream)
    for title, number in outline:
        writer.add_outline_item(title=title, page_number=number)
    writer.write(file)
    return PdfReader(file)


WORDS, PICTURE = b"BT <01> Tj ET", b"q 9 0 0 9 0 0 cm /X1 Do Q"
GROUND = b"1 1 1 rg 0 0 200 200 re f /ToDo gs"


@pytest.mark.parametrize(
    ("contents", "outline", "says"),
    [
        ([WORDS, PICTURE, WORDS], [("One", 0), ("Two", 2)], []),
        ([WORDS, GROUND, WORDS], [("One", 0), ("Two", 2)], ["sheet 2 is empty"]),
        ([b"", PICTURE, WORDS], [("One", 0), ("Two", 2)], ["sheet 1 is empty"]),
        ([WORDS, PICTURE], [("One", 0), ("Two", 1)], ["2 sheets where 3", "the outline has"]),
        ([WORDS, PICTURE, WORDS], [("One", 0)], ["the outline has"]),
        ([WORDS, PICTURE, WORDS], [("One", 0), ("Two", 1)], ["the outline has"]),
        ([WORDS, PICTURE, WORDS], [("One", 0), ("To", 2)], ["the outline has"]),
    ],
)
def test_what_is_wrong_with_the_printed_book_is_said(contents, outline, says, tmp_path):
    first = sheets(tmp_path / "1.pdf", [WORDS, PICTURE])
    second = sheets(tmp_path / "2.pdf", [WORDS])
    parts = {
        FIRST: print_book.Printed(first, {"One": "One", "Below": "Below"}),
        SECOND: print_book.Printed(second, {"Two": "Two"}),
    }
    found = print_book.faults(sheets(tmp_path / "book.pdf", contents, outline), parts)
    assert len(found) == len(says)
    assert all(fault.startswith(said) for fault, said in zip(found, says, strict=True))


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("Waves", "Waves"),
        ("Fouriertransform", "Fourier transform"),
        ("WavesWaves", "Waves"),
        ("From end From endto end", "From end to end"),
        ("Something else", "Something else"),
    ],
)
def test_titles_of_the_outline_are_mended_by_the_headings(said, means):
    known = ("Waves", "Fourier transform", "From end to end")
    headings = {title.replace(" ", ""): title for title in known}
    assert print_book.Printed(None, headings).heading(said) == means


@pytest.mark.parametrize(
    ("there", "missing"), [(set(), "no chromium or"), ({"chromium"}, "no chromedriver")]
)
def test_without_a_browser_it_is_said_what_to_install(there, missing, monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda name: name if name in there else None)
    with pytest.raises(browser.Missing, match=f"{missing}.*apt-get install chromium"):
        browser.find_browser()


def test_without_a_site_it_is_said_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "read_pages", lambda root: ("book/index", "book/tasks"))
    with pytest.raises(browser.Missing, match="there is no built site; run make book first"):
        browser.find_pages(tmp_path)
    (tmp_path / "_build" / "html" / "book").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "book" / "index.html").touch()
    with pytest.raises(browser.Missing, match="not built: book/tasks; run make book first"):
        browser.find_pages(tmp_path)


def gone():
    raise browser.Missing("it is not there; make it")


@pytest.mark.parametrize(
    ("tool", "arguments"), [(print_book, []), (screenshots, ["folder"])], ids=["print", "look"]
)
def test_a_tool_that_cannot_work_says_why_and_writes_nothing(
    tool, arguments, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(tool, "find_pages", gone)
    monkeypatch.setattr(sys, "argv", ["tool", *arguments])
    monkeypatch.chdir(tmp_path)
    assert tool.main() == 1
    assert capsys.readouterr().err == "it is not there; make it\n"
    assert not list(tmp_path.iterdir())


def test_screenshots_want_a_folder_and_know_the_pages(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["screenshots"])
    assert screenshots.main() == 2
    assert "FOLDER" in capsys.readouterr().err
    monkeypatch.setattr(screenshots, "find_pages", lambda: {"book/tasks": FIRST})
    monkeypatch.setattr(sys, "argv", ["screenshots", "folder", "tides"])
    assert screenshots.main() == 1
    assert "no page tides; pages are tasks" in capsys.readouterr().err


def test_a_narrow_page_is_a_phones():
    asked = []
    chrome = SimpleNamespace(execute_cdp_cmd=lambda name, given: asked.append((name, given)))
    browser.resize(chrome, 390, 844)
    browser.resize(chrome, 1280, 844)
    assert [given["mobile"] for _, given in asked] == [True, False]
