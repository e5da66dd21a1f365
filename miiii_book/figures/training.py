"""What happens while a model trains: curves, maps of task against log-time, the delay."""

from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from miiii_core.losses import GENERALISED, first_epoch

from . import style
from .style import Groups, after_start, checked, checked_all, column, look, panels

EPOCH = "epoch (log scale)"
Curve = tuple[ArrayLike, ArrayLike]  # places and the values there


@look()
def grokking_figure(
    epochs: ArrayLike, train: ArrayLike, validation: ArrayLike, moduli: Sequence[Any] | np.ndarray
) -> Figure:
    """Draw accuracy (epoch, task) on both sets of inputs, and for each task the delay between."""
    ticks, kept = after_start(epochs)
    both = {"training": train, "unseen": validation}
    given = checked_all(both, "accuracy", len(kept), len(moduli))
    tasks, end = np.arange(len(moduli)), ticks[-1] * 1.25
    rows = 0.15 * max(len(tasks), 6)
    figure, cells = panels(2, 1, 3.7 + rows, sharex=True, height_ratios=(2.6, 0.2 + rows))
    top, bottom = cells[:, 0]
    means, learned = [], []
    looks = (style.MEMORY, "o"), (style.RULE, "D")
    for (name, values), (colour, mark) in zip(given.items(), looks, strict=True):
        shown = values[kept]
        top.plot(ticks, shown, color=colour, linewidth=0.7, alpha=0.3)
        means += top.plot(ticks, shown.mean(axis=1), color=colour, linewidth=3, label=name)
        learned.append([first_epoch(ticks, task, GENERALISED) for task in shown.T])
        bottom.plot(learned[-1], tasks, mark, color=colour, markersize=6)
    until = np.minimum(learned[1], end)  # the right edge for never
    bottom.hlines(tasks, learned[0], until, color=style.PALE, linewidth=1.8, zorder=1)
    bottom.set(ylim=(len(tasks) - 0.4, -0.6), ylabel="remainder mod")
    bottom.set_title(f"accuracy {GENERALISED:g} reached: ● training inputs, ◆ unseen inputs")
    style.name_ticks(bottom.yaxis, moduli)
    style.plain_log(bottom.xaxis)
    bottom.set(xlabel=EPOCH, xlim=(ticks[0], end))
    top.set(ylabel="accuracy", ylim=(-0.02, 1.03))
    top.set_title("accuracy: mean (thick) and each task (thin)")
    style.name_ends(top, means)
    return figure


@look()
def training_maps(
    epochs: ArrayLike,
    maps: Groups,
    names: Sequence[Any] | np.ndarray,
    label: str,
    *,
    log: bool = False,
    root: bool = False,
    rows: str = "remainder mod",
    axes: Axes | None = None,
) -> Figure:
    """Draw maps (epoch, row) of named rows against log-time, on one scale: Figs. 5, 6, 16, 17.

    Colours go from 0 to 1, or over the values: with `log` on a log scale of at most six decades,
    with `root` on a square-root scale from 0, which shows what is weak.
    """
    ticks, kept = after_start(epochs)
    shown = {t: v[kept] for t, v in checked_all(maps, "maps", len(kept), len(names)).items()}
    height = 0.35 + max(0.14 * len(names), min(0.24 * len(names), 2.4))
    figure, cells = column(axes, len(shown), 0.6 + len(shown) * height)
    every = np.stack(list(shown.values()))
    largest, norm = float(np.nanmax(every)), Normalize(0, 1)
    if root:
        norm = PowerNorm(0.5, 0, largest or 1.0)
    if log:
        norm = LogNorm(max(np.nanmin(every[every > 0]), largest * 1e-6), largest, clip=True)
    logs = np.pad(np.log(ticks), 1, "reflect", reflect_type="odd")
    edges = np.exp((logs[1:] + logs[:-1]) / 2)
    for cell, (title, values) in zip(cells, shown.items(), strict=True):
        lines = np.arange(len(names) + 1) - 0.5
        mesh = cell.pcolormesh(edges, lines, values.T, norm=norm, cmap=style.SEQUENTIAL)
        cell.set(title=style.symbols(title), ylim=(len(names) - 0.5, -0.5), ylabel=rows)
        style.name_ticks(cell.yaxis, names)
    style.plain_log(cells[-1].xaxis)
    cells[-1].set_xlabel(EPOCH)
    figure.colorbar(mesh, ax=cells, label=label, aspect=18 * len(shown))
    return figure


@look()
def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike | Curve],
    label: str,
    *,
    across: str = "epoch",
    log_x: bool = True,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
    controls: Collection[str] = (),
    axes: Axes | None = None,
) -> Figure:
    """Draw lines over one axis, most often log-time, each named at its end.

    A line is its values (x,), or a tuple of other places and the values there; a horizontal log
    axis leaves out places that are not above 0.
    """
    figure, (axes,) = column(axes, 1, 3.6)
    level: dict[str, Any] = {"color": style.GREY, "linestyle": "--", "linewidth": 1.4}
    handles = [axes.axhline(y, label=name, **level) for name, y in (levels or {}).items()]
    looks = zip(cycle(style.COLOURS), cycle(style.DASHES))
    for name, given in lines.items():
        places, values = given if isinstance(given, tuple) else (x, given)
        ticks, kept = after_start(places) if log_x else (np.asarray(places), slice(None))
        line = checked(values, f"lines[{name!r}]", np.size(places))[kept]
        colour, dash = (style.GREY, "--") if name in controls else next(looks)
        handles += axes.plot(ticks, line, label=name, color=colour, linestyle=dash)
    if log_x:
        style.plain_log(axes.xaxis)
    if log:
        style.plain_log(axes.yaxis)
    axes.set(xlabel=f"{across} (log scale)" if log_x else across, ylabel=label)
    axes.margins(x=0)
    style.name_ends(axes, handles)
    return figure
