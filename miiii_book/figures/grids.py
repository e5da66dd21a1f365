"""Functions of (x0, x1) and other matrices: squares in the paper's manner, heat maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from . import style
from .style import X0, X1, checked, checked_all, checked_names, drawn, panels

CORNER = 37  # side of the part of a neuron's grid that the paper's Fig. 14 shows
Names = tuple[Sequence[object] | np.ndarray | None, Sequence[object] | np.ndarray | None]


@drawn
def grid_plots(
    grids: Mapping[str, ArrayLike],
    *,
    columns: int = 3,
    labels: tuple[str, str] = (X0, X1),
    shared: bool = True,
) -> Figure:
    """Draw matrices as squares: area is magnitude, filled is positive, hollow is negative.

    Args:
        grids: Values by title, axes (row, column), first row on top.
        columns: Most panels in a row.
        labels: Labels of the vertical and the horizontal axis.
        shared: Whether a square that fills its cell is as large a value in all panels.
    """
    arrays = checked_all(grids, "grids", "row", "column")
    tall = max(len(grid) / grid.shape[1] for grid in arrays.values())
    figure, cells, columns = style.multiples(len(arrays), columns, tall)
    largest = max(float(np.nanmax(np.abs(grid))) for grid in arrays.values()) if shared else None
    for cell, (title, grid) in zip(cells, arrays.items(), strict=True):
        _draw_squares(cell, grid, largest or float(np.nanmax(np.abs(grid))) or 1.0)
        cell.set_title(style.symbols(title))
    _label_outside(cells, columns, labels)
    return figure


@drawn
def heat_maps(
    maps: Mapping[str, ArrayLike],
    *,
    label: str = "activation",
    labels: tuple[str, str] = (X0, X1),
    columns: int = 3,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    names: Names = (None, None),
    extent: tuple[float, float, float, float] | None = None,
) -> Figure:
    """Draw matrices as colours on one scale; those that are not square are stretched.

    Args:
        maps: Values by title, axes (row, column), first row on top.
        label: What the colours measure, with its unit.
        labels: Labels of the vertical and the horizontal axis.
        columns: Most panels in a row.
        signed: Whether colours diverge from 0.
        limits: Values at the ends of the colours; all that occur by default.
        names: Names of the rows and of the columns; numbers by default.
        extent: Left, right, bottom and top of each map; its first row is then at the bottom.
    """
    arrays = checked_all(maps, "maps", "row", "column")
    tall = max(len(grid) / grid.shape[1] for grid in arrays.values())
    if stretched := extent is None and tall != 1:
        tall = float(np.clip(0.04 * max(map(len, arrays.values())), 0.2, 0.9))
    figure, cells, columns = style.multiples(len(arrays), columns, tall)
    every = np.concatenate([grid.ravel() for grid in arrays.values()])
    norm = Normalize(*limits) if limits else _limits(every, signed)
    for cell, (title, grid) in zip(cells, arrays.items(), strict=True):
        image = _draw_image(cell, grid, norm, signed)
        if extent:
            image.set_extent((*extent[:2], *extent[:1:-1]))  # the first row is at extent[2]
            cell.set(xlim=extent[:2], ylim=extent[2:])
        cell.set_aspect("auto" if stretched else "equal")
        for axis, given, count in zip((cell.yaxis, cell.xaxis), names, grid.shape, strict=True):
            if given is not None:
                style.name_ticks(axis, checked_names(given, count, "names"), style.inches(axis))
        cell.set_title(style.symbols(title))
    _label_outside(cells, columns, labels)
    place: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 30}
    figure.colorbar(image, ax=list(cells), label=label, **(place if columns > 1 else {}))
    return figure


@drawn
def neuron_panel(neurons: ArrayLike, powers: ArrayLike, titles: Sequence[str]) -> Figure:
    """Draw neurons over the inputs and the energy of their p-DFT pairs: Figs. 4, 14, 15.

    Where cells would be too small to be told apart, the corner that the paper shows stands
    between the two, large.

    Args:
        neurons: Activations, axes (neuron, x0, x1).
        powers: Energies, axes (neuron, k0, k1), drawn as shares of each neuron's total.
        titles: One for each neuron.
    """
    maps = checked(neurons, "neurons", "neuron", "x0", "x1", square=True)
    spectra = checked(powers, "powers", len(maps), "k0", "k1", square=True)
    names = checked_names(titles, len(maps), "titles")
    totals = spectra.sum(axis=(1, 2), keepdims=True)
    shares = spectra / np.where(totals > 0, totals, 1)
    roots = PowerNorm(0.5, 0, float(shares.max()) or 1.0)  # a square root shows what is weak
    sides = [maps.shape[1], *[CORNER] * (maps.shape[1] > 2 * CORNER)]
    rows = len(sides) + 1
    height = 0.6 + rows * (0.3 + 5.4 / max(len(maps), 2))
    figure, axes = panels(rows, len(maps), height, layout="compressed")
    for column, name in enumerate(names):
        for cell, side in zip(axes[:-1, column], sides, strict=True):
            top = _draw_image(cell, maps[column, :side, :side], _limits(maps, False), False)
            cell.set(xlabel=X1, ylabel="" if column else X0)
        bottom = _draw_image(axes[-1, column], shares[column], roots, False)
        axes[0, column].set_title(name)
        axes[-1, column].set(xlabel="$k_1$ (cycles per $p$)")
    axes[-1, 0].set_ylabel("$k_0$ (cycles per $p$)")
    figure.colorbar(top, ax=list(axes[:-1].flat), label="activation", aspect=20 * len(sides))
    figure.colorbar(bottom, ax=list(axes[-1]), label="share of variance")
    return figure


@drawn
def input_grid(numbers: ArrayLike) -> Figure:
    """Write the number n that each input (x0, x1) stands for into its cell: Fig. 2.

    Args:
        numbers: Whole numbers, axes (x0, x1), both of at most 20.
    """
    grid = checked(numbers, "numbers", "x0", "x1", square=True)
    p = len(grid)
    if p > 20:
        raise ValueError(f"a grid of {p}×{p} numbers cannot be read; give p of at most 20")
    figure, axes = style.panel(None, 6.0)
    axes.imshow(grid, cmap="Greys", norm=Normalize(grid.min(), 1.8 * grid.max() + 1))
    for x0, x1 in np.ndindex(p, p):
        axes.text(x1, x0, f"{grid[x0, x1]:d}", ha="center", va="center", fontsize=150 / max(p, 12))
    axes.set(xlabel=X1, ylabel=X0, xticks=range(p), yticks=range(p))
    axes.spines[:].set_visible(False)
    return figure


def folded(table: ArrayLike, width: int) -> np.ndarray:
    """Return a wide table in lines of so many columns, a row of NaN between lines.

    Args:
        table: Values, axes (row, column), for instance of two positions by dimension: Fig. 7.
        width: Columns of a line; the last is filled up with NaN.
    """
    rows = checked(table, "table", "row", "column").astype(float)
    lines = -(-rows.shape[1] // width)
    full = np.full((len(rows) + 1, lines * width), np.nan)
    full[:-1, : rows.shape[1]] = rows
    return full.reshape(-1, lines, width).swapaxes(0, 1).reshape(-1, width)[:-1]


def _draw_squares(axes: Axes, grid: np.ndarray, largest: float) -> None:
    """Draw the squares of a grid, cell [i, j] at (j, i)."""
    row, column = np.nonzero(np.nan_to_num(grid))
    value = grid[row, column].astype(float)
    half = 0.45 * np.sqrt(np.minimum(np.abs(value) / largest, 1.0))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    centres = np.stack([column, row], axis=1)[:, None, :]
    cell = 72 * style.WIDTH * axes.get_position().width / max(grid.shape)  # points
    squares = PolyCollection(
        centres + half[:, None, None] * corners,
        facecolors=[style.INK if v > 0 else "white" for v in value],
        edgecolors=style.INK,
        linewidths=float(np.clip(cell / 12, 0.2, 1.0)),
    )
    axes.add_collection(squares)
    axes.set(xlim=(-0.6, grid.shape[1] - 0.4), ylim=(grid.shape[0] - 0.4, -0.6), aspect="equal")
    style.whole_ticks(axes, 6)
    axes.spines[:].set_visible(False)


def _draw_image(axes: Axes, grid: np.ndarray, norm: Normalize, signed: bool) -> AxesImage:
    """Draw a matrix as colours; cells of fewer than three pixels are smoothed against moiré."""
    colours = style.DIVERGING if signed else style.SEQUENTIAL
    image = axes.imshow(grid, cmap=colours, norm=norm, interpolation="auto")
    style.whole_ticks(axes, 4)
    return image


def _limits(values: np.ndarray, signed: bool) -> Normalize:
    """Return a colour scale over all values, about 0 if signed."""
    if not signed:
        return Normalize(float(np.nanmin(values)), float(np.nanmax(values)))
    largest = float(np.nanmax(np.abs(values))) or 1.0
    return Normalize(-largest, largest)


def _label_outside(cells: np.ndarray, columns: int, labels: tuple[str, str]) -> None:
    """Label the left-most panels, and those with no panel below them."""
    for index, axes in enumerate(cells):
        axes.set_ylabel("" if index % columns else labels[0])
        axes.set_xlabel(labels[1] if index + columns >= len(cells) else "")
