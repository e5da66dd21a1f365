"""What is done to finished pages, the icons of the book, and what is said of checks left out."""

import importlib.util
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import pytest_terminal_summary
from fontTools.ttLib import TTFont

from tools import icons

ROOT = Path(__file__).parents[1]
THEME = Path(find_spec("pydata_sphinx_theme").origin).parent / icons.THEME
HEAD = """<link rel="stylesheet" type="text/css" href="../_static/sphinx-design.min.css?v=6a" />
<link rel="stylesheet" href="../_static/book.css?v=1" />
  <script defer src="../_static/scripts/fontawesome.js?digest=55"></script>
  <script src="../_static/design-tabs.js?v=f"></script>
  <script src="../_static/doctools.js?v=9"></script>
  <script src="../_static/searchtools.js"></script>
  <script src="../_static/language_data.js"></script>
  <script src="../searchindex.js"></script>
"""


@pytest.fixture(scope="module")
def finished():
    spec = importlib.util.spec_from_file_location("finished", ROOT / "book/_ext/finished.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.finished


def files(text):
    return set(re.findall(r'(?:src|href)="[^"]*/([^/"?]+)', text))


def test_a_page_keeps_only_the_files_that_it_uses(finished):
    assert files(finished(HEAD, searches=False)) == {"book.css", "doctools.js"}


def test_the_page_that_searches_keeps_the_search(finished):
    kept = {"book.css", "doctools.js", "searchtools.js", "language_data.js", "searchindex.js"}
    assert files(finished(HEAD, searches=True)) == kept


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('<div class="sd-card">', True),
        ('<div class="a sd-tab-set">', True),
        ('<p class="thousd-x">sd-</p>', False),
    ],
)
def test_a_page_with_cards_or_tabs_keeps_their_files(finished, body, kept):
    found = files(finished(HEAD + body, searches=False))
    assert ({"sphinx-design.min.css", "design-tabs.js"} <= found) == kept


def test_icons_are_hidden_from_screen_readers_and_other_italics_are_not(finished):
    text = '<i class="fa-solid fa-list"></i><i class="fas fa-code"></i><i class="x">y</i><i>z</i>'
    assert finished(text, searches=False) == (
        '<i aria-hidden="true" class="fa-solid fa-list"></i>'
        '<i aria-hidden="true" class="fas fa-code"></i><i class="x">y</i><i>z</i>'
    )


@pytest.mark.parametrize(
    ("file", "source", "names"),
    [
        ("solid.woff", "fa-solid-900.ttf", icons.SOLID),
        ("brands.woff", "fa-brands-400.ttf", icons.BRANDS),
    ],
)
def test_our_fonts_hold_the_icons_that_are_listed_under_the_codes_of_the_theme(file, source, names):
    ours, theirs = TTFont(icons.FOLDER / file), TTFont(THEME / source)
    codes = set(ours.getBestCmap())
    assert {theirs.getBestCmap()[code] for code in codes} == set(names)
    style = (icons.FOLDER / "icons.css").read_text()
    (face,) = [face for face in style.split("@font-face")[1:] if file in face]
    assert {int(code, 16) for code in re.findall(r"U\+([0-9A-F]+)", face)} == codes
    for code, glyph in ours.getBestCmap().items():
        assert (
            ours.getGlyphSet()[glyph].width
            == theirs.getGlyphSet()[theirs.getBestCmap()[code]].width
        )
    assert "Font Awesome" not in str(ours["name"].getDebugName(1))


def test_an_icon_that_the_font_lacks_is_named():
    with pytest.raises(ValueError, match="fa-solid-900.ttf has no unicorn-of-x"):
        icons.subset(THEME / "fa-solid-900.ttf", ["moon", "unicorn-of-x"])


def test_checks_of_the_site_that_are_left_out_are_counted_and_the_reason_is_said():
    def skipped(file, reason):
        return SimpleNamespace(
            nodeid=f"tests/{file}::test_x", longrepr=(file, 1, f"Skipped: {reason}")
        )

    reports = [
        skipped("test_browser.py", "no site; make one"),
        skipped("test_benchmarks.py", "no torch"),
        skipped("test_browser.py", "no site; make one"),
        skipped("test_browser.py", "no browser"),
    ]
    said = []
    reporter = SimpleNamespace(
        stats={"skipped": reports}, write_line=lambda line, **look: said.append(line)
    )
    pytest_terminal_summary(reporter)
    assert said == [
        "2 checks of the site were left out: no site; make one",
        "1 checks of the site were left out: no browser",
    ]
    pytest_terminal_summary(SimpleNamespace(stats={}, write_line=None))
