"""Values by prime, by condition and by frequency, beside their controls."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import COLOURS, GREY, PALE, Groups, checked, checked_all, look, panels, symbols

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
    """Draw values (task,) by group, as marks along a log axis of the primes.

    A shorter group is of the first primes; NaN is left out, and infinite values stand on a line
    above all others, which is called `never`. Marks are hollow where `full` (task,) of their group
    is false; if `joined`, lines join them, the later a group the darker.
    """
    primes = checked(moduli, "moduli", "task")
    groups = checked_all(values, "values", "task")
    shades = style.SEQUENTIAL(np.linspace(1, 0.4, len(groups))[::-1])
    figure, ((axes,),) = panels(1, 1, 3.8)
    crowded = joined and len(groups) > 4  # only the ends have room for their names
    handles: list[Any] = []
    found = np.concatenate(list(groups.values()), dtype=float)
    above = np.max(found[np.isfinite(found)], initial=1.0) * (2.0 if log else 1.1)
    for index, (name, group) in enumerate(groups.items()):
        x = primes[: len(group)]
        height = checked(np.where(np.isposinf(group), above, group), name, len(x))
        solid = checked((full or {}).get(name, np.ones(len(x))), f"full[{name!r}]", len(x)) != 0
        colour, mark = (shades[index], "o") if joined else (COLOURS[index % 6], MARKS[index % 5])
        dash = "-" if joined else "none"
        drawn = axes.plot(x, height, color=colour, linestyle=dash, linewidth=1.2, label=name)
        handles += drawn if not crowded or index in (0, len(groups) - 1) else []
        axes.plot(x[solid], height[solid], mark, color=colour)
        hollow = {"mfc": "white", "markersize": 3.5 if crowded else None}
        axes.plot(x[~solid], height[~solid], mark, color=colour, **hollow)
    if np.isposinf(found).any():
        handles.append(axes.axhline(above, color=GREY, linewidth=0.8, label=never, zorder=0))
    axes.yaxis.set_major_formatter(style.short_number)
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

    A condition has any number of values (seed,), or one number; a line marks the `baseline`.
    """
    figure, axes = rows(values, label, 1.0 + 0.42 * len(values))
    for row, (name, own) in enumerate(values.items()):
        beside = (controls or {}).get(name, ())
        for given, colour, size in ((beside, PALE, 18), (own, COLOURS[0], 34)):
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
def stacked(values: Groups, parts: Sequence[str], label: str, colours: Sequence[str]) -> Figure:
    """Draw a bar for each row, divided into parts of these sizes (part,), whole ones written in."""
    sizes = np.stack(list(checked_all(values, "values", len(parts)).values()))
    starts = np.cumsum(sizes, axis=1) - sizes
    figure, axes = rows(values, label, max(2.0, 1.2 + 0.34 * len(sizes)))
    for part, colour, width, left in zip(parts, colours, sizes.T, starts.T, strict=False):
        bars = axes.barh(range(len(sizes)), width, left=left, height=0.7, color=colour, label=part)
        if sizes.dtype.kind == "i":
            axes.bar_label(bars, [n or "" for n in width], label_type="center", color="w")
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
    """Draw values (bar,) at 1, 2, ..., in a panel each: spectra, and singular values (Fig. 8).

    Bars of `key` are named, and the others grey; `cuts` are, by title, last bars before a line by
    the name of the line.
    """
    groups = checked_all(values, "values", "bar")
    alike = len(set(map(len, groups.values()))) == 1
    figure, axes = panels(len(groups), 1, 0.6 + 1.35 * len(groups), sharex=alike)
    words: dict[str, Any] = {"textcoords": "offset points", "fontsize": 10}
    words["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
    for cell, (title, bars) in zip(axes[:, 0], groups.items(), strict=True):
        places = np.arange(1, len(bars) + 1)
        colours = [COLOURS[0] if key is None or k in key else PALE for k in places]
        cell.bar(places, bars, width=0.8, color=colours)
        for k in sorted(key or ()):
            cell.annotate(f"{k}", (k, bars[k - 1]), (0, 2), color=COLOURS[0], ha="center", **words)
        for index, (name, last) in enumerate((cuts or {}).get(title, {}).items()):
            cell.axvline(last + 0.5, color=style.INK, linestyle=style.DASHES[1 + index % 3])
            place, where = (last + 0.5, 0.98 - 0.18 * index), ("data", "axes fraction")
            cell.annotate(f"{name}: {last:g}", place, (4, 0), xycoords=where, va="top", **words)
        cell.set_title(symbols(title), loc="left", fontsize=11)
        top = (float(np.nanmax(bars)) or 1.0) * (1.4 if key or cuts else 1.05)
        cell.set(ylabel=label, xlim=(0, len(bars) + 1), ylim=(0, top))
    axes[-1, 0].set_xlabel(across)
    return figure


@look()
def rows(names: Collection[str], label: str, height: float) -> tuple[Figure, Axes]:
    """Return new axes, so many inches high, with a row for each name, the first on top."""
    figure, ((axes,),) = panels(1, 1, height)
    axes.set_yticks(range(len(names)), [symbols(name) for name in names])
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    return figure, axes
