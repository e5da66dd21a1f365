import matplotlib.pyplot as plt
import numpy as np
from refusals import refusals

from miiii_core import figures

EPOCHS = np.array([0, 1, 4, 16])
STRENGTH = np.array([[1.0, 1, 1], [2, 1, 1], [4, 3, 1], [8, 0.1, 1]])
LEVEL = np.array([1.5, 3, 2, 1.5])
KINDS = {"transient": np.array([False, True, False]), "persistent": np.array([True, False, False])}


def test_each_wave_is_a_line_of_its_kind():
    figure = figures.wave_lives(EPOCHS, STRENGTH, KINDS, LEVEL)
    (axes,) = figure.axes
    lines = {tuple(line.get_ydata()) for line in axes.lines}
    assert {(2, 4, 8), (1, 3, 0.1), (1, 1, 1), (3, 2, 1.5)} <= lines
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["transient: 1", "persistent: 1", "other: 1", "present"]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert plt.get_fignums() == []


def test_seeds_are_dots_and_their_median_a_bar():
    figure = figures.seed_dots({"one": [1.0, 4, 2], "two": [8.0]}, "epochs", baseline=1.0, log=True)
    (axes,) = figure.axes
    dots = [np.asarray(c.get_offsets())[:, 0].tolist() for c in axes.collections]
    assert dots == [[1, 4, 2], [8]]
    bars = [line.get_xdata()[0] for line in axes.lines]
    assert bars == [2, 8, 1] and axes.yaxis_inverted()
    assert [t.get_text() for t in axes.get_yticklabels()] == ["one", "two"]


def test_shares_on_a_log_scale_have_ticks_at_powers_of_ten():
    (axes,) = figures.seed_dots({"one": [0.004, 0.3]}, "share wrong", log=True).axes
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    shown = [t.get_text() for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert shown == ["0.01", "0.1"]
    (epochs,) = figures.seed_dots({"one": [1024.0, 8192]}, "epochs", log=True).axes
    assert epochs.xaxis.get_major_formatter()(2048, 0) == "2048"


def test_a_condition_without_seeds_keeps_an_empty_row():
    figure = figures.seed_dots({"none yet": []}, "epochs", log=True)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["none yet"]
    assert not axes.lines and not np.asarray(axes.collections[0].get_offsets()).size
    figure.canvas.draw()


test_wrong_input_is_refused = refusals(
    {
        "kinds": (
            lambda: figures.wave_lives(EPOCHS, STRENGTH, {"gone": KINDS["transient"]}, LEVEL),
            "takes transient and persistent",
        ),
        "lengths": (
            lambda: figures.wave_lives(EPOCHS, STRENGTH, {"transient": np.ones(2, bool)}, LEVEL),
            r"must have axes \(3,\)",
        ),
        "strength": (
            lambda: figures.wave_lives(EPOCHS, STRENGTH[1:], KINDS, LEVEL),
            r"must have axes \(4, wave\)",
        ),
        "level": (
            lambda: figures.wave_lives(EPOCHS, STRENGTH, KINDS, LEVEL[1:]),
            r"must have axes \(4,\)",
        ),
        "nothing": (lambda: figures.seed_dots({}, "x"), "values is empty"),
        "shape": (lambda: figures.seed_dots({"a": np.ones((2, 2))}, "x"), r"\(seed,\)"),
    }
)
