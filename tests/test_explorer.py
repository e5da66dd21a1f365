"""Controls without a kernel: what is packed comes back, the page is well formed, input is judged.

That they move is for a browser to say: see test_browser.py.
"""

import base64
import io
import json
import re
import zlib
from doctest import DocTestParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.image import imread

from miiii_book import explorer as controls
from miiii_book.explorer import bars, boxes, explorer, heat_map, lines, menu, slider, thinned

EPOCHS = np.array([0, 1, 4, 16, 64])
MAPS = np.arange(5 * 3 * 4, dtype=float).reshape(5, 3, 4)
BARS = np.array([[1, 2, 3], [3, 2, 1], [0, 0, 0], [5, 0, 0], [0, 10, 2]]) / 10
LINES = np.array([[9, 0.1, 0.2, 0.3, 0.4], [9, 0.5, 0.5, 0.5, 1.0]])


def epochs(**more):
    return slider("epoch", EPOCHS, play=True, **more)


def a_map(values=MAPS, **more):
    return heat_map(values, **{"label": "activation", "alt": "a map"} | more)


def some_bars(values=BARS, **more):
    words = {"label": "share", "xlabel": "frequency $k_0$", "each": "frequency", "alt": "bars"}
    return bars(values, **words | more)


def some_lines(values=LINES, names=("mod 2", "mod 3"), **more):
    return lines(EPOCHS, values, names, **{"label": "accuracy", "alt": "lines"} | more)


def tasks(**more):
    return boxes("task", ["mod 2", "mod 3"], **more)


def page(choices, panels, caption="What to look for."):
    return explorer(choices, panels, caption=caption)._repr_html_()


def data(text):
    """What the script of an explorer is given: panels, and choices."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text).group(1))


def unpacked(text, *shape):
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)
    return (np.cumsum(steps, axis=-1, dtype=int) % 256).astype(np.uint8)


EXPLORERS = {
    "slider and map": lambda: page([epochs()], [a_map()]),
    "menu, slider and map": lambda: page(
        [menu("head", [1, 2]), epochs()], [a_map(np.stack([MAPS, MAPS + 1]))]
    ),
    "two panels": lambda: page([epochs()], [a_map(common=False), some_bars()]),
    "boxes and lines": lambda: page([tasks(start=(0, -1))], [some_lines()]),
    "menu and lines": lambda: page([menu("task", ["a", "b"])], [some_lines()]),
}


@given(arrays(np.uint8, (3, 4)))
def test_what_is_packed_comes_back(levels):
    np.testing.assert_array_equal(unpacked(controls._packed(levels), 3, 4), levels)


def test_a_map_carries_every_frame_on_one_scale_or_its_own():
    (one,), _ = data(page([epochs()], [a_map()]))
    np.testing.assert_array_equal(
        unpacked(one["levels"], 5, 3, 4), np.rint(255 * MAPS / MAPS.max())
    )
    (own,), _ = data(page([epochs()], [a_map(common=False)]))
    expected = np.tile(np.rint(255 * np.arange(12) / 11), (5, 1))
    np.testing.assert_array_equal(unpacked(own["levels"], 5, 3, 4).reshape(5, 12), expected)
    assert own["said"][1] == "activation from 12 to 23"
    assert len(own["colours"]) == 256 and np.shape(own["shape"]) == (2,)
    (flat,), _ = data(page([epochs()], [a_map(np.full((5, 2, 2), 7.0))]))
    assert (unpacked(flat["levels"], 5, 2, 2) == 0).all()


def test_frames_of_two_choices_lie_in_the_order_of_the_choices():
    both = np.arange(2 * 5 * 2 * 2).reshape(2, 5, 2, 2)
    made = explorer([menu("head", [1, 2], start=1), epochs()], [a_map(both)], caption="")
    (panel,), choices = data(made._repr_html_())
    np.testing.assert_array_equal(
        unpacked(panel["levels"], 2, 5, 2, 2), np.rint(255 * both / both.max())
    )
    assert [choice["names"] for choice in choices] == [["1", "2"], ["0", "1", "4", "16", "64"]]
    assert [choice["start"] for choice in choices] == [[1], [4]]
    assert made.shown(made.panels[0]) == [9] and panel["said"][9] == "activation from 36 to 39"


def test_bars_stand_on_a_common_scale():
    (panel,), _ = data(page([epochs()], [some_bars(first=1)]))
    np.testing.assert_array_equal(unpacked(panel["levels"], 5, 3), np.rint(255 * BARS))
    assert panel["said"][3] == "largest share 0.5, at frequency 1"
    (none,), _ = data(page([epochs()], [some_bars(np.zeros((5, 3)))]))
    assert (unpacked(none["levels"], 5, 3) == 0).all()


def test_lines_start_at_epoch_one_on_a_log_axis():
    (panel,), _ = data(page([tasks(start=(-1,))], [some_lines()]))
    x, down = np.array(panel["points"][1]).T
    np.testing.assert_allclose(x, [0, 1 / 3, 2 / 3, 1], atol=1e-4)  # epochs are powers of 4
    np.testing.assert_allclose(down, [0.5, 0.5, 0.5, 0], atol=1e-4)
    assert panel["said"][1] == "mod 3: accuracy 0.5 at epoch 1, 1 at epoch 64"


@pytest.mark.parametrize("kind", ["slider and map", "boxes and lines"])
def test_the_place_of_the_data_lies_over_the_axes_of_the_picture(kind):
    """Where the script will draw, the picture shows data; left and above of it, only words."""
    text = EXPLORERS[kind]()
    png = base64.b64decode(re.search(r"base64,([^\"]+)", text).group(1))
    ink = imread(io.BytesIO(png))[..., :3].min(axis=2) < 0.9
    style = re.search(r'class="data" style="([^"]+)"', text).group(1)
    place = dict(re.findall(r"(\w+):([\d.]+)%", style))
    left, top, width, height = (float(place[k]) / 100 for k in ("left", "top", "width", "height"))
    rows, columns = ink.shape
    inside = ink[
        int(rows * top) : int(rows * (top + height)),
        int(columns * left) : int(columns * (left + width)),
    ]
    assert inside.mean() > 0.02
    above = ink[: int(rows * top) - 4, int(columns * left) : int(columns * (left + width)) - 9]
    assert not above.any()  # no title was given
    assert 0.4 < width < 0.95 and 0.4 < height < 0.95


@pytest.mark.parametrize("made", EXPLORERS.values(), ids=EXPLORERS)
def test_a_page_has_a_picture_with_words_and_asks_nobody_else(made):
    assert re.search(r'<img [^>]*alt="(a map|bars|lines)"', made())
    assert '<div class="choices" hidden>' in made() and " id=" not in made()
    assert "http" not in made().replace("http://www.w3.org", "")


def test_words_of_others_cannot_leave_their_place():
    evil = '"><script>alert(1)</script>&'
    text = page([slider(evil, [evil, "b", "c", "d", "e"])], [a_map(label=evil, alt=evil)], evil)
    assert text.count("<script") == 2 and text.count("alert(1)</script>") == 0
    assert data(text)[1][0]["names"] == [evil, "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: a_map(np.zeros((3, 4))), r"shape \(3, 4\).*2 more axes"),
        (lambda: some_bars(np.zeros(3)), r"shape \(3,\).*1 more axes"),
        (lambda: a_map(MAPS[:0]), r"shape \(0, 3, 4\)"),
        (lambda: a_map(np.where(MAPS == 7, np.nan, MAPS)), "hold 1 that are no finite"),
        (lambda: some_lines(LINES[:, :4]), r"shape \(2, 4\).*\(2, 5\)"),
        (lambda: some_lines(names=["mod 2"]), r"shape \(2, 5\).*\(1, 5\)"),
        (lambda: slider("epoch", []), "'epoch' has the values .*all different"),
        (lambda: menu("head", [1, 1]), "'head' has the values .*all different"),
        (lambda: menu("head", [1, 2], start=2), "positions from 0 to 1"),
        (lambda: tasks(start=()), "positions from 0 to 1"),
        (lambda: page([], [some_bars()]), "a choice and a panel"),
        (lambda: page([epochs()], []), "a choice and a panel"),
        (lambda: page([epochs()], [some_bars(alt=" ")]), "each with an alt text"),
        (lambda: page([epochs()], [some_bars(BARS[:4])]), r"frames \(4,\).*5 \(epoch\)"),
        (lambda: page([tasks()], [some_bars(BARS[:2])]), "give a slider or a menu"),
    ],
)
def test_what_does_not_fit_is_explained(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@given(st.integers(1, 400), st.integers(1, 2000))
def test_thinned_frames_are_spread_evenly_and_fit(count, cells):
    kept = thinned(count, cells, budget=4000)
    assert len(kept) * cells <= 4000 and kept[0] == 0 and kept[-1] == count - 1
    assert len(kept) == 1 or ((np.diff(kept) >= 1).all() and np.ptp(np.diff(kept)) <= 1)


def test_frames_that_never_fit_are_refused():
    with pytest.raises(ValueError, match="5 frames of 6 numbers do not fit into 10"):
        thinned(5, 6, budget=10)


def test_the_example_of_the_module_runs():
    (example,) = DocTestParser().get_examples(controls.__doc__)
    names = vars(controls) | {"epochs": EPOCHS, "grids": MAPS}
    assert "<figure" in eval(example.source, names)._repr_html_()
