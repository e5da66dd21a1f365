"""Which circuit serves which task: what breaking one does to all, and what circuits consist of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_names, drawn, panel, panels

MARKS: tuple[dict[str, Any], ...] = (
    {"marker": "s", "s": 72, "color": "#B9D6EA", "edgecolors": style.COLOURS[0]},
    {"marker": "x", "s": 26, "color": style.COLOURS[1], "linewidths": 1.6},
    {"marker": ".", "s": 22, "color": style.INK},
)


@drawn
def selectivity_maps(
    maps: Mapping[str, ArrayLike],
    moduli: Sequence[Any] | np.ndarray,
    label: str = "share of the task that is left",
) -> Figure:
    """What is left of each task (column) when one (row) is to be broken, maps side by side.

    Args:
        maps: (broken, task), 1 for unharmed and 0 for guessing, by title.
        moduli: one per task.
        label: of the colours.
    """
    if not maps:
        raise ValueError("maps is empty; give at least one {title: (broken, task)}")
    figure, axes = panels(1, len(maps), 0.9 + (style.WIDTH - 1.2) / max(len(maps), 2), sharey=True)
    for cell, (title, values) in zip(axes[0], maps.items(), strict=True):
        left = style.checked_square(values, title, "broken", "task")
        names = checked_names(moduli, len(left), "moduli")
        image = cell.imshow(left, cmap=style.SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
        style.thinned_ticks(cell.xaxis, names, 5)
        style.thinned_ticks(cell.yaxis, names, 10)
        cell.set(title=title, xlabel="remainder mod")
    axes[0, 0].set_ylabel("broken: mod")
    figure.colorbar(image, ax=list(axes[0]), label=label, shrink=0.8)
    return figure


@drawn
def circuit_grid(
    circuits: Mapping[str, ArrayLike],
    moduli: Sequence[Any] | np.ndarray,
    parts: Sequence[str],
) -> Figure:
    """Which parts each task's circuit has, a mark for each way of finding it: three at most.

    Args:
        circuits: (task, part), true where the part is in the circuit, by the way it was found.
        moduli: one per task.
        parts: names of the parts.
    """
    if not 1 <= len(circuits) <= len(MARKS):
        raise ValueError(f"{len(circuits)} ways of finding circuits were given; draw 1 to 3")
    rows = checked_names(parts, len(parts), "parts")
    figure, axes = panel(None, 1.3 + 0.3 * len(rows))
    for (name, values), look in zip(circuits.items(), MARKS, strict=False):
        member = checked(values, name, "task", len(rows)).astype(bool)
        columns = checked_names(moduli, len(member), "moduli")
        task, part = np.nonzero(member)
        axes.scatter(task, part, label=name, **look)
    style.thinned_ticks(axes.xaxis, columns, 15)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="remainder mod", xlim=(-0.6, len(columns) - 0.4), ylim=(len(rows) - 0.4, -0.6))
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(circuits), columnspacing=1)
    return figure
