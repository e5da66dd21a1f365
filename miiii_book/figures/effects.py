"""Values by prime, by condition and by frequency, beside their controls."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import COLOURS, GREY, PALE, Groups, checked, checked_all, look, panel, panels, symbols

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
    never: str = "never",
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
    shades = style.SEQUENTIAL(np.linspace(1, 0.4, len(groups))[::-1])
    figure, axes = panel(None, 3.8)
    handles: list[Any] = []
    found = np.concatenate(list(groups.values()), dtype=float)
    above = float(np.max(found[np.isfinite(found)], initial=1.0)) * (2.0 if log else 1.1)
    for index, (name, group) in enumerate(groups.items()):
        x = primes[: len(group)]
        height = checked(np.where(np.isposinf(group), above, group), name, len(x))
        solid = checked((full or {}).get(name, np.ones(len(x))), f"full[{name!r}]", len(x)) != 0
        colour, mark = (shades[index], "o") if joined else (COLOURS[index % 6], MARKS[index % 5])
        dash = "-" if joined else "none"
        drawn = axes.plot(x, height, color=colour, linestyle=dash, linewidth=1.2, label=name)
        ends = index in (0, len(groups) - 1)  # of many lines only these have room for their names
        handles += drawn if not joined or ends or len(groups) < 5 else []
        axes.plot(x[solid], height[solid], mark, color=colour)
        size = 3.5 if joined and len(groups) > 4 else None
        axes.plot(x[~solid], height[~solid], mark, color=colour, mfc="white", markersize=size)
    if np.isposinf(found).any():
        handles.append(axes.axhline(above, color=GREY, linewidth=0.8, label=never, zorder=0))
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
) -> Figure:
    """Draw a row for each condition: a dot for each seed, a bar at their median, controls in grey.

    Args:
        values: Values (seed,), or one number, by condition from the top; a row may be empty.
        controls: Values (draw,) of random controls by condition.
        baseline: Value without any change, drawn as a line.
    """
    figure, axes = _rows(values, label, 1.0 + 0.42 * len(values))
    for row, name in enumerate(values):
        beside = (controls or {}).get(name, ())
        for given, colour, size in ((beside, PALE, 18), (values[name], COLOURS[0], 34)):
            if not np.size(given):
                continue
            dots = checked(np.atleast_1d(given), name, "seed")
            height = row + np.linspace(-0.25, 0.25, len(dots)) * (len(dots) > 1)
            axes.scatter(dots, height, s=size, color=colour, zorder=3, linewidths=0)
            if len(dots) > 1:
                axes.vlines(np.median(dots), row - 0.36, row + 0.36, color=colour, zorder=2)
    if baseline is not None:
        axes.axvline(baseline, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
    if log:
        style.plain_log(axes.xaxis)
    axes.grid(axis="x", color=PALE, linewidth=0.5, alpha=0.5)
    return figure


@look()
def pairs(values: Mapping[str, tuple[float, float]], names: tuple[str, str], label: str) -> Figure:
    """Draw two values of each condition in a row, joined, each named in the first row.

    Args:
        values: The two values by condition, from the top.
        names: What the first and the second are.
    """
    figure, axes = _rows(values, label, 1.0 + 0.42 * len(values))
    both = np.stack(list(checked_all(values, "values", 2).values()))
    rows = np.arange(len(values))
    axes.hlines(rows, both.min(axis=1), both.max(axis=1), color=PALE, linewidth=2, zorder=1)
    for column, name, mark, colour in zip(both.T, names, "oD", COLOURS, strict=False):
        axes.plot(column, rows, mark, color=colour, markersize=8)
        axes.annotate(name, (column[0], 0), (0, 9), textcoords="offset points", ha="center")
    axes.set_ylim(top=-0.8)
    return figure


@look()
def spans(values: Groups, label: str) -> Figure:
    """Draw a row for each condition: a mark at its middle, a bar from its low end to its high one.

    Args:
        values: Low end, middle and high end by condition, from the top; all from 0 to 1.
    """
    ends = np.stack(list(checked_all(values, "values", 3).values()))
    figure, axes = _rows(values, label, 1.0 + 0.27 * len(ends))
    axes.hlines(range(len(ends)), ends[:, 0], ends[:, 2], color=COLOURS[4], linewidth=5)
    axes.plot(ends[:, 1], range(len(ends)), "o", color=COLOURS[0], markersize=7)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", color=PALE, linewidth=0.5, alpha=0.5)
    return figure


@look()
def outcomes(
    epochs: Groups, lasts: Mapping[str, float], notes: Mapping[str, str], label: str
) -> Figure:
    """Draw a bar up to the epoch at which each condition got there, from its first one down.

    Args:
        epochs: Epochs (seed,) by condition, infinite for never: the bar ends at their median, each
            seed is a dot.
        lasts: Where a condition that never got there ended; its bar is pale and goes on until then.
        notes: What stands at the right of each condition.
        label: What is reached.
    """
    groups = checked_all(epochs, "epochs", "seed")
    figure, axes = _rows(groups, label, 1.1 + 0.44 * len(groups))
    for row, (name, seeds) in enumerate(groups.items()):
        there = bool(np.isfinite(np.median(seeds)))
        look = {"color": style.RULE} if there else {"color": style.MEMORY, "alpha": 0.35}
        axes.barh(row, np.median(seeds) if there else lasts[name], height=0.62, **look)
        if len(seeds) > 1:
            axes.plot(seeds, row + np.linspace(-0.15, 0.15, len(seeds)), "o", color=style.INK, ms=3)
        axes.annotate(notes[name], (1.02, row), xycoords=("axes fraction", "data"), va="center")
    style.plain_log(axes.xaxis)
    axes.set_xlim(left=100)
    return figure


@look()
def stacked(
    values: Groups, parts: Sequence[str], label: str, colours: Sequence[str] = COLOURS
) -> Figure:
    """Draw a bar for each row, divided into parts, with their sizes written in them.

    Args:
        values: Sizes (part,) by row, from the top.
        parts: Names of the parts.
        label: What is counted.
        colours: A colour for each part.
    """
    sizes = np.stack(list(checked_all(values, "values", len(parts)).values()))
    starts = np.cumsum(sizes, axis=1) - sizes
    figure, axes = _rows(values, label, max(2.0, 1.2 + 0.36 * len(sizes)))
    for part, colour, width, left in zip(parts, colours, sizes.T, starts.T, strict=False):
        bars = axes.barh(range(len(sizes)), width, left=left, height=0.7, color=colour, label=part)
        axes.bar_label(bars, [f"{n}" if n else "" for n in width], label_type="center", color="w")
    axes.set_xlim(0, sizes.sum(axis=1).max())
    figure.legend(loc="outside upper center", ncols=2)
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
        colours = [COLOURS[0] if key is None or k in key else PALE for k in places]
        cell.bar(places, heights, width=0.8, color=colours)
        for k in sorted(key or ()):
            cell.annotate(
                f"{k}", (k, heights[k - 1]), (0, 2), color=COLOURS[0], ha="center", **words
            )
        for index, (name, last) in enumerate((cuts or {}).get(title, {}).items()):
            cell.axvline(last + 0.5, color=style.INK, linestyle=style.DASHES[1 + index % 3])
            place, where = (last + 0.5, 0.98 - 0.18 * index), ("data", "axes fraction")
            cell.annotate(f"{name}: {last:g}", place, (4, 0), xycoords=where, va="top", **words)
        cell.set_title(symbols(title), loc="left", fontsize=11)
        top = (float(np.nanmax(heights)) or 1.0) * (1.4 if key or cuts else 1.05)
        cell.set(ylabel=label, xlim=(0, len(heights) + 1), ylim=(0, top))
    axes[-1, 0].set_xlabel(across)
    return figure


def _rows(names: Collection[str], label: str, height: float) -> tuple[Figure, Axes]:
    """Return new axes, so many inches high, with a row for each name, the first on top."""
    figure, axes = panel(None, height)
    axes.set_yticks(range(len(names)), [symbols(name) for name in names])
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    return figure, axes
