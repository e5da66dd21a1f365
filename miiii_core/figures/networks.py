"""A small network weight by weight, and the function that it computes beside the one it learned."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from . import style
from .style import checked, drawn, panel, panels

POSITIVE, NEGATIVE = style.COLOURS[0], style.COLOURS[1]
WIDEST, NODE = 5.0, 13.0  # points: the line of the largest weight, the diameter of a neuron
MOST_NEURONS = 32
Layer = tuple[ArrayLike, ArrayLike]


@drawn
def network_graph(
    layers: Sequence[Layer],
    *,
    inputs: Sequence[str] = ("x", "y"),
    output: str = "f",
    axes: Axes | None = None,
) -> Figure:
    """Every weight as a line from node to node, every bias as a disc in its node, on one scale.

    The width of a line is proportional to the weight's magnitude, and so is the diameter of a
    disc to the bias's; colour is the sign.

    Args:
        layers: weight (out, in) and bias (out,) of each, from the input on.
        inputs: names of the inputs.
        output: name of the last layer's nodes.
        axes: where to draw; a new figure by default.
    """
    weights, biases = _checked_layers(layers, len(inputs))
    largest = max(float(np.abs(array).max()) for array in (*weights, *biases)) or 1.0
    sizes = [len(inputs), *map(len, biases)]
    figure, axes = panel(axes, 1.2 + 0.27 * max(sizes))
    heights = [_heights(size, max(sizes)) for size in sizes]
    for depth, weight in enumerate(weights):
        axes.add_collection(_edges(weight, depth, heights[depth], heights[depth + 1], largest))
    for depth, bias in enumerate([np.zeros(len(inputs)), *biases]):
        _draw_nodes(axes, depth, heights[depth], bias / largest)
    _name_nodes(axes, 0, heights[0], inputs)
    _name_nodes(axes, len(layers), heights[-1], [output] * sizes[-1])
    _legend(axes, largest)
    reach = max(sizes) / 2
    axes.set(xlim=(-0.2, len(layers) + 0.2), ylim=(-reach, reach), yticks=[])
    hidden = [f"{n} neurons" for n in sizes[1:-1]]
    axes.set_xticks(range(len(sizes)), ["input", *hidden, "output"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("layer")
    return figure


def _checked_layers(
    layers: Sequence[Layer], n_inputs: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights and biases whose sizes follow from one layer to the next."""
    if not layers:
        raise ValueError("layers is empty; give at least one pair of weight and bias")
    weights, biases, width = [], [], n_inputs
    for index, (weight, bias) in enumerate(layers):
        matrix = checked(weight, f"weight of layer {index}", "out", width)
        weights.append(matrix)
        biases.append(checked(bias, f"bias of layer {index}", len(matrix)))
        width = len(matrix)
    if (most := max(map(len, biases))) > MOST_NEURONS:
        raise ValueError(
            f"a layer of {most} neurons cannot be read; give layers of at most {MOST_NEURONS}"
        )
    return weights, biases


def _heights(count: int, most: int) -> np.ndarray:
    """Places of the nodes of a layer, the first on top; a small layer spreads out somewhat."""
    gap = min(3.0, (most - 1) / max(count - 1, 1))
    return gap * ((count - 1) / 2 - np.arange(count))


def _sign(values: np.ndarray) -> list[str]:
    return [POSITIVE if value > 0 else NEGATIVE for value in values]


def _edges(
    weight: np.ndarray, depth: int, sources: np.ndarray, targets: np.ndarray, largest: float
) -> LineCollection:
    """Lines of one layer, entry [i, j] from node j to node i, the widest drawn last."""
    i, j = np.nonzero(weight)
    order = np.argsort(np.abs(weight[i, j]))
    i, j = i[order], j[order]
    left, right = np.full(len(i), depth), np.full(len(i), depth + 1)
    ends = np.stack([left, sources[j], right, targets[i]], axis=1).reshape(-1, 2, 2)
    return LineCollection(
        list(ends),
        linewidths=WIDEST * np.abs(weight[i, j]) / largest,
        colors=_sign(weight[i, j]),
        alpha=0.8,
        zorder=1,
    )


def _draw_nodes(axes: Axes, place: int, heights: np.ndarray, biases: np.ndarray) -> None:
    """Circles, and in each a disc for its bias, given as a share of the largest number."""
    x = np.full(len(heights), place)
    axes.scatter(x, heights, s=NODE**2, facecolors="white", edgecolors=style.INK, zorder=2)
    discs = (NODE * np.abs(biases)) ** 2
    axes.scatter(x, heights, s=discs, c=_sign(biases), linewidths=0, zorder=3)


def _name_nodes(axes: Axes, place: int, heights: np.ndarray, names: Sequence[str]) -> None:
    """Names beside the nodes of the first or the last layer."""
    side, where = ("right", place - 0.09) if place == 0 else ("left", place + 0.09)
    for name, height in zip(names, heights, strict=True):
        axes.text(where, height, style.symbols(name), ha=side, va="center")


def _legend(axes: Axes, largest: float) -> None:
    """What colour and width mean."""
    rows = {"positive": (POSITIVE, WIDEST), "negative": (NEGATIVE, WIDEST)}
    lines = [Line2D([], [], color=c, linewidth=w, label=n) for n, (c, w) in rows.items()]
    title = f"line: weight, disc: bias; the widest is {largest:.2f}"
    axes.legend(handles=lines, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), title=title)


@drawn
def function_maps(maps: Mapping[str, ArrayLike], residual: ArrayLike, half_width: float) -> Figure:
    """Functions of (x, y) on one colour scale, and what is left between them on its own.

    Args:
        maps: (x, y) values by title, on an even grid of the square.
        residual: (x, y) the difference.
        half_width: the square reaches from minus to plus this, in both directions.
    """
    if not maps:
        raise ValueError("maps is empty; give at least one {title: (x, y) values}")
    shown = {title: checked(values, title, "x", "y") for title, values in maps.items()}
    left = checked(residual, "residual", *next(iter(shown.values())).shape)
    largest = max(float(np.abs(values).max()) for values in shown.values())
    figure, axes = panels(1, len(shown) + 1, 3.5, sharey=True, layout="compressed")
    every = [*shown.items(), ("residual", left)]
    limits = [largest] * len(shown) + [float(np.abs(left).max())]
    for cell, (title, values), limit in zip(axes[0], every, limits, strict=True):
        image = _draw_map(cell, values, half_width, limit or 1.0)
        cell.set(title=title, xlabel="$x$")
        if cell is axes[0, len(shown) - 1]:
            figure.colorbar(
                image, ax=list(axes[0, :-1]), location="bottom", label="value", aspect=30
            )
    figure.colorbar(image, ax=axes[0, -1], location="bottom", label="target − fit", aspect=14)
    axes[0, 0].set_ylabel("$y$")
    return figure


def _draw_map(axes: Axes, values: np.ndarray, half_width: float, limit: float) -> Any:
    """A function of the plane, x to the right and y upwards."""
    return axes.imshow(
        values.T,
        origin="lower",
        extent=(-half_width, half_width, -half_width, half_width),
        cmap=style.DIVERGING,
        norm=Normalize(-limit, limit),
        interpolation="nearest",
    )


@drawn
def wave_shares(
    frequencies: ArrayLike,
    shares: Mapping[str, ArrayLike],
    marks: Mapping[str, float],
    *,
    axes: Axes | None = None,
) -> Figure:
    """How much of each function a single wave explains, against its frequency.

    Args:
        frequencies: (wave,) in radians per unit.
        shares: of variance, (wave,), by the name of the function.
        marks: frequencies to point at, by name.
        axes: where to draw; a new figure by default.
    """
    omega = checked(frequencies, "frequencies", "wave")
    figure, axes = panel(axes, 3.4)
    for index, (name, values) in enumerate(shares.items()):
        axes.plot(omega, checked(values, name, len(omega)), label=name, **style.line_look(index))
    for name, place in marks.items():
        axes.axvline(place, color=style.FAINT, linewidth=1, zorder=0)
        axes.text(place, 1.02, name, ha="center", transform=axes.get_xaxis_transform())
    axes.set(xlabel="frequency (radians per unit)", ylabel="share of variance", ylim=(0, 1.02))
    axes.legend(loc="best")
    return figure


@drawn
def beyond_training(
    positions: ArrayLike, cuts: Mapping[str, tuple[ArrayLike, ArrayLike]], half_width: float
) -> Figure:
    """Target and fit along lines that leave the range of training, which is shaded.

    Args:
        positions: (n,) along each line.
        cuts: target (n,) and fit (n,) of each line, by what it runs along.
        half_width: training reached from minus to plus this.
    """
    if not cuts:
        raise ValueError("cuts is empty; give at least one {line: (target, fit)}")
    places = checked(positions, "positions", "position")
    figure, axes = panels(len(cuts), 1, 0.6 + 2.0 * len(cuts))
    for row, (line, curves) in zip(axes[:, 0], cuts.items(), strict=True):
        row.axvspan(-half_width, half_width, color="#EEEEEE", zorder=0)
        for index, (name, values) in enumerate(zip(("target", "network"), curves, strict=True)):
            curve = checked(values, f"{name} along {line}", len(places))
            row.plot(places, curve, label=name, **style.line_look(index))
        row.set(xlabel=line, ylabel="value", xlim=(places.min(), places.max()))
    figure.legend(handles=axes[0, 0].get_lines(), ncols=2, loc="outside upper center")
    return figure
