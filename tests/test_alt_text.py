"""Alternative texts: values are filled in, and every figure of the book has some."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from miiii_core.publishing import alt_text
from miiii_core.publishing.chapters import read_chapters

LIGHTNESS = {"bright", "brighter", "dark", "darker", "pale", "white", "black"}
BOOK = read_chapters(Path(__file__).parent.parent)


def finding(alt, **values):
    """A notebook with a figure, and with values glued the way `myst_nb.glue` does it."""
    cells = [nbformat.v4.new_code_cell(metadata={"mystnb": {"image": {"alt": alt}}})]
    for name, value in values.items():
        data, metadata = {alt_text.GLUED: repr(value)}, {"scrapbook": {"name": name}}
        output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
        cells.append(nbformat.v4.new_code_cell(outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


def test_values_are_filled_in_with_their_formats_and_the_notebook_stays():
    before = finding("{what}: {share:.0%} of {count:,}", what="waves", share=0.2, count=1451)
    (figure, *_) = alt_text.told(before).cells
    assert figure.metadata.mystnb.image.alt == "waves: 20% of 1,451"
    assert before.cells[0].metadata.mystnb.image.alt.startswith("{what}")


@pytest.mark.parametrize(
    ("alt", "why"),
    [
        ("{share} of all", "names 'share', which nothing glues: '{share} of all'"),
        ("{what:.2f} of all", r"{what:.2f} in an alt text will not do for 'waves'"),
    ],
)
def test_an_alt_text_that_cannot_be_filled_is_refused(alt, why):
    with pytest.raises(alt_text.AltTextError, match=why):
        alt_text.told(finding(alt, what="waves"))


def test_a_run_without_an_answer_does_not_stop_the_book():
    (figure, *_) = alt_text.told(
        finding("{share:.0%} at {epoch:.0f}", share=np.nan, epoch=np.inf)
    ).cells
    assert figure.metadata.mystnb.image.alt == "nan% at inf"


def test_what_is_not_glued_out_of_sight_is_no_value():
    notebook = finding("{share} of all", share=0.2)
    notebook.cells[1].outputs[0].data = {"text/plain": "0.2"}
    assert alt_text.glued(notebook) == {}


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.name)
def test_every_figure_says_what_was_found_and_not_how_light_it_is(chapter):
    """A map of colours is turned around in the dark: what is dark in one theme is light there."""
    for cell in chapter.notebook().cells:
        mystnb = cell.metadata.get("mystnb", {})
        assert ("figure" in mystnb) == ("image" in mystnb), "a figure without an alternative text"
        if "image" in mystnb:
            text = mystnb["image"]["alt"]
            assert alt_text.PLACE.search(text), text
            assert not LIGHTNESS & set(re.findall(r"\w+", text.lower())), text
