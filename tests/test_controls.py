"""Controls without a kernel: what is packed comes back, the page is well formed, input is judged.

That they move is for a browser to say: see test_browser.py.
"""

import base64
import json
import re
import zlib
from doctest import DocTestParser
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from miiii_core import controls
from miiii_core.controls.packing import packed, quantised
from miiii_core.figures import style

EPOCHS = np.array([0, 1, 4, 16, 64])
MAPS = np.arange(5 * 3 * 4, dtype=float).reshape(5, 3, 4)
BARS = np.array([[1, 2, 3], [3, 2, 1], [0, 0, 0], [5, 0, 0], [0, 10, 2]]) / 10
LINES = np.array([[9, 0.1, 0.2, 0.3, 0.4], [9, 0.5, 0.5, 0.5, 1.0]])


def epochs(**more):
    return controls.slider("epoch", EPOCHS, play=True, **more)


def heat_map(values=MAPS, **more):
    return controls.heat_map(values, **{"label": "activation", "alt": "a map"} | more)


def bars(values=BARS, **more):
    words = {"label": "share", "xlabel": "frequency $k_0$", "each": "frequency", "alt": "bars"}
    return controls.bars(values, **words | more)


def lines(values=LINES, names=("mod 2", "mod 3"), **more):
    return controls.lines(EPOCHS, values, names, **{"label": "accuracy", "alt": "lines"} | more)


def tasks(**more):
    return controls.boxes("task", ["mod 2", "mod 3"], **more)


def page(choices, panels, caption="What to look for."):
    return controls.explorer(choices, panels, caption=caption)._repr_html_()


def data(text):
    """What the script of an explorer is given: panels, and names of the choices' values."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text).group(1))


def unpacked(text, *shape):
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)
    return (np.cumsum(steps, axis=-1, dtype=int) % 256).astype(np.uint8)


def picture(text, index=0):
    """One of the SVGs of an explorer, which must be well-formed XML."""
    return ElementTree.fromstring(re.findall(r'<svg viewBox="0 0 400.*?</svg>', text, re.S)[index])


def of_class(root, name):
    return [element for element in root.iter() if name in element.get("class", "").split()]


class Balance(HTMLParser):
    """Whether every tag that opens is closed, in order, and no id is used."""

    def __init__(self):
        super().__init__()
        self.open, self.faults = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("input",):
            self.open.append(tag)
        self.faults += [f"{tag} has an id" for name, _ in attributes if name == "id"]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} closes what it did not open")


EXPLORERS = {
    "slider and map": lambda: page([epochs()], [heat_map()]),
    "menu, slider and map": lambda: page(
        [controls.menu("head", [1, 2]), epochs()], [heat_map(np.stack([MAPS, MAPS + 1]))]
    ),
    "slider and bars": lambda: page([epochs()], [bars()]),
    "two panels": lambda: page([epochs()], [heat_map(common=False), bars()]),
    "boxes and lines": lambda: page([tasks(start=(0, -1))], [lines()]),
    "menu and lines": lambda: page([controls.menu("task", ["a", "b"])], [lines()]),
}


def test_packing_keeps_steps_over_the_whole_scale_and_ends_of_rows():
    rows = np.array([[0, 255, 0], [255, 0, 254]], np.uint8)
    np.testing.assert_array_equal(unpacked(packed(rows), 2, 3), rows)


def test_a_wave_over_all_inputs_takes_a_tenth_of_its_bytes():
    x0, x1 = np.mgrid[:113, :113]
    wave = np.cos(2 * np.pi * 5 * (x0 + x1) / 113)[None]
    assert len(packed(quantised(wave, -1.0, 1.0))) < wave.size / 10


@given(arrays(float, (3, 4), elements=st.floats(-1e6, 1e6)))
def test_what_is_packed_comes_back_within_half_a_level(values):
    low, high = values.min(), values.max()
    back = unpacked(packed(quantised(values, low, high)), 3, 4) / 255 * (high - low) + low
    assert np.abs(back - values).max() <= (high - low) / 510 * (1 + 1e-9) + 1e-9


def test_a_scale_without_width_is_all_low():
    assert (quantised(np.full((2, 3), 7.0), 7.0, 7.0) == 0).all()


def test_a_map_carries_every_frame_on_one_scale_or_its_own():
    (one,), _ = data(page([epochs()], [heat_map()]))
    assert (one["rows"], one["columns"]) == (3, 4)
    expected = np.rint(255 * MAPS / MAPS.max())
    np.testing.assert_array_equal(unpacked(one["levels"], 5, 3, 4), expected)
    assert one["ends"] == [["0", "59"]] * 5
    (own,), _ = data(page([epochs()], [heat_map(common=False)]))
    np.testing.assert_array_equal(
        unpacked(own["levels"], 5, 3, 4).reshape(5, 12),
        np.tile(np.rint(255 * np.arange(12) / 11), (5, 1)),
    )
    assert own["ends"][1] == ["12", "23"]


def test_a_map_is_coloured_by_the_map_of_the_figures():
    (panel,), _ = data(page([epochs()], [heat_map()]))
    expected = matplotlib.colormaps[style.SEQUENTIAL](np.arange(256), bytes=True)[:, :3]
    assert np.abs(unpacked(panel["colours"], 256, 3) - expected.astype(int)).max() <= 1


def test_frames_of_two_choices_lie_in_the_order_of_the_choices():
    both = np.arange(2 * 5 * 2 * 2).reshape(2, 5, 2, 2)
    text = page([controls.menu("head", [1, 2], start=1), epochs(start=3)], [heat_map(both)])
    (panel,), names = data(text)
    levels = unpacked(panel["levels"], 2, 5, 2, 2)
    np.testing.assert_array_equal(levels, np.rint(255 * both / both.max()))
    assert names == [["1", "2"], ["0", "1", "4", "16", "64"]]
    assert panel["said"][1 * 5 + 3] == "activation from 32 to 35"
    assert "<output" in text and "head 2, epoch 16: activation from 32 to 35</output>" in text


def test_bars_stand_on_a_common_scale():
    text = page([epochs()], [bars(first=1)])
    (panel,), _ = data(text)
    np.testing.assert_array_equal(unpacked(panel["levels"], 5, 3), np.rint(255 * BARS))
    assert panel["said"][3] == "largest share 0.5, at frequency 1"
    heights = [float(bar.get("height")) for bar in of_class(picture(text), "bar")]
    np.testing.assert_allclose(heights, BARS[-1] * panel["height"], atol=0.5)


def test_bars_that_are_all_zero_have_an_axis():
    assert "NaN" not in page([epochs()], [bars(np.zeros((5, 3)))])


def test_lines_start_at_epoch_one_and_those_chosen_stand_out():
    text = page([tasks(start=(-1,))], [lines()])
    drawn = of_class(picture(text), "line")
    assert ["chosen" in line.get("class") for line in drawn] == [False, True]
    assert [len(line.get("points").split()) for line in drawn] == [4, 4]
    x, y = np.array([point.split(",") for point in drawn[1].get("points").split()], float).T
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0], atol=0.02)  # epochs are powers of 4
    assert (y[:3] == y[0]).all() and y[3] < y[0]
    assert "mod 3: accuracy 0.5 at epoch 1, 1 at epoch 64</output>" in text


def test_a_player_starts_at_its_end_and_a_browser_at_its_beginning():
    assert epochs().start == (4,) and controls.slider("neuron", range(9)).start == (0,)
    assert controls.boxes("task", ["mod 13"], start=(0, -1)).start == (0,)
    assert 'class="play"' in page([epochs()], [bars()])
    browser = controls.slider("neuron", range(5))
    assert 'class="play"' not in page([browser], [bars()]).split("<script")[0]


@pytest.mark.parametrize("made", EXPLORERS.values(), ids=EXPLORERS)
def test_a_page_gets_balanced_tags_without_ids_or_addresses(made):
    balance = Balance()
    balance.feed(made())
    balance.close()
    assert balance.faults == [] and balance.open == []
    assert "http" not in made().replace("http://www.w3.org", "")


@pytest.mark.parametrize("made", EXPLORERS.values(), ids=EXPLORERS)
def test_without_a_script_there_is_a_picture_with_words_and_no_dead_control(made):
    text = made()
    for index in range(len(data(text)[0])):
        assert picture(text, index).get("role") == "img"
        assert picture(text, index).get("aria-label") in ("a map", "bars", "lines")
    assert '<div class="choices" hidden>' in text
    assert "Works on this page." in text


@pytest.mark.parametrize("made", EXPLORERS.values(), ids=EXPLORERS)
def test_every_input_has_a_name(made):
    markup = made().split("<script")[0]
    for label in re.findall(r"<label.*?</label>", markup, re.S):
        assert re.sub(r"<[^>]*>", "", label).strip()
    for tag in re.findall(r"<(?:input|select|button)\b[^>]*>", markup):
        before = markup[: markup.index(tag)]
        inside = before.count("<label") > before.count("</label")
        assert inside or "aria-label=" in tag
        assert 'data-lm-suppress-shortcuts="true"' in tag, "JupyterLab would take its keys"


def test_words_of_others_cannot_leave_their_place():
    evil = '"><script>alert(1)</script>&'
    text = page(
        [controls.slider(evil, [evil, "b", "c", "d", "e"])],
        [heat_map(title=evil, label=evil, alt=evil, labels=(evil, evil))],
        caption=evil,
    )
    balance = Balance()
    balance.feed(text)
    assert balance.faults == [] and balance.open == []
    assert text.count("<script") == 2 and text.count("alert(1)</script>") == 0
    assert data(text)[1] == [[evil, "b", "c", "d", "e"]]
    assert picture(text).get("aria-label") == evil


def test_symbols_are_set_with_their_subscripts():
    (title,) = of_class(picture(page([epochs()], [bars(title="W_E of T_nanda")])), "title")
    assert [part.text for part in title] == ["W", "E", "T", "nanda"]
    assert "".join(title.itertext()) == "WE of Tnanda"


def test_a_terminal_gets_a_line():
    shown = repr(controls.explorer([epochs()], [bars()], caption=""))
    assert shown == "Explorer(epoch 64: largest share 1, at frequency 1)"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: heat_map(np.zeros((3, 4))), r"shape \(3, 4\).*axes \(choice 1, rows, columns\)"),
        (lambda: bars(np.zeros(3)), r"shape \(3,\).*axes \(choice 1, bar\)"),
        (lambda: heat_map(MAPS[:0]), "is empty"),
        (lambda: heat_map(MAPS * 1j), "must hold real numbers"),
        (lambda: heat_map(np.where(MAPS == 7, np.nan, MAPS)), "hold 1 that are infinite"),
        (lambda: lines(np.where(LINES == 1, np.inf, LINES)), "hold 1 that are infinite"),
        (lambda: bars(-BARS), "bars reach down to -1"),
        (lambda: lines(LINES[:, :4]), r"shape \(2, 4\).*\(line, 5\)"),
        (lambda: lines(names=["mod 2"]), "1 names were given for 2"),
        (lambda: bars(alt=" "), "has no alt text"),
        (lambda: controls.slider("epoch", []), "at least one, all different"),
        (lambda: controls.menu("head", [1, 1]), "at least one, all different"),
        (lambda: controls.menu("head", [1, 2], start=2), "positions from 0 to 1"),
        (lambda: tasks(start=()), "positions from 0 to 1"),
        (lambda: page([], [bars()]), "at least one choice and one panel"),
        (lambda: page([epochs()], []), "at least one choice and one panel"),
        (lambda: page([epochs()], [bars(BARS[:4])]), r"frames \(4,\); the choices ask for 5 \(ep"),
        (lambda: page([tasks()], [bars(BARS[:2])]), "give it a slider or a menu"),
    ],
)
def test_what_does_not_fit_is_explained(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@given(st.integers(1, 400), st.integers(1, 2000))
def test_thinned_frames_are_spread_evenly_and_fit(count, cells):
    kept = controls.thinned(count, cells, budget=4000)
    assert len(kept) * cells <= 4000 or len(kept) == 1
    assert kept[-1] == count - 1 or len(kept) == 1
    assert kept[0] == 0 and (np.diff(kept) >= 1).all()
    assert np.ptp(np.diff(kept)) <= 1 if len(kept) > 1 else count == 1 or cells > 2000


def test_frames_that_never_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit twice into 10;"):
        controls.thinned(5, 6, budget=10)
    with pytest.raises(ValueError, match="there must be some of both"):
        controls.thinned(0, 6)


def test_the_example_of_the_package_runs():
    (example,) = DocTestParser().get_examples(controls.__doc__)
    shown = eval(example.source, {"controls": controls, "epochs": EPOCHS, "grids": MAPS})
    assert "epoch 64" in repr(shown)
