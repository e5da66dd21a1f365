import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from refusals import refusals

from miiii_core import figures
from miiii_core.figures import networks

LAYERS = [
    (np.array([[1.0, -2.0], [0.5, 0.0], [-4.0, 3.0]]), np.array([2.0, -1.0, 0.0])),
    (np.array([[1.0, -0.25, 2.0]]), np.array([-4.0])),
]
GRID = np.arange(12.0).reshape(3, 4) - 5


def edges(collection):
    """Place of both ends, width and colour of each line."""
    ends = np.array(collection.get_segments()).reshape(-1, 4)
    colours = [to_hex(c).upper() for c in collection.get_colors()]
    return {tuple(e): (w, c) for e, w, c in
            zip(ends, collection.get_linewidths(), colours, strict=True)}  # fmt: skip


def scattered(axes):
    """Circles and discs of each layer in turn."""
    return [c for c in axes.collections if isinstance(c, PathCollection)]


def node_heights(axes):
    """Heights of the circles, by their layer, from the top."""
    return [np.asarray(c.get_offsets())[:, 1] for c in scattered(axes)[::2]]


def test_every_weight_is_a_line_of_its_width_and_sign_between_its_nodes():
    axes = figures.network_graph(LAYERS).axes[0]
    heights = node_heights(axes)
    assert [len(h) for h in heights] == [2, 3, 1]
    assert all((np.diff(h) < 0).all() for h in heights)
    for depth, (weight, _) in enumerate(LAYERS):
        found = edges(axes.collections[depth])
        assert len(found) == np.count_nonzero(weight)
        for (i, j), value in np.ndenumerate(weight):
            if value:
                place = (depth, heights[depth][j], depth + 1, heights[depth + 1][i])
                width, colour = found[place]
                assert width == pytest.approx(networks.WIDEST * abs(value) / 4)
                assert colour == (networks.POSITIVE if value > 0 else networks.NEGATIVE)


def test_every_bias_is_a_disc_of_its_size_and_sign():
    axes = figures.network_graph(LAYERS).axes[0]
    discs = scattered(axes)[1::2]
    assert len(discs) == 3
    for layer, biases in zip(discs, [np.zeros(2), *(b for _, b in LAYERS)], strict=True):
        np.testing.assert_allclose(np.sqrt(layer.get_sizes()), networks.NODE * np.abs(biases) / 4)
        colours = [to_hex(c).upper() for c in layer.get_facecolor()]
        for colour, bias in zip(colours, biases, strict=True):
            assert bias == 0 or colour == (networks.POSITIVE if bias > 0 else networks.NEGATIVE)


def test_inputs_and_output_are_named_and_the_scale_is_told():
    figure = figures.network_graph(LAYERS, inputs=("one", "two"), output="sum")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["one", "two", "sum"]
    assert "4.00" in axes.get_legend().get_title().get_text()
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["input", "3 neurons", "output"]


def test_a_network_of_zeros_has_no_lines():
    axes = figures.network_graph([(np.zeros((1, 2)), np.zeros(1))]).axes[0]
    assert not axes.collections[0].get_segments()


def test_maps_share_one_scale_and_the_residual_has_its_own():
    figure = figures.function_maps({"a": GRID, "b": 2 * GRID}, GRID / 10, 3.0)
    *cells, shared, own = figure.axes
    assert [cell.get_title() for cell in cells] == ["a", "b", "residual"]
    for cell, values in zip(cells, [GRID, 2 * GRID, GRID / 10], strict=True):
        (drawn,) = cell.get_images()
        np.testing.assert_array_equal(drawn.get_array(), values.T)
        assert tuple(drawn.get_extent()) == (-3, 3, -3, 3)
        assert drawn.origin == "lower"
    limits = [cell.get_images()[0].get_clim() for cell in cells]
    np.testing.assert_allclose(limits, [(-12, 12), (-12, 12), (-0.6, 0.6)])
    assert "target" in own.get_xlabel() and shared.get_xlabel() == "value"


def test_wave_shares_are_lines_with_marked_frequencies():
    axes = figures.wave_shares([1, 2, 3], {"x": [0, 1, 0.5]}, {"a": 2.0}).axes[0]
    line, mark = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [0, 1, 0.5])
    assert mark.get_xdata() == [2.0, 2.0]
    assert [text.get_text() for text in axes.texts] == ["a"]


def test_lines_beyond_training_shade_the_range_that_was_trained():
    cut = ([0, 1, 0], [0.1, 1, 5])
    (axes,) = figures.beyond_training([-2, 0, 2], {"x": cut}, 1.0).axes
    for line, values in zip(axes.get_lines(), cut, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
    (shade,) = axes.patches
    assert (shade.get_x(), shade.get_width()) == (-1, 2)


WRONG = {
    "none": (lambda: figures.network_graph([]), r"layers is empty"),
    "inputs": (
        lambda: figures.network_graph(LAYERS, inputs=("x",)),
        r"weight of layer 0 has shape \(3, 2\).*\(out, 1\)",
    ),
    "chain": (
        lambda: figures.network_graph([LAYERS[0], LAYERS[0]]),
        r"weight of layer 1 has shape \(3, 2\).*\(out, 3\)",
    ),
    "bias": (
        lambda: figures.network_graph([(LAYERS[0][0], np.zeros(2))]),
        r"bias of layer 0 has shape \(2,\).*\(3,\)",
    ),
    "crowd": (
        lambda: figures.network_graph([(np.ones((99, 2)), np.ones(99))]),
        r"a layer of 99 neurons cannot be read.*at most 32",
    ),
    "maps": (lambda: figures.function_maps({}, GRID, 1.0), r"maps is empty"),
    "residual": (
        lambda: figures.function_maps({"a": GRID}, GRID.T, 1.0),
        r"residual has shape \(4, 3\).*\(3, 4\)",
    ),
    "waves": (lambda: figures.wave_shares([1, 2], {"x": [1]}, {}), r"x has shape \(1,\).*\(2,\)"),
    "cuts": (lambda: figures.beyond_training([0, 1], {}, 1.0), r"cuts is empty"),
    "cut": (
        lambda: figures.beyond_training([0, 1], {"x": ([0, 1], [0])}, 1.0),
        r"network along x has shape \(1,\)",
    ),
}


test_wrong_input_is_refused_with_what_is_accepted = refusals(WRONG)
