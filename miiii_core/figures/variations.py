"""Other bases, where tasks are learned in another order; and what answers are made of."""

from collections.abc import Collection, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from . import style
from .effects import MARKERS
from .style import checked, drawn, line_look, panel, symbols

LIGHTEST = 0.4  # of the scale of colours, for the smallest base


@drawn
def learning_order(
    epochs: Mapping[int, ArrayLike],
    moduli: Mapping[int, ArrayLike],
    symmetric: Mapping[int, ArrayLike],
    *,
    never: str = "never",
) -> Figure:
    """Epoch at which each task was learned, a line for each base, symmetric tasks as full marks.

    Lines are the darker the larger the base.

    Args:
        epochs: (task,) by base; infinite for never, drawn on a line above all others.
        moduli: (task,) primes by base.
        symmetric: (task,) by base, true for full marks.
        never: what stands at that line.
    """
    if not epochs:
        raise ValueError("epochs is empty; give at least one {base: (task,)}")
    figure, axes = panel(None, 4.2)
    found = np.concatenate([checked(e, f"epochs[{p}]", "task") for p, e in epochs.items()])
    above = 2.0 * max(found[np.isfinite(found)], default=1)
    colours = plt.get_cmap(style.SEQUENTIAL)(np.linspace(1, LIGHTEST, len(epochs)))
    for (p, values), colour in zip(sorted(epochs.items(), reverse=True), colours, strict=True):
        count = len(np.asarray(values))
        primes = checked(moduli[p], f"moduli[{p}]", count)
        full = checked(symmetric[p], f"symmetric[{p}]", count).astype(bool)
        height = np.where(np.isfinite(values), values, above)
        axes.plot(primes, height, label=f"p = {p}", color=colour, linewidth=1.2)
        for some, face in ((full, colour), (~full, "white")):
            marks: dict[str, Any] = {"s": 30, "zorder": 3, "edgecolors": [colour]}
            axes.scatter(primes[some], height[some], facecolors=[face], **marks)
    if not np.isfinite(found).all():
        axes.axhline(above, color=style.FAINT, linewidth=0.8, zorder=0)
        axes.annotate(
            never, (1, above), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            xytext=(0, 5), textcoords="offset points",
        )  # fmt: skip
    style.prime_axis(axes, np.concatenate([np.asarray(m) for m in moduli.values()]))
    axes.set(ylabel="epoch", yscale="log")
    bases, names = axes.get_legend_handles_labels()
    dot = Line2D([], [], marker="o", linestyle="none", color=style.FAINT)
    beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    axes.legend([*bases, dot], [*names, "p = ±1\nmod q"], frameon=False, **beside)
    return figure


@drawn
def task_standings(modulus: ArrayLike, ahead: ArrayLike, symmetric: ArrayLike) -> Figure:
    """By how much each task was learned sooner than others, with symmetric ones as full marks.

    Args:
        modulus: (row,) primes, a row for each task of each base.
        ahead: (row,) octaves.
        symmetric: (row,) true for full marks.
    """
    primes = checked(modulus, "modulus", "row")
    octaves = checked(ahead, "ahead", len(primes))
    chosen = checked(symmetric, "symmetric", len(primes)).astype(bool)
    figure, axes = panel(None, 3.6)
    axes.axhline(0, color=style.INK, linewidth=0.8, linestyle="--")
    for some, name, fill in ((~chosen, "other tasks", "none"), (chosen, "p = ±1 mod q", "full")):
        look = line_look(int(some is chosen)) | {"linestyle": "none", "marker": "o"}
        axes.plot(primes[some], octaves[some], fillstyle=fill, label=name, **look)
    style.prime_axis(axes, primes)
    axes.set(ylabel="sooner (octaves of the epoch)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure


@drawn
def answer_spread(
    moduli: ArrayLike,
    shares: Mapping[str, ArrayLike],
    learned: Mapping[str, ArrayLike],
    *,
    hollow: Collection[str] = (),
) -> Figure:
    """Frequencies that the answers of each task are made of, as a share of those there are.

    Args:
        moduli: the primes, ascending.
        shares: (task,) by run, shorter for a smaller base; NaN is left out.
        learned: (task,) by run; tasks that are not are faint.
        hollow: runs with open marks.
    """
    primes = checked(moduli, "moduli", "task")
    figure, axes = panel(None, 3.6)
    for index, (name, group) in enumerate(shares.items()):
        heights = checked(group, name, "task")
        good = checked(learned[name], f"learned[{name}]", len(heights)).astype(bool)
        fill = "none" if name in hollow else "full"
        look = line_look(index) | {"linestyle": "none", "marker": MARKERS[index % len(MARKERS)]}
        for some, rest in ((good, {"label": symbols(name)}), (~good, {"alpha": 0.3})):
            axes.plot(primes[: len(good)][some], heights[some], fillstyle=fill, **look, **rest)
    style.prime_axis(axes, primes)
    axes.set(ylabel="frequencies used, share", ylim=(0, 1.05))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure
