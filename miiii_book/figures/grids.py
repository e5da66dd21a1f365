"""Panels side by side: functions of (x0, x1) and other matrices; spirals; phases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import CenteredNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from . import style
from .style import PALE, X0, X1, Groups, checked, checked_all, look, multiples, panels

CORNER = 37  # side of the part of a neuron's grid that the paper's Fig. 14 shows
Names = Sequence[Any] | np.ndarray | None


@look()
def grid_plots(
    grids: Groups, *, columns: int = 3, labels: tuple[str, str] = (X0, X1), shared: bool = True
) -> Figure:
    """Draw matrices as squares: area is magnitude, filled is positive, hollow is negative.

    If `shared`, a square that fills its cell is as large a value in all panels.
    """
    arrays = checked_all(grids, "grids", "row", "column")
    tall = max(len(grid) / grid.shape[1] for grid in arrays.values())
    figure, cells = multiples(arrays, columns, tall, labels)
    largest = [float(np.nanmax(np.abs(grid))) or 1.0 for grid in arrays.values()]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    for cell, grid, own in zip(cells, arrays.values(), largest, strict=True):
        row, column = np.nonzero(np.nan_to_num(grid))
        value = grid[row, column].astype(float)
        half = 0.45 * np.sqrt(np.abs(value) / (max(largest) if shared else own))
        squares = PolyCollection(
            np.stack([column, row], axis=1)[:, None] + half[:, None, None] * corners,
            facecolors=[style.INK if v > 0 else "white" for v in value],
            edgecolors=style.INK,
            linewidths=float(np.clip(6 * style.inches(cell.xaxis) / max(grid.shape), 0.2, 1.0)),
        )
        cell.add_collection(squares)
        cell.set(xlim=(-0.6, grid.shape[1] - 0.4), ylim=(grid.shape[0] - 0.4, -0.6), aspect="equal")
        cell.locator_params(nbins=6, integer=True, steps=[1, 2, 5, 10])
        cell.spines[:].set_visible(False)
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

    Colours diverge from 0 if `signed`, else span `limits`, or all that occurs; `names` are those of
    the rows and of the columns, numbers by default.
    """
    arrays = checked_all(maps, "maps", "row", "column")
    every = np.concatenate([grid.ravel() for grid in arrays.values()])
    rows = max(len(grid) for grid in arrays.values())
    stretched = any(grid.shape != (rows, rows) for grid in arrays.values())
    tall = float(np.clip(0.026 * rows, 0.2, 0.5 if len(arrays) > 1 else 0.9)) if stretched else 1.0
    figure, cells = multiples(arrays, columns, tall, labels)
    norm = CenteredNorm() if signed else Normalize(*limits or (None, None))
    norm.autoscale_None(every[np.isfinite(every)])
    for cell, grid in zip(cells, arrays.values(), strict=True):
        image = _draw_image(cell, grid, norm, signed)
        cell.set_aspect("auto" if stretched else "equal")
        image.set_interpolation("nearest" if stretched else "auto")
        for axis, given, count in zip((cell.yaxis, cell.xaxis), names, grid.shape, strict=True):
            if given is not None:
                style.name_ticks(axis, checked(given, "names", count))
    below: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 30}
    place = below if len(arrays) > 1 else {"aspect": 20}
    figure.colorbar(image, ax=list(cells), label=label, **place)
    return figure


@look()
def neuron_panel(neurons: ArrayLike, powers: ArrayLike, titles: Sequence[str]) -> Figure:
    """Draw neurons (neuron, x0, x1) over the inputs and their p-DFT's energy: Figs. 4, 14, 15.

    Where cells would be too small to be told apart, the corner that the paper shows stands between
    the two, large. Energies (neuron, k0, k1) are drawn as shares of each neuron's total.
    """
    maps = checked(neurons, "neurons", len(titles), "x0", "x1")
    spectra = checked(powers, "powers", len(titles), "k0", "k1")
    shares = spectra / np.maximum(spectra.sum(axis=(1, 2), keepdims=True), 1e-30)
    activations = Normalize(float(maps.min()), float(maps.max()))
    roots = PowerNorm(0.5, 0, float(shares.max()) or 1.0)  # a square root shows what is weak
    sides = [maps.shape[1], *[CORNER] * (maps.shape[1] > 2 * CORNER)]
    height = 0.6 + (len(sides) + 1) * (0.3 + 5.4 / max(len(maps), 2))
    figure, axes = panels(len(sides) + 1, len(maps), height, layout="compressed")
    for (*above, below), grid, share, name in zip(axes.T, maps, shares, titles, strict=True):
        for cell, side in zip(above, sides, strict=True):
            top = _draw_image(cell, grid[:side, :side], activations)
            cell.set_xlabel(X1)
        bottom = _draw_image(below, share, roots)
        k0, k1 = np.nonzero(share > 0.03)  # a single strong cell would not be seen
        strong = share[k0, k1]
        looks: dict[str, Any] = {"c": strong, "s": 200 * strong, "linewidths": 0, "clip_on": False}
        below.scatter(k1, k0, norm=roots, cmap=style.SEQUENTIAL, **looks)
        below.set_xlabel("$k_1$ (cycles per $p$)")
        above[0].set_title(style.symbols(name))
    for cell, label in zip(axes[:, 0], [X0] * len(sides) + ["$k_0$ (cycles per $p$)"], strict=True):
        cell.set_ylabel(label)
    figure.colorbar(top, ax=list(axes[:-1].flat), label="activation", aspect=20 * len(sides))
    figure.colorbar(bottom, ax=list(axes[-1]), label="share of variance")
    return figure


@look()
def polar_naturals(sets: Mapping[str, Groups], *, turns: ArrayLike | None = None) -> Figure:
    """Draw natural numbers, n at radius n and at the angle of n steps: Fig. 1.

    A panel has up to six sets of numbers by name, a colour each, one called "others" in grey. A
    step is so many full `turns`, one for each panel; by default one radian, as in the paper.
    """
    groups = [checked_all(group, f"sets[{title!r}]", "numbers") for title, group in sets.items()]
    radian = [1 / (2 * np.pi)] * len(sets)
    steps = radian if turns is None else checked(turns, "turns", len(sets))
    figure, cells = multiples(sets, 2, 1.0, ("", ""), subplot_kw={"projection": "polar"})
    reach = max(int(n.max()) for group in groups for n in group.values())
    for spiral, group, step in zip(cells, groups, steps, strict=True):
        size = np.clip(6000 / sum(map(len, group.values())), 1.0, 9.0)
        for colour, (name, n) in zip(style.COLOURS, group.items(), strict=False):
            # Whole turns are dropped before the angle is taken, so that rays stay sharp far out.
            angle = 2 * np.pi * (n * step % 1)
            shade, order = (PALE, 1) if name == "others" else (colour, 2)
            spiral.scatter(angle, n, size, shade, label=name, zorder=order, linewidths=0)
        spiral.set(xticks=[], yticks=[], rmax=reach)
        spiral.spines["polar"].set_color(PALE)
    if len(handles := cells[0].collections) > 1:
        figure.legend(handles=handles, loc="outside upper center", ncols=4, markerscale=3)
    angle = "n radians" if turns is None else "n steps of the size above"
    figure.supxlabel(f"radius: n;  angle: {angle}", fontsize=11)
    return figure


@look()
def phase_panels(phases: Groups, across: str, up: str, *, controls: Groups | None = None) -> Figure:
    """Draw pairs of phases (unit, 2) in radians, the first across, the second up, by group.

    Points on the rising diagonal, which goes on from edge to edge, have equal phases; controls are
    of pairs that do not belong together.
    """
    groups = checked_all(phases, "phases", "unit", 2)
    figure, cells = multiples(groups, 2, 1.0, (up, across), sharex=True, sharey=True)
    for cell, (title, pairs) in zip(cells, groups.items(), strict=True):
        cell.plot([-np.pi, np.pi], [-np.pi, np.pi], color=PALE, linewidth=1, zorder=0)
        grey = (controls or {}).get(title, np.empty((0, 2)))
        for given, colour in ((grey, PALE), (pairs, style.COLOURS[0])):
            x, y = np.angle(np.exp(1j * np.asarray(given))).T  # within half a turn of 0
            cell.scatter(x, y, s=14, color=colour, alpha=0.7, linewidths=0)
        cell.set(xlim=(-np.pi, np.pi), ylim=(-np.pi, np.pi), aspect="equal")
        for axis in (cell.xaxis, cell.yaxis):
            axis.set_ticks(np.pi / 2 * np.arange(-2, 3), ["−π", "−π/2", "0", "π/2", "π"])
        cell.tick_params(labelbottom=bool(cell.get_xlabel()))
    return figure


def _draw_image(axes: Axes, grid: np.ndarray, norm: Normalize, signed: bool = False) -> AxesImage:
    """Draw a matrix as colours; cells of fewer than three pixels are smoothed against moiré."""
    axes.locator_params(nbins=4, integer=True, steps=[1, 2, 5, 10])
    colours = style.DIVERGING if signed else style.SEQUENTIAL
    return axes.imshow(grid, cmap=colours, norm=norm, interpolation="auto")
