"""Values by prime, by condition and by frequency, beside their controls."""

from collections.abc import Collection, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import Groups, checked, checked_all, look, panel, panels, symbols

MARKS = "osD^v"
NAMED = (2, 3, 5, 7, 11, 17, 23, 29, 37, 47, 59, 73, 109)  # primes with room for their names


@look()
def by_prime(
    moduli: ArrayLike,
    values: Groups,
    label: str,
    *,
    full: Groups | None = None,
    joined: bool = False,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    never: str = "never",
    controls: Collection[str] = (),
) -> Figure:
    """Draw a value for each prime, as marks along a log axis of the primes.

    Args:
        moduli: The prime of each value.
        values: Values (task,) by group, of the first primes if there are fewer; NaN is left out,
            and infinite ones stand on a line above all others.
        full: Truth (task,) by group, of the marks that are full; the others are hollow.
        joined: Whether lines join the marks, the later a group the darker.
        never: Name of the line of infinite values.
    """
    primes = checked(moduli, "moduli", "task")
    groups = checked_all(values, "values", "task")
    looks = style.looks(groups, controls)
    shades = matplotlib.colormaps[style.SEQUENTIAL](np.linspace(1, 0.4, len(groups))[::-1])
    figure, axes = panel(None, 3.8)
    handles = style.level_lines(axes, levels)
    found = np.concatenate([group.astype(float) for group in groups.values()])
    above = float(np.max(found[np.isfinite(found)], initial=1.0)) * (2.0 if log else 1.1)
    for index, (name, group) in enumerate(groups.items()):
        x = primes[: len(group)]
        height = checked(np.where(np.isposinf(group), above, group), name, len(x))
        solid = checked((full or {}).get(name, np.ones(len(x))), f"full[{name!r}]", len(x)) != 0
        colour = shades[index] if joined else looks[name]["color"]
        line = {"color": colour, "linestyle": "-" if joined else "none", "linewidth": 1.2}
        handles += axes.plot(x, height, label=name, **line)
        line |= {"linestyle": "none", "marker": MARKS[0 if joined else index % len(MARKS)]}
        axes.plot(x[solid], height[solid], **line)
        axes.plot(x[~solid], height[~solid], markerfacecolor="white", **line)
    if np.isposinf(found).any():
        handles.append(axes.axhline(above, color=style.GREY, linewidth=0.8, label=never, zorder=0))
    if log:
        style.plain_log(axes.yaxis)
    axes.set(xlabel="prime q", xscale="log", ylabel=label)
    named = np.intersect1d(primes, NAMED)
    axes.set_xticks(named, [str(q) for q in named])
    axes.set_xticks(np.unique(primes), [], minor=True)
    style.name_ends(axes, handles if len(handles) > 1 else [])
    return figure


@look()
def dot_rows(
    values: Mapping[str, Any],
    label: str,
    *,
    controls: Groups | None = None,
    baseline: float | None = None,
    log: bool = False,
    axes: Axes | None = None,
) -> Figure:
    """Draw a row for each condition: a dot for each seed, a bar at their median, controls in grey.

    Args:
        values: Values (seed,), or one number, by condition from the top; a row may be empty.
        controls: Values (draw,) of random controls by condition.
        baseline: Value without any change, drawn as a line.
    """
    if not values:
        raise ValueError("values is empty; give at least one {condition: (seed,)}")
    figure, axes = panel(axes, 1.0 + 0.42 * len(values))
    for row, name in enumerate(values):
        beside = (controls or {}).get(name, ())
        for given, colour, size in ((beside, style.PALE, 18), (values[name], style.COLOURS[0], 34)):
            if not np.size(given):
                continue
            dots = checked(np.atleast_1d(given), name, "seed")
            height = row + np.linspace(-0.25, 0.25, len(dots)) * (len(dots) > 1)
            axes.scatter(dots, height, s=size, color=colour, zorder=3, linewidths=0)
            if len(dots) > 1:
                axes.vlines(np.median(dots), row - 0.36, row + 0.36, color=colour, zorder=2)
    if baseline is not None:
        axes.axvline(baseline, color=style.GREY, linestyle="--", linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(values)), [symbols(name) for name in values])
    if log:
        style.plain_log(axes.xaxis)
    axes.set(xlabel=label, ylim=(len(values) - 0.5, -0.5))
    axes.grid(axis="x", color=style.PALE, linewidth=0.5, alpha=0.5)
    return figure


@look()
def bar_panels(
    values: Groups,
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
        key: Places of the bars that are named and in colour, the others grey; all by default.
        cuts: By title, the last bar up to a line by the name of the line.
    """
    rows = checked_all(values, "values", "bar")
    alike = len(set(map(len, rows.values()))) == 1
    figure, axes = panels(len(rows), 1, 0.6 + 1.35 * len(rows), sharex=alike)
    words: dict[str, Any] = {"textcoords": "offset points", "fontsize": 10}
    words["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
    for cell, (title, heights) in zip(axes[:, 0], rows.items(), strict=True):
        places = np.arange(1, len(heights) + 1)
        colours = [style.COLOURS[0] if key is None or k in key else style.PALE for k in places]
        cell.bar(places, heights, width=0.8, color=colours)
        for k in sorted(key or ()):
            tip = (k, heights[k - 1])
            cell.annotate(str(k), tip, (0, 2), color=style.COLOURS[0], ha="center", **words)
        for index, (name, last) in enumerate((cuts or {}).get(title, {}).items()):
            cell.axvline(last + 0.5, color=style.INK, linestyle=style.DASHES[1 + index % 3])
            place, where = (last + 0.5, 0.98 - 0.18 * index), ("data", "axes fraction")
            cell.annotate(f"{name}: {last:g}", place, (4, 0), xycoords=where, va="top", **words)
        cell.set_title(symbols(title), loc="left", fontsize=11)
        cell.set(ylabel=label, xlim=(0, len(heights) + 1))
        cell.set_ylim(0, (float(np.nanmax(heights)) or 1.0) * (1.4 if key or cuts else 1.05))
    axes[-1, 0].set_xlabel(across)
    return figure
