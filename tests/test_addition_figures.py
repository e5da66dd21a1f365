import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from miiii_core import figures
from miiii_core.figures import style

EPOCHS = np.array([0, 1, 10, 100, 1000])
PHASES = {"start": (5.0, 20.0), "end": (90.0, 300.0)}


def panel(**lines):
    return figures.TimePanel("loss", {name: (EPOCHS, values) for name, values in lines.items()})


def named(axes):
    return {text.get_text(): text for text in axes.texts}


def test_stations_have_a_bar_for_each_frequency_and_name_the_key_ones():
    figure = figures.frequency_stations({"W_E": [0, 3, 1], "logits": [2, 1, 0]}, {2, 3})
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [0, 3, 1]
    assert [bar.get_x() + bar.get_width() / 2 for bar in first.patches] == [1, 2, 3]
    colours = [to_hex(bar.get_facecolor()) for bar in first.patches]
    assert colours == [style.FAINT, style.COLOURS[0].lower(), style.COLOURS[0].lower()]
    assert set(named(first)) == {"2", "3"}
    assert set(named(second)) == {"2"}  # of 3 there is nothing to name
    assert "cycles per" in second.get_xlabel()


def test_stations_need_something_to_draw():
    with pytest.raises(ValueError, match="stations is empty"):
        figures.frequency_stations({}, {1})


def test_phases_lie_between_minus_pi_and_pi_with_controls_behind():
    pairs = np.array([[0.5, 0.5], [4.0, -4.0]])
    figure = figures.phase_panels({"k = 1": pairs}, "in", "out", controls={"k = 1": pairs + 1})
    shown, hidden = figure.axes
    control, dots = (np.asarray(c.get_offsets()) for c in shown.collections)
    turn = 2 * np.pi
    np.testing.assert_allclose(dots, [[0.5, 0.5], [4 - turn, turn - 4]])
    np.testing.assert_allclose(control, [[1.5, 1.5], [5 - turn, -3]])
    assert not hidden.get_visible()
    assert shown.get_title() == "k = 1"
    figure.canvas.draw()
    ticks = [label.get_text() for label in shown.get_xticklabels()]
    assert {"−π", "−π/2", "0", "π/2", "π"} <= set(ticks)


def test_phases_must_be_pairs():
    with pytest.raises(ValueError, match=r"k = 1 has shape \(2, 3\); it must have axes"):
        figures.phase_panels({"k = 1": np.zeros((2, 3))}, "in", "out")
    with pytest.raises(ValueError, match="phases is empty"):
        figures.phase_panels({}, "in", "out")


def test_parts_of_a_bar_follow_each_other():
    (axes,) = figures.share_bars({"a": [0.5, 0.3, 0.2], "b": [1, 0, 0]}, "xyz", "share").axes
    bars = [[(b.get_x(), b.get_width()) for b in part] for part in axes.containers]
    np.testing.assert_allclose(
        bars, [[(0, 0.5), (0, 1)], [(0.5, 0.3), (1, 0)], [(0.8, 0.2), (1, 0)]]
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["x", "y", "z"]


def test_bars_with_too_many_parts_or_none_are_refused():
    with pytest.raises(ValueError, match="5 parts in 1 rows were given; draw 1 to 4"):
        figures.share_bars({"a": np.ones(5)}, "vwxyz", "share")
    with pytest.raises(ValueError, match="0 rows"):
        figures.share_bars({}, "xy", "share")


def test_progress_draws_curves_over_log_time_without_epoch_0():
    figure = figures.progress_figure([panel(a=[9, 4, 3, 2, 1])], PHASES)
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), [[1, 4], [10, 3], [100, 2], [1000, 1]])
    assert axes.get_xscale() == "log" and axes.get_xlim() == (1, 1000)
    assert "epoch" in axes.get_xlabel()
    assert plt.get_fignums() == []


def test_each_line_is_named_where_it_ends_and_names_keep_apart():
    row = panel(a=[9, 4, 3, 2, 1], b=[9, 8, 7, 6, 1.01], **{" thin": [9, 8, 7, 6, 9]})
    (axes,) = figures.progress_figure([row], {}).axes
    texts, lines = named(axes), {line.get_label(): line for line in axes.get_lines()}
    assert set(texts) == set(lines) == {"a", "b", "thin"}
    for name, text in texts.items():
        assert text.get_color() == lines[name].get_color()
        assert text.xy[0] > 1
    heights = {name: text.xy[1] for name, text in texts.items()}
    assert heights["b"] - heights["a"] >= 0.1 and heights["a"] >= 0
    assert heights["thin"] > heights["b"]
    assert lines["thin"].get_linewidth() < lines["a"].get_linewidth()


def test_phases_are_marked_in_every_panel_and_named_in_the_first():
    both = [panel(a=[9, 4, 3, 2, 1]), panel(b=[1, 2, 3, 4, 5])]
    first, second = figures.progress_figure(both, PHASES).axes
    for axes in (first, second):
        spans = [patch.get_x() for patch in axes.patches]
        assert spans == [5, 90]
    place = {name: text.get_position()[0] for name, text in named(first).items() if name in PHASES}
    assert place["start"] < 10 < place["end"] < 300
    assert not set(named(second)) & set(PHASES)


def test_phases_that_do_not_end_are_left_out():
    never = PHASES | {"end": (np.nan, np.nan)}
    (axes,) = figures.progress_figure([panel(a=[9, 4, 3, 2, 1])], never).axes
    assert len(axes.patches) == 1
    assert "start" in named(axes) and "end" not in named(axes)


def test_controls_are_a_band_over_all_their_draws():
    draws = np.array([[1, 2, 3, 4, 5], [2, 1, 4, 3, 6]])
    row = panel(a=[9, 4, 3, 2, 1])._replace(band=(EPOCHS, draws), log=True)
    (axes,) = figures.progress_figure([row], {}).axes
    outline = axes.collections[0].get_paths()[0].vertices
    for epoch, low, high in zip(
        EPOCHS[1:], draws.min(axis=0)[1:], draws.max(axis=0)[1:], strict=True
    ):
        at = outline[outline[:, 0] == epoch, 1]
        assert at.min() == low and at.max() == high
    assert axes.get_yscale() == "log"


def test_progress_needs_a_panel():
    with pytest.raises(ValueError, match="rows is empty"):
        figures.progress_figure([], {})


def test_names_of_phases_keep_apart_where_phases_are_short():
    close = {"circuit\nformation": (2.0, 3.0), "cleanup": (4.0, 5.0)}
    figure = figures.progress_figure([panel(a=[9, 4, 3, 2, 1])], close)
    figure.draw_without_rendering()
    texts = named(figure.axes[0])
    before, after = (texts[name].get_window_extent() for name in close)
    assert after.x0 - before.x1 > 0.99 * after.height  # as far apart as a line is high
