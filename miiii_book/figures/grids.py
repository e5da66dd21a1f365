"""Functions of (x0, x1) and other matrices: squares in the paper's manner, heat maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from . import style
from .style import X0, X1, Groups, checked, checked_all, label_outside, look, panels

CORNER = 37  # side of the part of a neuron's grid that the paper's Fig. 14 shows
Names = Sequence[Any] | np.ndarray | None


@look()
def grid_plots(
    grids: Groups, *, columns: int = 3, labels: tuple[str, str] = (X0, X1), shared: bool = True
) -> Figure:
    """Draw matrices as squares: area is magnitude, filled is positive, hollow is negative.

    Args:
        grids: Values by title, axes (row, column), first row on top.
        shared: Whether a square that fills its cell is as large a value in all panels.
    """
    arrays = checked_all(grids, "grids", "row", "column")
    tall = max(len(grid) / grid.shape[1] for grid in arrays.values())
    figure, cells, columns = style.multiples(arrays, columns, tall)
    largest = [float(np.nanmax(np.abs(grid))) or 1.0 for grid in arrays.values()]
    for cell, grid, own in zip(cells, arrays.values(), largest, strict=True):
        _draw_squares(cell, grid, max(largest) if shared else own)
    label_outside(cells, columns, labels)
    return figure


@look()
def heat_maps(
    maps: Groups,
    *,
    label: str = "activation",
    labels: tuple[str, str] = (X0, X1),
    columns: int = 3,
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    names: tuple[Names, Names] = (None, None),
) -> Figure:
    """Draw matrices as colours on one scale; if they are not square, they are stretched.

    Args:
        maps: Values by title, axes (row, column), first row on top.
        signed: Whether colours diverge from 0.
        limits: Values at the ends of the colours; all that occur by default.
        names: Names of the rows and of the columns; numbers by default.
    """
    arrays = checked_all(maps, "maps", "row", "column")
    every = np.concatenate([grid.ravel() for grid in arrays.values()])
    rows = max(len(grid) for grid in arrays.values())
    stretched = any(grid.shape != (rows, rows) for grid in arrays.values())
    tall = float(np.clip(0.026 * rows, 0.2, 0.5 if len(arrays) > 1 else 0.9)) if stretched else 1.0
    figure, cells, columns = style.multiples(arrays, columns, tall)
    largest = float(np.nanmax(np.abs(every))) or 1.0
    span = (-largest, largest) if signed else (float(np.nanmin(every)), float(np.nanmax(every)))
    norm = Normalize(*limits or span)
    for cell, grid in zip(cells, arrays.values(), strict=True):
        image = _draw_image(cell, grid, norm, signed)
        cell.set_aspect("auto" if stretched else "equal")
        image.set_interpolation("nearest" if stretched else "auto")
        for axis, given, count in zip((cell.yaxis, cell.xaxis), names, grid.shape, strict=True):
            if given is not None:
                style.name_ticks(axis, checked(given, "names", count))
    label_outside(cells, columns, labels)
    place: dict[str, Any] = {"aspect": 20 * len(cells)}
    if columns > 1:
        place = {"location": "bottom", "shrink": 0.7, "aspect": 30}
    figure.colorbar(image, ax=list(cells), label=label, **place)
    return figure


@look()
def neuron_panel(neurons: ArrayLike, powers: ArrayLike, titles: Sequence[str]) -> Figure:
    """Draw neurons over the inputs and the energy of their p-DFT pairs: Figs. 4, 14, 15.

    Where cells would be too small to be told apart, the corner that the paper shows stands
    between the two, large.

    Args:
        neurons: Activations, axes (neuron, x0, x1).
        powers: Energies, axes (neuron, k0, k1), drawn as shares of each neuron's total; a dot
            makes a share of over 3 % larger.
        titles: One for each neuron.
    """
    maps = checked(neurons, "neurons", len(titles), "x0", "x1")
    spectra = checked(powers, "powers", len(titles), "k0", "k1")
    totals = spectra.sum(axis=(1, 2), keepdims=True)
    shares = spectra / np.where(totals > 0, totals, 1)
    activations = Normalize(float(maps.min()), float(maps.max()))
    roots = PowerNorm(0.5, 0, float(shares.max()) or 1.0)  # a square root shows what is weak
    sides = [maps.shape[1], *[CORNER] * (maps.shape[1] > 2 * CORNER)]
    height = 0.6 + (len(sides) + 1) * (0.3 + 5.4 / max(len(maps), 2))
    figure, axes = panels(len(sides) + 1, len(maps), height, layout="compressed")
    for column, name in enumerate(titles):
        for cell, side in zip(axes[:-1, column], sides, strict=True):
            top = _draw_image(cell, maps[column, :side, :side], activations, False)
            cell.set(xlabel=X1, ylabel="" if column else X0)
        bottom = _draw_image(axes[-1, column], shares[column], roots, False)
        k0, k1 = np.nonzero(shares[column] > 0.03)  # a single strong cell would not be seen
        strong = shares[column][k0, k1]
        looks: dict[str, Any] = {"c": strong, "s": 200 * strong, "linewidths": 0, "clip_on": False}
        axes[-1, column].scatter(k1, k0, norm=roots, cmap=style.SEQUENTIAL, **looks)
        axes[0, column].set_title(style.symbols(name))
        axes[-1, column].set(xlabel="$k_1$ (cycles per $p$)")
    axes[-1, 0].set_ylabel("$k_0$ (cycles per $p$)")
    figure.colorbar(top, ax=list(axes[:-1].flat), label="activation", aspect=20 * len(sides))
    figure.colorbar(bottom, ax=list(axes[-1]), label="share of variance")
    return figure


def _draw_squares(axes: Axes, grid: np.ndarray, largest: float) -> None:
    """Draw the squares of a grid, cell [i, j] at (j, i)."""
    row, column = np.nonzero(np.nan_to_num(grid))
    value = grid[row, column].astype(float)
    half = 0.45 * np.sqrt(np.minimum(np.abs(value) / largest, 1.0))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    squares = PolyCollection(
        np.stack([column, row], axis=1)[:, None] + half[:, None, None] * corners,
        facecolors=[style.INK if v > 0 else "white" for v in value],
        edgecolors=style.INK,
        linewidths=float(np.clip(6 * style.inches(axes.xaxis) / max(grid.shape), 0.2, 1.0)),
    )
    axes.add_collection(squares)
    axes.set(xlim=(-0.6, grid.shape[1] - 0.4), ylim=(grid.shape[0] - 0.4, -0.6), aspect="equal")
    _whole_ticks(axes, 6)
    axes.spines[:].set_visible(False)


def _draw_image(axes: Axes, grid: np.ndarray, norm: Normalize, signed: bool) -> AxesImage:
    """Draw a matrix as colours; cells of fewer than three pixels are smoothed against moiré."""
    colours = style.DIVERGING if signed else style.SEQUENTIAL
    _whole_ticks(axes, 4)
    return axes.imshow(grid, cmap=colours, norm=norm, interpolation="auto")


def _whole_ticks(axes: Axes, most: int) -> None:
    """Put a few whole numbers along both axes."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))
