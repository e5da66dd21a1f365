from types import SimpleNamespace

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import select_figure_formats
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.figure import Figure
from refusals import refusals

from miiii_core import figures
from miiii_core.figures import grids, style

EPOCHS = np.array([0, 1, 2, 4, 8, 16, 32, 64])
MODULI = (2, 3, 5)
RAMP = np.linspace(0, 1, 24).reshape(8, 3)
LATE = np.clip(RAMP * 3 - 2, 0, 1)
GRID = np.arange(25.0).reshape(5, 5)
STACK = np.stack([GRID, 2 * GRID, 3 * GRID])
NAMES = ["W_E", "W_pos", "W_U"]


def squares(axes):
    """Centres, sides and fill colours of the squares drawn on axes."""
    (collection,) = axes.collections
    corners = np.array([path.vertices[:4] for path in collection.get_paths()])
    sides = corners[:, 2, 0] - corners[:, 0, 0]
    np.testing.assert_allclose(sides, corners[:, 2, 1] - corners[:, 0, 1])
    return corners.mean(axis=1), sides, [to_hex(c) for c in collection.get_facecolors()]


def image(axes):
    return np.asarray(axes.get_images()[0].get_array())


def lines(axes):
    """The named lines of axes."""
    return {n: line for line in axes.get_lines() if not (n := line.get_label()).startswith("_")}


# Every figure once, with data that would be in order: also what each check of input starts from.
CALLS = {
    "choice_panels": lambda: figures.choice_panels({"a": [1, 2]}, [1.0, 2.0], [False, True]),
    "grid_plot": lambda: figures.grid_plot(GRID),
    "grid_plots": lambda: figures.grid_plots(STACK, "abc"),
    "heat_map": lambda: figures.heat_map(GRID),
    "heat_maps": lambda: figures.heat_maps(STACK, "abc"),
    "attention_maps": lambda: figures.attention_maps(STACK / 100),
    "neuron_panel": lambda: figures.neuron_panel(STACK, STACK[:, :3, :3]),
    "input_grid": lambda: figures.input_grid(GRID.astype(int)),
    "target_grids": lambda: figures.target_grids({"mod 2": GRID % 2, "mod 3": GRID % 3}),
    "polar_naturals": lambda: figures.polar_naturals([np.arange(9), np.arange(30)], ["a", "b"]),
    "sieve_bars": lambda: figures.sieve_bars(MODULI, [9, 6, 3], [9, 3, 1]),
    "agreement_panels": lambda: figures.agreement_panels({"all": [0.1, 1.0, 0.2]}, 1),
    "network_graph": lambda: figures.network_graph([([[1.0, -2.0]], [0.5])]),
    "function_maps": lambda: figures.function_maps({"target": GRID}, GRID - 9, 3.0),
    "wave_shares": lambda: figures.wave_shares([1, 2, 3], {"x": [0.1, 1, 0.2]}, {"$a$": 2.0}),
    "beyond_training": lambda: figures.beyond_training(
        [-1, 0, 1], {"x": ([1, 0, 1], [0] * 3)}, 0.5
    ),
    "wave_chart": lambda: figures.wave_chart([2, 5], [[1.0], [0.2, 0.8]], "waves"),
    "training_map": lambda: figures.training_map(EPOCHS, RAMP, MODULI, "accuracy"),
    "training_maps": lambda: figures.training_maps(EPOCHS, RAMP, LATE, MODULI, "accuracy"),
    "curves": lambda: figures.curves(EPOCHS, {"train": RAMP[:, 0], "other": RAMP[:, 1]}, "loss"),
    "grokking_figure": lambda: figures.grokking_figure(EPOCHS, RAMP, LATE, MODULI),
    "norm_map": lambda: figures.norm_map(EPOCHS, RAMP + 0.1, NAMES),
    "singular_values_figure": lambda: figures.singular_values_figure({"W_E": [3, 2, 1]}),
    "singular_vectors_figure": lambda: figures.singular_vectors_figure(GRID[:, :2]),
    "fourier_embedding_figure": lambda: figures.fourier_embedding_figure({"T_miiii": GRID - 9}),
    "positional_embedding_figure": lambda: figures.positional_embedding_figure({"a": GRID[:3]}),
    "frequency_map": lambda: figures.frequency_map(EPOCHS, RAMP, {"rule": EPOCHS}),
    "filter_response": lambda: figures.filter_response([0.01, 0.1, 0.5], {"EMA": [1.5, 1.1, 1]}),
    "effect_matrix": lambda: figures.effect_matrix(RAMP - 0.5, MODULI),
    "frequency_stations": lambda: figures.frequency_stations({"W_E": [1, 3, 2]}, {2}),
    "phase_panels": lambda: figures.phase_panels({"k = 2": GRID[:, :2]}, "heard", "written"),
    "progress_figure": lambda: figures.progress_figure(
        [figures.TimePanel("loss", {"a": (EPOCHS, EPOCHS)})], {}
    ),
    "share_bars": lambda: figures.share_bars({"a": [0.2, 0.8]}, ["x", "y"], "share"),
    "effect_bars": lambda: figures.effect_bars({"a": 0.5, "b": 0.1}, "accuracy"),
    "ranking": lambda: figures.ranking({"a": [1, 3, 2]}, "effect (nats)"),
    "by_prime": lambda: figures.by_prime([2, 3, 5], {"a": [1, 0.5, 0.1]}, "share"),
    "wave_lives": lambda: figures.wave_lives(
        EPOCHS, RAMP + 0.1, {"transient": [True, False, False]}, np.full(len(EPOCHS), 1.5)
    ),
    "seed_dots": lambda: figures.seed_dots({"a": [1.0, 4, 2]}, "epochs"),
    "selectivity_maps": lambda: figures.selectivity_maps({"a": np.eye(2)}, [2, 3]),
    "circuit_grid": lambda: figures.circuit_grid({"a": np.eye(2, dtype=bool)}, [2, 3], "ab"),
    "answer_spread": lambda: figures.answer_spread([5, 7], {"a": [1, 0.5]}, {"a": [True, False]}),
    "task_standings": lambda: figures.task_standings([5, 7], [0.5, -0.5], [True, False]),
    "learning_order": lambda: figures.learning_order({7: [1, 2]}, {7: [2, 3]}, {7: [True, False]}),
    "dose_curves": lambda: figures.dose_curves([0, 1, 2], {"a": [1, 0.5, 0.1]}, "accuracy"),
}


def test_every_public_figure_is_checked_here():
    assert set(CALLS) <= set(figures.__all__)
    drawing = {name for name in figures.__all__ if name.lower() == name and name != "table"}
    assert drawing == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_figure_is_returned_whole_labelled_legible_and_not_left_open(name, tmp_path):
    figure = CALLS[name]()
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert 5 <= figure.get_figwidth() <= 7
    texts = [text for text in figure.findobj(plt.Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 9
    shown = " ".join(text.get_text() for text in texts)
    assert any(axes.get_xlabel() for axes in figure.axes) or "radius" in shown


def test_style_does_not_leak_into_the_reader_s_settings():
    before = dict(plt.rcParams)
    figures.heat_map(GRID)
    assert dict(plt.rcParams) == before


def test_a_failing_figure_leaves_nothing_open():
    with pytest.raises(ValueError, match="moduli or names"):
        figures.training_map(EPOCHS, RAMP, (2, 3), "accuracy")
    assert plt.get_fignums() == []


def test_axes_handed_in_are_drawn_on_and_stay_open():
    mine, axes = plt.subplots()
    assert figures.curves(EPOCHS, {"train": RAMP[:, 0]}, "loss", axes=axes) is mine
    assert len(axes.get_lines()) == 1
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


def test_a_notebook_cell_shows_its_figure_once():
    # A cell shows its last value as the formatter has it, then what pyplot still holds open.
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    select_figure_formats(shell, {"png"})
    figure = figures.grid_plot([[1, -2], [3, 4]])
    shown, _ = shell.display_formatter.format(figure)
    assert "image/png" in shown
    assert Gcf.get_all_fig_managers() == []


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray, lambda grid: grid.tolist()])
def test_any_kind_of_array_will_do(convert):
    np.testing.assert_array_equal(image(figures.heat_map(convert(GRID)).axes[0]), GRID)


# Grids


def test_squares_have_the_area_the_sign_and_the_place_of_their_values():
    values = np.array([[4.0, -1.0, 0.0], [0.25, 2.0, -4.0]])
    axes = figures.grid_plot(values, labels=("down", "across")).axes[0]
    centres, sides, fills = squares(axes)
    rows, columns = np.nonzero(values)
    np.testing.assert_allclose(centres, np.stack([columns, rows], axis=1), atol=1e-12)
    magnitude = np.abs(values[rows, columns])
    np.testing.assert_allclose(sides**2 / sides.max() ** 2, magnitude / 4)
    assert [fill == "#ffffff" for fill in fills] == list(values[rows, columns] < 0)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("down", "across")
    assert axes.yaxis_inverted()


def test_a_limit_sets_the_full_cell_and_larger_values_fill_it():
    _, sides, _ = squares(figures.grid_plot([[1.0, 2.0, 8.0]], limit=2.0).axes[0])
    np.testing.assert_allclose(sides, [0.9 / np.sqrt(2), 0.9, 0.9])


def test_small_multiples_share_a_scale_unless_told_otherwise():
    small, large = np.full((2, 2), 1.0), np.full((2, 2), 4.0)
    shared = [squares(a)[1][0] for a in figures.grid_plots([small, large], "ab").axes]
    np.testing.assert_allclose(shared[1], 2 * shared[0])
    own = figures.grid_plots([small, large], ["a", "b"], shared_limit=False).axes
    assert squares(own[0])[1][0] == squares(own[1])[1][0]
    assert [axes.get_title() for axes in own] == ["a", "b"]


def test_a_grid_of_zeros_has_no_squares():
    assert len(figures.grid_plot(np.zeros((3, 3))).axes[0].collections[0].get_paths()) == 0


def test_a_signed_map_diverges_from_zero():
    axes, bar = figures.heat_map(GRID - 5, signed=True, label="logit").axes
    assert axes.get_images()[0].get_clim() == (-19, 19)
    assert axes.get_images()[0].get_cmap().name == style.DIVERGING
    assert bar.get_ylabel() == "logit"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("$x_0$", "$x_1$")


def test_heat_maps_share_limits_and_leave_no_empty_panel():
    *maps, bar = figures.heat_maps(STACK, "abc", columns=2).axes
    assert len(maps) == 3
    for axes, grid in zip(maps, STACK, strict=True):
        np.testing.assert_array_equal(image(axes), grid)
        assert axes.get_images()[0].get_clim() == (0, 72)
    assert bar.get_xlabel() == "activation"


def test_attention_runs_from_zero_to_one():
    heads = figures.attention_maps(np.full((4, 5, 5), 0.5)).axes[:4]
    assert [axes.get_title() for axes in heads] == [f"head {i}" for i in (1, 2, 3, 4)]
    assert {axes.get_images()[0].get_clim() for axes in heads} == {(0.0, 1.0)}


def test_neuron_panel_puts_shares_of_variance_below_activations():
    top = figures.neuron_panel(STACK, STACK[:, :3, :3]).axes
    np.testing.assert_array_equal(image(top[1]), STACK[1])
    np.testing.assert_allclose(image(top[3]).sum(), 1)
    assert "cycles per" in top[3].get_ylabel()
    assert [a.get_ylabel() for a in top[-2:]] == ["activation", "share of variance"]


def test_a_large_neuron_has_its_corner_shown_too():
    large = np.random.default_rng(0).normal(size=(2, 80, 80))
    axes = figures.neuron_panel(large, large[:, :3, :3] ** 2).axes
    np.testing.assert_array_equal(image(axes[1]), large[1])
    np.testing.assert_array_equal(image(axes[3]), large[1, :37, :37])
    assert image(axes[5]).shape == (3, 3)
    assert axes[1].get_images()[0].norm.vmax == axes[3].get_images()[0].norm.vmax


def test_cells_too_small_for_whole_pixels_do_not_alias():
    """Stripes one cell wide, at two and a bit pixels each: nearest cells would beat visibly."""
    stripes = np.tile(np.arange(113) % 2, (113, 1)).astype(float)
    figure, axes = plt.subplots(figsize=(2.5, 2.5), dpi=100)
    grids.draw_image(axes, stripes, Normalize(0, 1), signed=False)
    axes.set_axis_off()
    axes.set_position((0, 0, 1, 1))
    figure.canvas.draw()
    row = np.asarray(figure.canvas.buffer_rgba())[125, :, 0].astype(float)
    plt.close(figure)
    pair = 2 * 250 / 113  # pixels of a dark and a light stripe
    windows = [row[at : at + round(7 * pair)].mean() for at in range(10, 200, 3)]
    assert np.ptp(windows) < 2 and np.ptp(row) > 200


def test_input_grid_writes_each_number_in_its_cell():
    numbers = np.arange(3)[:, None] + 3 * np.arange(3)[None, :]
    texts = figures.input_grid(numbers).axes[0].texts
    assert {(t.get_position()[1], t.get_position()[0]): int(t.get_text()) for t in texts} == {
        (x0, x1): x0 + 3 * x1 for x0 in range(3) for x1 in range(3)
    }


def test_target_grids_size_squares_by_the_remainder():
    axes = figures.target_grids({"mod 3": GRID % 3}).axes[0]
    _, sides, _ = squares(axes)
    remainder = (GRID % 3)[GRID % 3 > 0]
    np.testing.assert_allclose(sides**2, 0.81 * remainder / 2)


# Training


def test_log_edges_lie_half_way_on_the_log_scale():
    edges = style.log_edges(np.array([1.0, 4.0, 16.0]))
    np.testing.assert_allclose(edges, [0.5, 2, 8, 32])


def test_training_map_has_a_row_per_task_and_true_log_epochs():
    axes, bar = figures.training_map(EPOCHS, RAMP, MODULI, "accuracy").axes
    (mesh,) = axes.collections
    np.testing.assert_array_equal(mesh.get_array(), RAMP[1:].T)
    edges = np.asarray(mesh.get_coordinates())[0, :, 0]
    np.testing.assert_allclose(edges, style.log_edges(EPOCHS[1:]))
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "3", "5"]
    assert axes.yaxis_inverted()
    assert bar.get_ylabel() == "accuracy"
    assert mesh.get_clim() == (0, 1)


def test_training_maps_show_training_above_validation_on_one_scale():
    loss = 10.0 ** -np.arange(24).reshape(8, 3)
    figure = figures.training_maps(EPOCHS, loss, loss / 2, MODULI, "loss (nats)", log=True)
    top, bottom, bar = figure.axes
    assert (top.get_title(), bottom.get_title()) == ("training", "validation")
    np.testing.assert_array_equal(bottom.collections[0].get_array(), (loss / 2)[1:].T)
    norm = bottom.collections[0].norm
    assert isinstance(norm, LogNorm)
    np.testing.assert_allclose([norm.vmin, norm.vmax], [1e-9, 1e-3])
    assert norm is top.collections[0].norm
    assert bar.get_ylabel() == "loss (nats)"


def test_curves_leave_out_epoch_0_and_keep_the_colour_of_their_split():
    thin = {"validation": RAMP}
    axes = figures.curves(EPOCHS, {"validation": RAMP[:, 0]}, "loss", tasks=thin, log=True).axes[0]
    line = lines(axes)["validation"]
    np.testing.assert_array_equal(line.get_xdata(), EPOCHS[1:])
    np.testing.assert_array_equal(line.get_ydata(), RAMP[1:, 0])
    assert line.get_color() == style.SPLITS["validation"]
    assert len(axes.get_lines()) == 4
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylabel() == "loss"


def test_nine_lines_can_be_told_apart_and_are_named_as_symbols():
    axes = figures.curves(EPOCHS, {f"W_{i}": RAMP[:, 0] for i in range(9)}, "norm").axes[0]
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(looks) == 9
    assert r"$W_\mathrm{3}$" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_what_curves_are_compared_with_is_a_black_level_line():
    axes = figures.curves(EPOCHS, {"a": RAMP[:, 0]}, "norm", levels={"ε": 0.25}).axes[0]
    level = lines(axes)["ε"]
    assert list(level.get_ydata()) == [0.25, 0.25]
    assert level.get_color() == style.INK and level.get_linestyle() != "-"
    assert "ε" in [text.get_text() for text in axes.get_legend().get_texts()]
    many = figures.curves(
        EPOCHS, {f"W_{i}": RAMP[:, 0] for i in range(9)}, "norm", levels={"ε": 1.0}
    )
    assert sum(line.get_color() == style.INK for line in many.axes[0].get_lines()) == 2
    counts = figures.frequency_map(EPOCHS, RAMP, {"ours": EPOCHS}, levels={"chance": 9.0}).axes[1]
    assert list(lines(counts)["chance"].get_ydata()) == [9.0, 9.0]


def test_grokking_figure_shows_both_means_each_delay_and_who_never_learned():
    train, validation = np.zeros((8, 3)), np.zeros((8, 3))
    train[2:], validation[5:, 0], validation[7:, 1] = 1.0, 1.0, 1.0
    figure = figures.grokking_figure(EPOCHS, train, validation, MODULI, threshold=0.9)
    top, bottom = figure.axes
    means = lines(top)
    np.testing.assert_allclose(means["training inputs"].get_ydata(), train[1:].mean(1))
    np.testing.assert_allclose(means["unseen inputs"].get_ydata(), validation[1:].mean(1))
    dots = {(m, float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in
            bottom.get_lines() if (m := line.get_marker()) in ("o", "D", ">")}  # fmt: skip
    finished = {dot for dot in dots if not np.isnan(dot[1]) and dot[0] != ">"}
    assert finished == {("o", 2, 0), ("o", 2, 1), ("o", 2, 2), ("D", 16, 0), ("D", 64, 1)}
    assert [row for marker, _, row in dots if marker == ">"] == [2]
    assert [label.get_text() for label in bottom.get_yticklabels()] == ["2", "3", "5"]
    assert bottom.get_xscale() == "log"
    assert not top.texts


def test_grokking_figure_names_the_delay_of_the_mean():
    train, validation = np.zeros((8, 3)), np.zeros((8, 3))
    train[1:], validation[6:] = 1.0, 1.0
    top = figures.grokking_figure(EPOCHS, train, validation, MODULI).axes[0]
    assert [text.get_text() for text in top.texts] == ["delay\n31 epochs"]


def test_norm_map_is_absolute_on_a_log_scale_or_over_its_row_maximum():
    norms = np.outer(10.0 ** np.arange(8), [1.0, 2.0, 3.0])
    absolute = figures.norm_map(EPOCHS, norms, NAMES).axes[0].collections[0]
    np.testing.assert_array_equal(absolute.get_array(), norms[1:].T)
    assert isinstance(absolute.norm, LogNorm)
    axes, bar = figures.norm_map(EPOCHS, norms, NAMES, row_normalised=True).axes
    rows = axes.collections[0].get_array()
    np.testing.assert_allclose(rows.max(axis=1), 1)
    np.testing.assert_allclose(rows, np.tile(10.0 ** np.arange(-6, 1), (3, 1)))
    assert bar.get_ylabel().endswith("/ row maximum")
    assert axes.get_yticklabels()[1].get_text() == r"$W_\mathrm{pos}$"


def test_many_tasks_are_named_evenly():
    moduli = [str(i) for i in range(29)]
    axes = figures.training_map(EPOCHS, np.ones((8, 29)), moduli, "accuracy").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == moduli[::2]


# Spectra


def test_singular_values_mark_half_and_nine_tenths_of_the_variance():
    axes = figures.singular_values_figure({"T_nanda": [3.0, 2.0, 1.0, 0.0]}).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3, 2, 1, 0]
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [1.5, 2.5]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "50 %: rank 1",
        "90 %: rank 2",
    ]
    assert axes.get_title(loc="left") == r"$\mathcal{T}_\mathrm{nanda}$"


def test_singular_vectors_are_rows_of_squares_or_of_colours_when_many():
    centres, _, fills = squares(figures.singular_vectors_figure([[1, -1], [1, 1]]).axes[0])
    white = {tuple(np.round(c)) for c, f in zip(centres, fills, strict=True) if f == "#ffffff"}
    assert white == {(0, 1)}
    long = np.random.default_rng(0).normal(size=(113, 4))
    axes, bar = figures.singular_vectors_figure(long).axes
    np.testing.assert_array_equal(image(axes), long.T)
    assert bar.get_ylabel() == "entry"


def test_fourier_embedding_shows_norms_over_signed_coefficients():
    matrix = np.random.default_rng(0).normal(size=(31, 6))
    norms, picture, _ = figures.fourier_embedding_figure({"T_miiii": matrix}).axes
    heights = [bar.get_height() for bar in norms.patches]
    np.testing.assert_allclose(heights, np.linalg.norm(matrix, axis=1))
    np.testing.assert_array_equal(image(picture), matrix.T)
    ticks = {label.get_text(): place for label, place in
             zip(picture.get_xticklabels(), picture.get_xticks(), strict=True)}  # fmt: skip
    assert ticks["0"] == 0
    # cos and sin of frequency k are components 2k - 1 and 2k.
    assert all(place == 2 * int(k) - 0.5 for k, place in ticks.items() if k != "0")
    assert "cycles per" in picture.get_xlabel()


def test_positional_embedding_folds_dimensions_into_lines_of_pairs():
    table = np.arange(1.0, 31).reshape(3, 10)
    centres, sides, _ = squares(
        figures.positional_embedding_figure({"a": table}, per_line=4).axes[0]
    )
    found = {(int(round(y)), int(round(x))): s for (x, y), s in zip(centres, sides, strict=True)}
    assert len(found) == 20
    for position in (0, 1):
        for d in range(10):
            side = found[(3 * (d // 4) + position, d % 4)]
            np.testing.assert_allclose(side**2, 0.81 * table[position, d] / 20)


def test_frequency_map_counts_below_frequencies_on_one_axis():
    figure = figures.frequency_map(EPOCHS, RAMP, {"any neuron": EPOCHS + 1}, first=1)
    top, bottom, bar = figure.axes
    mesh = top.collections[0]
    np.testing.assert_array_equal(mesh.get_array(), RAMP[1:].T)
    np.testing.assert_array_equal(np.asarray(mesh.get_coordinates())[:, 0, 1], [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(lines(bottom)["any neuron"].get_ydata(), EPOCHS[1:] + 1)
    assert top.get_xlim() == bottom.get_xlim() == (1, 64)
    assert bottom.get_xscale() == "log"
    assert (bottom.get_ylabel(), bar.get_ylabel()) == ("active frequencies", "share of variance")


def test_filter_response_is_gain_against_log_frequency():
    axes = figures.filter_response([0.01, 0.1], {"EMA": [1.5, 1.0]}).axes[0]
    np.testing.assert_array_equal(lines(axes)["EMA"].get_ydata(), [1.5, 1.0])
    assert axes.get_xscale() == "log"
    assert "cycles per epoch" in axes.get_xlabel()


# Effects


def test_effect_matrix_diverges_from_no_effect():
    axes, bar = figures.effect_matrix(RAMP - 0.75, MODULI, names=list("abcdefgh")).axes
    np.testing.assert_array_equal(image(axes), RAMP - 0.75)
    assert axes.get_images()[0].get_clim() == (-0.75, 0.75)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == list("abcdefgh")
    assert "nats" in bar.get_ylabel()


def test_effect_bars_stand_beside_their_controls_and_the_baseline():
    controls = {"b": [0.7, 0.8, 0.9]}
    figure = figures.effect_bars({"a": 0.5, "b": 0.1}, "accuracy", controls=controls, baseline=0.95)
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.1]
    dots = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(dots[:, 0], [0.7, 0.8, 0.9])
    assert (np.abs(dots[:, 1] - 1) <= 0.25).all()
    assert axes.get_lines()[0].get_xdata() == [0.95, 0.95]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {
        "chosen",
        "random controls",
        "unchanged",
    }
    alone = figures.effect_bars({"a": 0.5}, "accuracy", baseline=0.95).axes[0]
    assert [text.get_text() for text in alone.get_legend().get_texts()] == ["unchanged"]


def test_ranking_descends_and_leaves_out_what_a_log_scale_cannot_hold():
    axes = figures.ranking({"a": [1.0, 0.0, 4.0, 2.0]}, "effect", log=True).axes[0]
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [4, 2, 1])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_by_prime_marks_each_prime_and_leaves_out_what_is_missing():
    values = {"a": [1.0, np.nan, 0.25], "b": [0.1, 0.2, 0.3]}
    axes = figures.by_prime([2, 3, 113], values, "share").axes[0]
    first = lines(axes)["a"]
    np.testing.assert_array_equal(first.get_xdata(), [2, 3, 113])
    np.testing.assert_array_equal(first.get_ydata(), [1.0, np.nan, 0.25])
    assert first.get_linestyle() == "None"
    assert lines(axes)["b"].get_marker() != first.get_marker()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "3"]


def test_by_prime_takes_a_group_of_a_smaller_base():
    axes = figures.by_prime([2, 3, 5], {"a": [1, 2, 3], "b": [4, 5]}, "share").axes[0]
    np.testing.assert_array_equal(lines(axes)["b"].get_xdata(), [2, 3])
    with pytest.raises(ValueError, match=r"c has shape \(4,\); it must have axes \(3,\)"):
        figures.by_prime([2, 3, 5], {"c": [1, 2, 3, 4]}, "share")


def test_dose_curves_lie_over_the_median_of_random_draws():
    draws = [[1, 0.9, 0.2], [1, 0.7, 0.4], [1, 0.8, 0.0]]
    axes = figures.dose_curves([0, 4, 8], {"a": [1, 0.1, 0]}, "accuracy", controls=draws).axes[0]
    np.testing.assert_array_equal(lines(axes)["a"].get_ydata(), [1, 0.1, 0])
    np.testing.assert_array_equal(lines(axes)["random (3 draws)"].get_ydata(), [1, 0.8, 0.2])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0.0


def test_doses_on_a_log_scale_say_so():
    axes = figures.dose_curves([1, 8], {"a": [1, 0]}, "accuracy", units="neurons", log=True).axes[0]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "neurons (log scale)"


# Input that cannot be drawn


def test_choice_panels_place_each_trial_at_its_choice_and_mark_medians():
    rates, heads = [0.1, 0.2, 0.1, 0.2, 0.1], [4, 4, 8, 8, 8]
    losses = [1.0, 2.0, 3.0, np.inf, 0.5]
    figure = figures.choice_panels(
        {"learning_rate": rates, "n_heads": heads}, losses, [False, False, False, True, True]
    )
    first, second, *empty = figure.axes
    assert [axes.get_xlabel() for axes in (first, second)] == ["learning_rate", "n_heads"]
    assert not any(axes.axison for axes in empty)
    for axes, options, chosen in ((first, [0.1, 0.2], rates), (second, [4, 8], heads)):
        assert [t.get_text() for t in axes.get_xticklabels()] == [f"{o:g}" for o in options]
        shown = lines(axes)
        for name, trials in {"complete": [0, 1, 2], "pruned": [3, 4]}.items():
            place, height = shown[name].get_data()
            np.testing.assert_array_equal(
                np.round(place), [options.index(chosen[t]) for t in trials]
            )
            np.testing.assert_array_equal(height, [losses[t] for t in trials])
        segments = [bar.get_segments()[0] for bar in axes.collections]
        medians = {round(segment[:, 0].mean()): segment[0, 1] for segment in segments}
        expected = {
            spot: np.median([losses[t] for t in (0, 1, 2) if chosen[t] == option])
            for spot, option in enumerate(options)
            if any(chosen[t] == option for t in (0, 1, 2))
        }
        assert medians == expected


WRONG = {
    "rows": (lambda: figures.grid_plot([1, 2]), r"values has shape \(2,\).*\(rows, columns\)"),
    "text": (lambda: figures.grid_plot([["a"]]), r"values holds <U1.*real numbers"),
    "complex": (lambda: figures.heat_map(GRID * 1j), r"complex128.*real numbers"),
    "empty": (lambda: figures.heat_map(np.zeros((0, 3))), r"values is empty"),
    "titles": (lambda: figures.heat_maps(STACK, "ab"), r"2 titles were given for 3"),
    "square": (lambda: figures.attention_maps(np.ones((2, 3, 4))), r"x0 and x1.*same length"),
    "powers": (lambda: figures.neuron_panel(STACK, STACK[:2]), r"powers has shape.*\(3, k0, k1\)"),
    "large": (lambda: figures.input_grid(np.ones((31, 31), int)), r"31×31.*at most 20"),
    "targets": (lambda: figures.target_grids({}), r"no targets"),
    "moduli": (lambda: figures.grokking_figure(EPOCHS, RAMP, RAMP, [2]), r"1 moduli.*for 3"),
    "pair": (
        lambda: figures.training_maps(EPOCHS, RAMP, RAMP[:4], MODULI, "a"),
        r"lower has shape \(4, 3\); it must have axes \(8, 3\)",
    ),
    "order": (lambda: figures.curves([3, 2, 1], {}, "a"), r"epochs run from 3 to 1.*increase"),
    "early": (lambda: figures.curves([0, 1], {}, "a"), r"two must be 1 or more"),
    "length": (lambda: figures.curves(EPOCHS, {"a": [1]}, "a"), r"a has shape \(1,\).*\(8,\)"),
    "tasks": (
        lambda: figures.curves(EPOCHS, {"a": EPOCHS}, "a", tasks={"b": RAMP}),
        r"tasks names \['b'\]; the lines are \['a'\]",
    ),
    "log": (
        lambda: figures.norm_map(EPOCHS, np.zeros((8, 3)), NAMES),
        r"largest value is 0.0; a log scale",
    ),
    "nothing": (lambda: figures.singular_values_figure({}), r"spectra is empty"),
    "position": (lambda: figures.positional_embedding_figure({"a": GRID[:1]}), r"two positions"),
    "frequency": (lambda: figures.filter_response([0, 1], {}), r"start at 0.*above 0"),
    "control": (
        lambda: figures.effect_bars({"a": 1.0}, "x", controls={"b": [1]}),
        r"controls names \['b'\]; the effects are \['a'\]",
    ),
    "choices": (
        lambda: figures.choice_panels({"a": [1, 2]}, [1.0, 2.0, 3.0], [0, 0, 1]),
        r"a has 2 values for 3 trials",
    ),
    "draws": (
        lambda: figures.dose_curves([0, 1], {}, "x", controls=[[1, 2, 3]]),
        r"controls has shape \(1, 3\).*\(draw, 2\)",
    ),
}


test_wrong_input_is_refused_with_what_is_accepted = refusals(WRONG)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01, "0.01"), (256.0, "256"), (16e3, "16k"), (2e6, "2M"), (1e-5, "1e-05")],
)
def test_short_numbers(value, text):
    assert style.short_number(value) == text
