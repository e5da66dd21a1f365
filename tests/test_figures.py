import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgba

from miiii_book import figures
from miiii_book.figures import style

EPOCHS = np.array([0, 1, 2, 4, 8, 16])
RNG = np.random.default_rng(0)
RISING = np.linspace(0, 1, 6)[:, None] ** np.array([0.5, 1.0, 3.0])
MODULI = (2, 3, 5)


def images(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


def words(axes):
    return [text.get_text() for text in axes.texts]


def png(figure):
    data = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    return data


# How each function is called at its plainest.
PLAIN = {
    "rows": lambda: figures.rows(["head 1", "head 2"], "share", 2.0)[0],
    "stacked": lambda: figures.stacked({"a": [1, 2, 3], "b": [3, 0, 1]}, "xyz", "claims", "rgb"),
    "grokking_figure": lambda: figures.grokking_figure(EPOCHS, RISING, RISING**4, MODULI),
    "training_maps": lambda: figures.training_maps(EPOCHS, {"a": RISING, "b": RISING}, MODULI, "x"),
    "curves": lambda: figures.curves(EPOCHS, {"train": RISING[:, 0], "other": EPOCHS}, "value"),
    "grid_plots": lambda: figures.grid_plots({"T_miiii": [[1, -2], [0, 4]]}),
    "heat_maps": lambda: figures.heat_maps({"a": np.eye(3), "b": np.ones((3, 3))}),
    "neuron_panel": lambda: figures.neuron_panel(RNG.random((2, 5, 5)), np.ones((2, 3, 3)), "ab"),
    "bar_panels": lambda: figures.bar_panels({"a": [3, 2, 1], "b": [1, 2, 3]}, "rank", key=[2]),
    "by_prime": lambda: figures.by_prime(MODULI, {"a": [1, 2, 3], "b": [4, np.nan]}, "value"),
    "dot_rows": lambda: figures.dot_rows({"a": [1, 2, 4], "b": 3, "none": []}, "epoch"),
    "polar_naturals": lambda: figures.polar_naturals({"": {"n": np.arange(9)}}),
    "phase_panels": lambda: figures.phase_panels({"k = 1": [[0, 1], [4, 5]]}, "read", "written"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_every_figure_shows_itself_and_leaves_nothing_open(name):
    png(PLAIN[name]())
    assert plt.get_fignums() == []


def test_every_public_figure_is_tried_here():
    assert set(figures.__all__) == {*PLAIN, "panels", "table"}


def test_the_users_matplotlibrc_changes_no_picture():
    plain = png(PLAIN["curves"]())
    user = {
        "axes.facecolor": "black", "figure.facecolor": "black", "text.color": "white",
        "text.usetex": True, "font.size": 30, "lines.linewidth": 9, "xtick.color": "red",
        "font.family": "serif", "savefig.facecolor": "red",
    }  # fmt: skip
    with matplotlib.rc_context(user):
        assert png(PLAIN["curves"]()) == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_importing_the_figures_sets_nothing():
    assert matplotlib.rcParams["lines.linewidth"] == matplotlib.rcParamsDefault["lines.linewidth"]


def test_axes_handed_in_are_drawn_into():
    figure, axes = figures.panels(2, 1, 4.0, sharex=True)
    assert figures.curves(EPOCHS, {"a": EPOCHS}, "value", axes=axes[0, 0]) is figure
    maps = figures.training_maps(EPOCHS, {"": RISING}, MODULI, "x", axes=axes[1, 0])
    assert maps is figure and len(figure.axes) == 3  # and the colour bar


def test_grokking_marks_when_each_task_reaches_the_threshold():
    train = np.array([[0, 0], [0, 0.95], [0.95, 1], [1, 1], [1, 1], [1, 1.0]])
    unseen = np.array([[0, 0], [0, 0], [0, 0], [0.5, 0], [0.91, 0], [1, 0.0]])
    top, bottom = figures.grokking_figure(EPOCHS, train, unseen, (2, 3)).axes
    mean = next(line for line in top.lines if line.get_linewidth() == 3)
    np.testing.assert_allclose(mean.get_ydata(), train[1:].mean(axis=1))
    marks = {
        shape: [float(x) for line in bottom.lines if line.get_marker() == shape
                for x in line.get_xdata() if np.isfinite(x)]
        for shape in "oD"
    }  # fmt: skip
    assert marks["o"] == [2, 1] and marks["D"] == [8]
    first, never = bottom.collections[0].get_segments()
    assert first[:, 0].tolist() == [2, 8] and never[:, 0].tolist() == [1, bottom.get_xlim()[1]]
    assert {*words(top)} == {"training", "unseen"}


def test_training_maps_show_the_values_after_epoch_0_on_one_scale():
    low = RISING / 100
    upper, lower, _ = figures.training_maps(EPOCHS, {"a": RISING, "b": low}, MODULI, "x").axes
    for axes, values in ((upper, RISING), (lower, low)):
        (mesh,) = axes.collections
        np.testing.assert_array_equal(mesh.get_array(), values[1:].T)
        assert mesh.norm.vmax == 1 and mesh.norm.vmin == 0
        edges = mesh.get_coordinates()[0, :, 0]
        assert (edges[:-1] < EPOCHS[1:]).all() and (EPOCHS[1:] < edges[1:]).all()
    assert [label.get_text() for label in upper.get_yticklabels()] == ["2", "3", "5"]


def test_a_log_scale_of_colours_spans_six_decades_at_most():
    values = 10.0 ** -(np.arange(6.0)[:, None] ** 2)
    axes = figures.training_maps(EPOCHS, {"": values}, ["W_E"], "norm", log=True).axes[0]
    norm = axes.collections[0].norm
    assert isinstance(norm, LogNorm)
    assert norm.vmin == pytest.approx(norm.vmax * 1e-6)


def test_curves_draw_the_lines_and_levels():
    figure = figures.curves(
        EPOCHS, {"square": EPOCHS**2, "null": EPOCHS, "own": ([1, 9], [5, 6])}, "value",
        levels={"chance": 3.0}, controls=["null"],
    )  # fmt: skip
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["square"].get_xdata(), EPOCHS[1:])
    np.testing.assert_array_equal(lines["square"].get_ydata(), EPOCHS[1:] ** 2)
    np.testing.assert_array_equal(lines["own"].get_xydata(), [[1, 5], [9, 6]])
    assert lines["null"].get_color() == style.GREY != lines["own"].get_color()
    assert {*words(axes)} == {"square", "null", "own", "chance"}
    straight = figures.curves([0, 1], {"a": [1, 2]}, "value", across="x (m)", log_x=False).axes[0]
    np.testing.assert_array_equal(straight.lines[0].get_xdata(), [0, 1])
    assert straight.get_xlabel() == "x (m)"


@pytest.mark.parametrize("ends", [(1, 0.98, 1.02), (0, 0.01, 0.5, 0.52, 0.51), range(9, 0, -1)])
def test_names_at_the_ends_of_lines_are_in_order_and_do_not_touch(ends):
    figure = figures.curves(EPOCHS, {f"{end}": np.linspace(0.5, end, 6) for end in ends}, "value")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    names = sorted(axes.texts, key=lambda text: text.xy[1])
    boxes = [text.get_window_extent() for text in names]
    assert all(a.y1 <= b.y0 + 1 for a, b in zip(boxes, boxes[1:], strict=False))
    assert [text.get_text() for text in names] == [str(end) for end in sorted(ends)]


def test_squares_have_the_area_of_magnitudes_and_the_fill_of_signs():
    grid = np.array([[4.0, -1.0, 0.0]])
    (axes,) = figures.grid_plots({"": grid}).axes
    (squares,) = axes.collections
    corners = [path.vertices[:4] for path in squares.get_paths()]
    sides = [np.ptp(corner[:, 0]) for corner in corners]
    assert sides[0] ** 2 == pytest.approx(4 * sides[1] ** 2) and len(sides) == 2
    np.testing.assert_allclose([c.mean(axis=0) for c in corners], [[0, 0], [1, 0]], atol=1e-12)
    filled = squares.get_facecolors()
    assert tuple(filled[0]) == to_rgba(style.INK) and tuple(filled[1]) == to_rgba("white")


def test_grids_share_a_scale_unless_told_otherwise():
    def width(shared):
        figure = figures.grid_plots({"a": [[4.0]], "b": [[1.0]]}, shared=shared)
        return np.ptp(figure.axes[1].collections[0].get_paths()[0].vertices[:, 0])

    assert width(True) == pytest.approx(width(False) / 2)


def test_heat_maps_show_the_values_on_one_scale():
    maps = {"a": np.arange(9.0).reshape(3, 3), "b": -np.ones((3, 3))}
    one, two = images(figures.heat_maps(maps, signed=True))
    np.testing.assert_array_equal(one.get_array(), maps["a"])
    assert (one.norm.vmin, one.norm.vmax) == (two.norm.vmin, two.norm.vmax) == (-8, 8)
    (limited,) = images(figures.heat_maps({"": np.eye(2)}, limits=(0, 5)))
    assert limited.norm.vmax == 5


def test_heat_maps_name_rows_and_columns():
    figure = figures.heat_maps({"": np.ones((2, 3))}, names=(["x", "y"], MODULI))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]


def test_a_neuron_panel_shows_activations_a_corner_and_shares():
    maps, powers = RNG.random((2, 80, 80)), RNG.random((2, 41, 41))
    panel = images(figures.neuron_panel(maps, powers, ["a", "b"]))
    np.testing.assert_array_equal(panel[0].get_array(), maps[0])
    np.testing.assert_array_equal(panel[2].get_array(), maps[0, :37, :37])
    np.testing.assert_allclose(panel[4].get_array().sum(), 1)


def test_bars_are_the_values_with_keys_named_and_cuts_marked():
    (axes,) = figures.bar_panels({"a": [3, 2, 1]}, "", key=[2], cuts={"a": {"50 %": 1}}).axes
    assert [bar.get_height() for bar in axes.patches] == [3, 2, 1]
    blue = [bar.get_facecolor() == to_rgba(style.COLOURS[0]) for bar in axes.patches]
    assert blue == [False, True, False]
    assert words(axes) == ["2", "50 %: 1"] and axes.lines[0].get_xdata()[0] == 1.5


def test_by_prime_draws_full_and_hollow_marks_and_infinity_above():
    values = {"p = 5": [4.0, np.inf], "p = 7": [1.0, 2.0, 8.0]}
    full = {"p = 7": [True, False, True]}
    figure = figures.by_prime(MODULI, values, "epoch", full=full, joined=True, log=True)
    (axes,) = figure.axes
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(marks[0].get_xydata(), [[2, 4], [3, 16]])
    np.testing.assert_array_equal(marks[2].get_xydata(), [[2, 1], [5, 8]])
    np.testing.assert_array_equal(marks[3].get_xydata(), [[3, 2]])
    assert marks[3].get_markerfacecolor() == "white"
    assert {*words(axes)} == {"p = 5", "p = 7", "never"}


def test_dots_are_the_seeds_with_a_bar_at_their_median():
    values, controls = {"a": [1, 2, 4], "b": 3.0, "none": []}, {"b": [5, 6, 9]}
    (axes,) = figures.dot_rows(values, "epoch", controls=controls, baseline=2.5).axes
    dots, median, grey, bar, single = axes.collections
    np.testing.assert_array_equal(dots.get_offsets()[:, 0], [1, 2, 4])
    assert median.get_segments()[0][0, 0] == 2
    np.testing.assert_array_equal(grey.get_offsets()[:, 0], [5, 6, 9])
    assert bar.get_segments()[0][0, 0] == 6 and single.get_offsets().tolist() == [[3, 1]]
    assert axes.lines[0].get_xdata()[0] == 2.5
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "none"]


def test_naturals_turn_by_a_step_each():
    figure = figures.polar_naturals({"a": {"n": np.arange(8), "others": [9]}}, turns=[0.25])
    dots, others = figure.axes[0].collections
    angle, radius = np.asarray(dots.get_offsets()).T
    np.testing.assert_array_equal(radius, np.arange(8))
    np.testing.assert_allclose(angle, np.pi / 2 * (np.arange(8) % 4))
    assert tuple(others.get_facecolors()[0]) == to_rgba(style.PALE)


def test_phases_are_drawn_around_the_circle_with_their_controls():
    figure = figures.phase_panels({"k": [[4.0, 0.0]]}, "x", "y", controls={"k": [[0.0, -4.0]]})
    control, dots = figure.axes[0].collections
    np.testing.assert_allclose(dots.get_offsets(), [[4 - 2 * np.pi, 0]])
    np.testing.assert_allclose(control.get_offsets(), [[0, 2 * np.pi - 4]])


def test_a_table_shows_numbers_plainly_and_escapes():
    columns = {"a<b": ["x", "y"], "n": [12769, np.nan], "share": np.array([0.12345, 3.0]),
               "which": ["yes", None]}  # fmt: skip
    shown = figures.table(columns)
    page = shown._repr_html_()
    assert page.startswith('<table class="table">') and "a&lt;b" in page
    assert '<td style="text-align: right;">12,769</td>' in page and "<td>yes  " in page
    assert repr(shown).splitlines()[1:] == [
        "x      12,769    0.123  yes", "y           –        3  –"
    ]  # fmt: skip
    assert shown.csv() == "a<b,n,share,which\nx,12769,0.12345,yes\ny,nan,3.0,\n"


FLAT = np.ones(6)
WRONG = {
    "ragged train": (lambda: figures.grokking_figure(EPOCHS, RISING[:4], RISING, MODULI),
                     r"training'\] has shape \(4, 3\).*\(6, 3\)"),
    "no maps": (lambda: figures.training_maps(EPOCHS, {}, MODULI, "x"), "maps is empty; give"),
    "rows": (lambda: figures.training_maps(EPOCHS, {"a": RISING}, (2, 3), "x"),
             r"maps\['a'\] has shape \(6, 3\).*\(6, 2\)"),
    "line": (lambda: figures.curves(EPOCHS, {"a": FLAT[:5]}, "y"), r"\(5,\).*\(6\)"),
    "grid": (lambda: figures.grid_plots({"a": [1, 2]}), r"\(2,\).*\(row, column\)"),
    "names": (lambda: figures.heat_maps({"a": np.eye(3)}, names=(None, ["a", "b"])),
              r"names has shape \(2,\).*\(3\)"),
    "powers": (lambda: figures.neuron_panel(np.ones((1, 2, 2)), np.ones((2, 2, 2)), "a"),
               r"powers has shape \(2, 2, 2\).*\(1, k0, k1\)"),
    "empty": (lambda: figures.bar_panels({"a": []}, "rank"), r"shape \(0,\); give values"),
    "too many": (lambda: figures.by_prime((2,), {"a": [1, 2]}, "y"), r"a has shape \(2,\).*\(1\)"),
    "full": (lambda: figures.by_prime(MODULI, {"a": [1, 2]}, "y", full={"a": [1]}),
             r"full\['a'\] has shape \(1,\).*\(2\)"),
    "turns": (lambda: figures.polar_naturals({"": {"n": [1]}}, turns=[1, 2]), r"turns.*\(2,\).*1"),
    "phases": (lambda: figures.phase_panels({"a": np.ones((4, 3))}, "x", "y"), r"\(unit, 2\)"),
    "columns": (lambda: figures.table({"a": [1], "b": []}), r"'a': 1, 'b': 0.*one length"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused_with_what_was_given_and_what_is_accepted(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call()
