"""Values by prime, by condition and by frequency, beside their controls; a network in full."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_all, drawn, panel, panels, symbols

PARTS = (style.COLOURS[0], style.COLOURS[3], style.PALE, style.GREY)
WIDEST, NODE = 5.0, 13.0  # points: the line of the largest weight, the diameter of a neuron


@drawn
def by_prime(
    moduli: ArrayLike,
    values: Mapping[str, ArrayLike],
    label: str,
    *,
    full: Mapping[str, ArrayLike] | None = None,
    joined: bool = False,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    never: str = "never",
    controls: Collection[str] = (),
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Draw a value for each prime, as marks along a log axis of the primes.

    Args:
        moduli: Primes, ascending.
        values: Values (task,) by group, of the first primes if there are fewer; NaN is left out,
            and infinite ones stand on a line above all others.
        label: Label of the vertical axis, with its unit.
        full: Truth (task,) by group, of the marks that are full; the others are hollow.
        joined: Whether lines join the marks, the later a group the darker.
        log: Whether the vertical axis has a log scale.
        levels: Heights to compare with, by name; dashed.
        never: Name of the line of infinite values.
        controls: Names of groups that are controls; grey.
        title: What the figure shows.
        axes: Where to draw; a new figure by default.
    """
    primes = checked(moduli, "moduli", "task")
    groups = checked_all(values, "values", "task")
    style.checked_keys(full or {}, groups, "full")
    looks = style.looks(groups, controls)
    if joined:
        shades = np.linspace(0.4, 1, len(groups)) if len(groups) > 1 else [1.0]
        colours = matplotlib.colormaps[style.SEQUENTIAL](shades)
        looks = {n: {"color": c} for n, c in zip(groups, colours, strict=True)}
    figure, axes = panel(axes, 3.8)
    handles = style.level_lines(axes, levels or {})
    found = np.concatenate([group.astype(float) for group in groups.values()])
    above = float(np.max(found[np.isfinite(found)], initial=1.0)) * (2.0 if log else 1.1)
    for index, (name, group) in enumerate(groups.items()):
        if len(group) > len(primes):
            raise ValueError(f"{name} has {len(group)} values for {len(primes)} primes")
        height, x = np.where(np.isposinf(group), above, group), primes[: len(group)]
        solid = np.ones(len(group), bool)
        if full and name in full:
            solid = checked(full[name], f"full[{name!r}]", len(group)).astype(bool)
        look = looks[name] | {"linestyle": "-" if joined else "none", "linewidth": 1.2}
        handles += axes.plot(x, height, label=name, **look)
        look |= {"linestyle": "none", "marker": "o" if joined else style.MARKERS[index % 5]}
        axes.plot(x[solid], height[solid], **look)
        axes.plot(x[~solid], height[~solid], **look | {"markerfacecolor": "white"})
    if np.isposinf(found).any():
        handles.append(axes.axhline(above, color=style.GREY, linewidth=0.8, label=never, zorder=0))
    if log:
        axes.set_yscale("log")
        style.plain_log(axes.yaxis)
    axes.set(ylabel=label, title=title)
    style.prime_axis(axes, primes)
    style.name_ends(axes, handles if len(handles) > 1 else [])
    return figure


@drawn
def dot_rows(
    values: Mapping[str, Any],
    label: str,
    *,
    controls: Mapping[str, ArrayLike] | None = None,
    baseline: float | None = None,
    log: bool = False,
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Draw a row for each condition: a dot for each seed, a bar at their median, controls in grey.

    Args:
        values: Values (seed,), or one number, by condition from the top; a row may be empty.
        label: Label of the horizontal axis, with its unit.
        controls: Values (draw,) of random controls by condition.
        baseline: Value without any change, drawn as a line.
        log: Whether the horizontal axis has a log scale.
        title: What the figure shows.
        axes: Where to draw; a new figure by default.
    """
    if not values:
        raise ValueError("values is empty; give at least one {condition: (seed,)}")
    style.checked_keys(controls or {}, values, "controls")
    figure, axes = panel(axes, 1.0 + 0.42 * len(values))
    for row, name in enumerate(values):
        for given, colour, size in (
            ((controls or {}).get(name, ()), style.PALE, 18),
            (values[name], style.COLOURS[0], 34),
        ):
            dots = np.atleast_1d(given)
            if not dots.size:
                continue
            dots = checked(dots, name, "seed")
            height = row + np.linspace(-0.25, 0.25, len(dots)) * (len(dots) > 1)
            axes.scatter(dots, height, s=size, color=colour, zorder=3, linewidths=0)
            if len(dots) > 1:
                axes.vlines(np.median(dots), row - 0.36, row + 0.36, color=colour, zorder=2)
    if baseline is not None:
        axes.axvline(baseline, color=style.GREY, linestyle="--", linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(values)), [symbols(name) for name in values])
    if log:
        axes.set_xscale("log")
        style.plain_log(axes.xaxis)
    axes.set(xlabel=label, ylim=(len(values) - 0.5, -0.5), title=title)
    axes.grid(axis="x", color=style.PALE, linewidth=0.5, alpha=0.5)
    return figure


@drawn
def bar_panels(
    values: Mapping[str, ArrayLike],
    across: str,
    *,
    label: str = "",
    key: Collection[int] | None = None,
    cuts: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw bars at 1, 2, ..., a panel for each row: spectra, and singular values (Fig. 8).

    Args:
        values: Values (bar,) by the title of their panel, from the top.
        across: Label of the horizontal axis, with its unit.
        label: Label of the vertical axes, with its unit.
        key: Places of the bars in colour, which are named; the others are grey. All are in
            colour by default.
        cuts: For each panel by title, the last bar up to a line, by the name of the line.
    """
    rows = checked_all(values, "values", "bar")
    style.checked_keys(cuts or {}, rows, "cuts")
    alike = len(set(map(len, rows.values()))) == 1
    figure, axes = panels(len(rows), 1, 0.6 + 1.35 * len(rows), sharex=alike)
    for cell, (title, heights) in zip(axes[:, 0], rows.items(), strict=True):
        places = np.arange(1, len(heights) + 1)
        named = [k for k in sorted(key or ()) if heights[k - 1] > 0]
        colours = [style.COLOURS[0] if key is None or k in key else style.PALE for k in places]
        cell.bar(places, heights, width=0.8, color=colours)
        for k in named:
            up: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
            cell.annotate(str(k), (k, heights[k - 1]), (0, 2), color=style.COLOURS[0], **up)
        for index, (name, last) in enumerate((cuts or {}).get(title, {}).items()):
            cell.axvline(last + 0.5, color=style.INK, linestyle=style.DASHES[1 + index % 3])
            place, beside = (last + 0.5, 0.95 - 0.2 * index), ("data", "axes fraction")
            cell.annotate(
                f"{name}: {last:g}", place, (4, 0), xycoords=beside, va="top", fontsize=10,
                textcoords="offset points",
            )  # fmt: skip
        cell.set_title(symbols(title), loc="left", fontsize=11)
        cell.set(ylabel=label, xlim=(0, len(heights) + 1))
        cell.set_ylim(0, (float(np.nanmax(heights)) or 1.0) * (1.3 if key else 1.05))
    axes[-1, 0].set_xlabel(across)
    return figure


@drawn
def share_bars(rows: Mapping[str, ArrayLike], parts: Sequence[str], label: str) -> Figure:
    """Draw what each row is made of: one bar for each, its parts side by side.

    Args:
        rows: Shares (part,) that add up to 1, by row from the top.
        parts: Names of the parts, four at most.
        label: Label of the horizontal axis.
    """
    if not 1 <= len(parts) <= len(PARTS):
        raise ValueError(f"{len(parts)} parts were given; give 1 to {len(PARTS)}")
    shares = np.array(list(checked_all(rows, "rows", len(parts)).values()))
    figure, axes = panel(None, 1.1 + 0.34 * len(shares))
    starts = np.cumsum(shares, axis=1) - shares
    for part, colour, widths, start in zip(parts, PARTS, shares.T, starts.T, strict=False):
        axes.barh(range(len(shares)), widths, left=start, height=0.7, color=colour, label=part)
    axes.set_yticks(range(len(shares)), [symbols(name) for name in rows])
    axes.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5), xlabel=label)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, columnspacing=1.2)
    return figure


@drawn
def network_graph(
    layers: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    inputs: Sequence[str] = ("x", "y"),
    output: str = "f",
) -> Figure:
    """Draw every weight as a line and every bias as a disc in its node: blue above 0, orange below.

    Widths of lines and diameters of discs are proportional to magnitudes, on one scale.

    Args:
        layers: Weight (out, in) and bias (out,) of each layer, from the input on.
        inputs: Names of the inputs.
        output: Name of the last layer's nodes.
    """
    weights, biases = [], [np.zeros(len(inputs))]
    for index, (weight, bias) in enumerate(layers):
        weights.append(checked(weight, f"weight of layer {index}", "out", len(biases[-1])))
        biases.append(checked(bias, f"bias of layer {index}", len(weights[-1])))
    largest = max(float(np.abs(array).max()) for array in (*weights, *biases)) or 1.0
    most = max(map(len, biases))
    nodes = [min(3.0, (most - 1) / max(len(b) - 1, 1)) * ((len(b) - 1) / 2 - np.arange(len(b)))
             for b in biases]  # fmt: skip
    figure, axes = panel(None, 1.2 + 0.27 * most)
    for depth, weight in enumerate(weights):
        i, j = np.divmod(np.argsort(np.abs(weight), axis=None), weight.shape[1])
        x = np.full(len(i), depth)
        ends = np.stack([x, nodes[depth][j], x + 1, nodes[depth + 1][i]], axis=1)
        widths = WIDEST * np.abs(weight[i, j]) / largest
        look: dict[str, Any] = {"linewidths": widths, "alpha": 0.8, "zorder": 1}
        lines = LineCollection(list(ends.reshape(-1, 2, 2)), colors=_sign(weight[i, j]), **look)
        axes.add_collection(lines)
    for depth, (bias, heights) in enumerate(zip(biases, nodes, strict=True)):
        x = np.full(len(bias), depth)
        axes.scatter(x, heights, s=NODE**2, facecolors="white", edgecolors=style.INK, zorder=2)
        discs = (NODE * np.abs(bias) / largest) ** 2
        axes.scatter(x, heights, s=discs, c=_sign(bias), linewidths=0, zorder=3)
    for name, height in zip(inputs, nodes[0], strict=True):
        axes.text(-0.09, height, name, ha="right", va="center")
    for height in nodes[-1]:
        axes.text(len(layers) + 0.09, height, output, va="center")
    axes.set(xlim=(-0.2, len(layers) + 0.2), ylim=(-most / 2, most / 2), yticks=[])
    hidden = [f"{len(b)} neurons" for b in biases[1:-1]]
    axes.set_xticks(range(len(biases)), ["input", *hidden, "output"])
    axes.set_title(f"blue: positive, orange: negative; the widest line is {largest:.2f}")
    axes.spines[:].set_visible(False)
    return figure


def _sign(values: np.ndarray) -> list[str]:
    return [style.COLOURS[0] if value > 0 else style.SPLITS["train"] for value in values]
