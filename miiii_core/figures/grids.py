"""Functions of (x0, x1) and other matrices: squares in the paper's manner, heat maps."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_names, checked_square, drawn, panel, panels

X0, X1 = "$x_0$", "$x_1$"
CORNER = 37  # side of the part of a neuron's grid that the paper's Fig. 14 shows


@drawn
def grid_plot(
    values: ArrayLike,
    *,
    title: str = "",
    labels: tuple[str, str] = ("row", "column"),
    limit: float | None = None,
    axes: Axes | None = None,
) -> Figure:
    """A matrix as squares: area is magnitude, filled is positive, hollow is negative.

    Args:
        values: (rows, columns).
        title: above the grid.
        labels: of the vertical and the horizontal axis.
        limit: magnitude of a square that fills its cell; the largest by default.
        axes: where to draw; a new figure by default.
    """
    grid = checked(values, "values", "rows", "columns")
    rows, columns = grid.shape
    height = min(0.9 + (style.WIDTH - 1.0) * rows / columns, 7.5)
    figure, axes = panel(axes, height)
    draw_squares(axes, grid, limit)
    axes.set(title=style.symbols(title), ylabel=labels[0], xlabel=labels[1])
    return figure


@drawn
def grid_plots(
    grids: Sequence[ArrayLike] | np.ndarray,
    titles: Sequence[str],
    *,
    columns: int = 3,
    labels: tuple[str, str] = (X0, X1),
    shared_limit: bool = True,
) -> Figure:
    """Several grids in the paper's manner, side by side, on one scale unless told otherwise."""
    arrays = [checked(grid, "each grid", "rows", "columns") for grid in grids]
    names = checked_names(titles, len(arrays), "titles")
    limit = max(float(np.nanmax(np.abs(grid))) for grid in arrays) if shared_limit else None
    figure, cells = _small_multiples(len(arrays), columns)
    for axes, grid, name in zip(cells, arrays, names, strict=True):
        draw_squares(axes, grid, limit)
        axes.set_title(name)
    _label_outside(cells, columns, labels)
    return figure


def draw_squares(axes: Axes, grid: np.ndarray, limit: float | None = None) -> PolyCollection:
    """Draw the squares of a grid, first row on top, cell [i, j] at (j, i)."""
    largest = float(np.nanmax(np.abs(grid))) if limit is None else limit
    row, column = np.nonzero(np.nan_to_num(grid))
    value = grid[row, column].astype(float)
    half = 0.45 * np.sqrt(np.minimum(np.abs(value) / (largest or 1.0), 1.0))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    centres = np.stack([column, row], axis=1)[:, None, :]
    squares = PolyCollection(
        centres + half[:, None, None] * corners,
        facecolors=[style.INK if v > 0 else "white" for v in value],
        edgecolors=style.INK,
        linewidths=_stroke(axes, grid.shape),
    )
    axes.add_collection(squares)
    axes.set(xlim=(-0.6, grid.shape[1] - 0.4), ylim=(grid.shape[0] - 0.4, -0.6), aspect="equal")
    style.whole_ticks(axes, 6)
    axes.spines[:].set_visible(False)
    return squares


@drawn
def heat_map(
    values: ArrayLike,
    *,
    title: str = "",
    label: str = "activation",
    labels: tuple[str, str] = (X0, X1),
    signed: bool = False,
    axes: Axes | None = None,
) -> Figure:
    """One matrix as colours, first axis downwards, with its colour bar.

    Args:
        values: (x0, x1), or any (rows, columns).
        title: above the map.
        label: what the colours measure, with its unit.
        labels: of the vertical and the horizontal axis.
        signed: colours diverge from 0.
        axes: where to draw; a new figure by default.
    """
    grid = checked(values, "values", "rows", "columns")
    figure, axes = panel(axes, 5.0, 5.6)
    image = draw_image(axes, grid, _limits(grid, signed), signed)
    axes.set(title=style.symbols(title), ylabel=labels[0], xlabel=labels[1])
    figure.colorbar(image, ax=axes, label=label, shrink=0.9)
    return figure


@drawn
def heat_maps(
    grids: ArrayLike,
    titles: Sequence[str],
    *,
    label: str = "activation",
    labels: tuple[str, str] = (X0, X1),
    columns: int = 3,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Several maps (n, rows, columns) on one colour scale with one colour bar."""
    stack = checked(grids, "grids", "n", "rows", "columns")
    names = checked_names(titles, len(stack), "titles")
    norm = Normalize(*limits) if limits else _limits(stack, signed)
    figure, cells = _small_multiples(len(stack), columns)
    for axes, grid, name in zip(cells, stack, names, strict=True):
        image = draw_image(axes, grid, norm, signed)
        axes.set_title(name)
    _label_outside(cells, columns, labels)
    figure.colorbar(image, ax=list(cells), label=label, location="bottom", shrink=0.7, aspect=30)
    return figure


def attention_maps(attention: ArrayLike, titles: Sequence[str] | None = None) -> Figure:
    """Attention from the read-out to x0 for each head (heads, x0, x1), from 0 to 1 (Fig. 18)."""
    heads = checked_square(attention, "attention", "heads", "x0", "x1")
    names = titles or [f"head {i + 1}" for i in range(len(heads))]
    label = "attention weight on $x_0$"
    return heat_maps(heads, names, label=label, columns=2, limits=(0.0, 1.0))


@drawn
def neuron_panel(
    neurons: ArrayLike, powers: ArrayLike, titles: Sequence[str] | None = None
) -> Figure:
    """Neurons over the inputs (top), the energy of their p-DFT pairs (bottom): Figs. 4, 14, 15.

    Where cells would be too small to be told apart, the corner that the paper shows stands
    between the two, large.

    Args:
        neurons: (n, x0, x1) activations.
        powers: (n, k0, k1) energies, drawn as the share of each neuron's total.
        titles: one for each neuron.
    """
    maps = checked_square(neurons, "neurons", "n", "x0", "x1")
    spectra = checked_square(powers, "powers", len(maps), "k0", "k1")
    names = checked_names(titles or [f"neuron {i}" for i in range(len(maps))], len(maps), "titles")
    totals = spectra.sum(axis=(1, 2), keepdims=True)
    shares = spectra / np.where(totals > 0, totals, 1)
    roots = PowerNorm(0.5, 0, float(shares.max()) or 1.0)  # a square root shows what is weak
    sides = [maps.shape[1], *[CORNER] * (maps.shape[1] > 2 * CORNER)]
    rows = len(sides) + 1
    height = 0.6 + rows * (0.3 + 5.4 / max(len(maps), 2))
    figure, axes = panels(rows, len(maps), height, layout="compressed")
    for column, name in enumerate(names):
        for row, side in zip(axes, sides, strict=False):
            corner = maps[column, :side, :side]
            top = draw_image(row[column], corner, _limits(maps, False), False)
            row[column].set(xlabel=X1)
        bottom = draw_image(axes[-1, column], shares[column], roots, False)
        axes[0, column].set(title=name)
        axes[-1, column].set(xlabel="$k_1$ (cycles per $p$)")
    for row in axes[:-1]:
        row[0].set_ylabel(X0)
    axes[-1, 0].set_ylabel("$k_0$ (cycles per $p$)")
    figure.colorbar(top, ax=list(axes[:-1].flat), label="activation", aspect=20 * len(sides))
    figure.colorbar(bottom, ax=list(axes[-1]), label="share of variance")
    return figure


def draw_image(axes: Axes, grid: np.ndarray, norm: Normalize, signed: bool) -> AxesImage:
    """Draw a matrix as colours, with few ticks.

    Entries are sharp cells; of fewer than three pixels each they are smoothed, as cells of one
    and of two pixels in turn would look like a pattern.
    """
    colours = style.DIVERGING if signed else style.SEQUENTIAL
    image = axes.imshow(grid, cmap=colours, norm=norm, interpolation="auto")
    style.whole_ticks(axes, 4)
    return image


@drawn
def input_grid(numbers: ArrayLike) -> Figure:
    """The number n that each input (x0, x1) stands for, written in its cell (Fig. 2).

    Args:
        numbers: (p, p), indexed [x0, x1]; p of at most 20 keeps them readable.
    """
    grid = checked_square(numbers, "numbers", "x0", "x1")
    p = len(grid)
    if p > 20:
        raise ValueError(f"a grid of {p}×{p} numbers cannot be read; give p of at most 20")
    figure, axes = panel(None, 6.0)
    shades = Normalize(grid.min(), 1.8 * grid.max() + 1)
    axes.imshow(grid, cmap="Greys", norm=shades)
    for x0, x1 in np.ndindex(p, p):
        axes.text(x1, x0, f"{grid[x0, x1]:d}", ha="center", va="center", fontsize=150 / max(p, 12))
    axes.set(xlabel=X1, ylabel=X0, xticks=range(p), yticks=range(p))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def target_grids(targets: Mapping[str, ArrayLike]) -> Figure:
    """Targets of each task over (x0, x1), squares sized by the remainder (Fig. 3)."""
    grids = [checked_square(grid, name, "x0", "x1") for name, grid in targets.items()]
    if not grids:
        raise ValueError("no targets were given; give at least one {title: (x0, x1) remainders}")
    return grid_plots(grids, list(targets), shared_limit=False)


def _stroke(axes: Axes, shape: tuple[int, ...]) -> float:
    """An outline of about a twelfth of a cell, in points."""
    box, figure = axes.get_position(), axes.get_figure(root=True)
    width = box.width * (figure.get_figwidth() if figure else style.WIDTH)
    return float(np.clip(72 * width / max(shape) / 12, 0.2, 1.0))


def _limits(values: np.ndarray, signed: bool) -> Normalize:
    """A colour scale over all values, about 0 if signed."""
    if not signed:
        return Normalize(float(np.nanmin(values)), float(np.nanmax(values)))
    largest = float(np.nanmax(np.abs(values))) or 1.0
    return Normalize(-largest, largest)


def _small_multiples(count: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Axes for so many square panels, the empty places of the last row removed."""
    columns = min(columns, count)
    rows = -(-count // columns)
    height = 0.7 + rows * (0.35 + style.WIDTH / max(columns, 2))
    figure, axes = panels(rows, columns, height, layout="compressed")
    for empty in axes.flat[count:]:
        empty.remove()
    return figure, axes.ravel()[:count]


def _label_outside(cells: np.ndarray, columns: int, labels: tuple[str, str]) -> None:
    """Label the left-most panels, and those with no panel below them."""
    for index, axes in enumerate(cells):
        if index % columns == 0:
            axes.set_ylabel(labels[0])
        if index + columns >= len(cells):
            axes.set_xlabel(labels[1])
