"""Waves of n mod q: which of them each task uses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_names, drawn, panels, thinned_ticks

AREA = 150.0  # points², of a wave that holds all of its task


@drawn
def wave_chart(moduli: Sequence[int], shares: Sequence[ArrayLike], label: str) -> Figure:
    """A column of dots for each prime, a dot for each wave; its area is the wave's share.

    Args:
        moduli: the primes, ascending.
        shares: for each prime the values (k,) at k = 1..q//2; drawn relative to their sum.
        label: what the shares are of, for the title.
    """
    names = checked_names(list(moduli), len(shares), "primes")
    if not names:
        raise ValueError("moduli is empty; give at least one prime")
    columns = [
        checked(values, f"shares of mod {q}", q // 2)
        for q, values in zip(moduli, shares, strict=True)
    ]
    figure, axes = panels(1, 1, 4.4)
    panel = axes[0, 0]
    for place, (q, values) in enumerate(zip(moduli, columns, strict=True)):
        height = np.arange(1, q // 2 + 1) / q
        panel.scatter(np.full(len(height), place), height, s=3, color=style.FAINT, linewidths=0)
        look: dict[str, Any] = {"color": style.COLOURS[0], "alpha": 0.75, "linewidths": 0}
        panel.scatter(
            np.full(len(height), place), height, s=AREA * values / (values.sum() or 1.0), **look
        )
    thinned_ticks(panel.xaxis, names, 15)
    panel.set(
        xlabel="prime q", ylabel="k/q (cycles per step of n)", ylim=(0, 0.53), title=label,
        xlim=(-0.6, len(names) - 0.4),
    )  # fmt: skip
    return figure
