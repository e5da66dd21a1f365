"""Other bases: when each task was learned where its digits are symmetric and where not."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from . import style
from .style import checked, drawn, panel

LIGHTEST = 0.4  # of the scale of colours, for the smallest base


@drawn
def learning_order(
    epochs: Mapping[int, ArrayLike],
    moduli: Mapping[int, ArrayLike],
    symmetric: Mapping[int, ArrayLike],
) -> Figure:
    """Epoch at which each task was learned, a line for each base, symmetric tasks as full marks.

    Lines are the darker the larger the base.

    Args:
        epochs: (task,) by base; infinite for never, drawn as an arrow above all others.
        moduli: (task,) primes by base.
        symmetric: (task,) by base, true for full marks.
    """
    if not epochs:
        raise ValueError("epochs is empty; give at least one {base: (task,)}")
    figure, axes = panel(None, 4.2)
    found = np.concatenate([checked(e, f"epochs[{p}]", "task") for p, e in epochs.items()])
    never = 2.0 * max(found[np.isfinite(found)], default=1)
    colours = plt.get_cmap(style.SEQUENTIAL)(np.linspace(1, LIGHTEST, len(epochs)))
    for (p, values), colour in zip(sorted(epochs.items(), reverse=True), colours, strict=True):
        count = len(np.asarray(values))
        primes = checked(moduli[p], f"moduli[{p}]", count)
        full = checked(symmetric[p], f"symmetric[{p}]", count).astype(bool)
        height = np.where(np.isfinite(values), values, never)
        axes.plot(primes, height, label=f"p = {p}", color=colour, linewidth=1.2)
        for some, face in ((full, colour), (~full, "white")):
            marks: dict[str, Any] = {"s": 30, "zorder": 3, "edgecolors": [colour]}
            axes.scatter(primes[some], height[some], facecolors=[face], **marks)
    if not np.isfinite(found).all():
        axes.axhline(never, color=style.FAINT, linewidth=0.8, zorder=0)
        axes.annotate(
            "never", (1, never), xycoords=("axes fraction", "data"), ha="right", va="bottom"
        )
    style.prime_axis(axes, np.concatenate([np.asarray(m) for m in moduli.values()]))
    axes.set(ylabel="epoch", yscale="log")
    bases, names = axes.get_legend_handles_labels()
    dot = Line2D([], [], marker="o", linestyle="none", color=style.FAINT)
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    axes.legend([*bases, dot], [*names, "p = ±1\nmod q"], frameon=False, **place)
    return figure
