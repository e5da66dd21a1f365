"""What a hyperparameter search found: one small panel for each choice it made."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import COLOURS, FAINT, INK, checked, drawn, panels

COLUMNS = 3


@drawn
def choice_panels(
    choices: Mapping[str, Sequence[Any]],
    losses: ArrayLike,
    pruned: ArrayLike,
    label: str = "validation loss (even guess = 1)",
) -> Figure:
    """The loss of each trial, by the value that it chose of every field.

    Completed trials are dots with a bar at the median of each value; pruned ones, which were
    still on their way, are faint crosses. A trial whose loss is not finite has no place.

    Args:
        choices: (trial,) values by field.
        losses: (trial,).
        pruned: (trial,) whether it was given up.
        label: of the vertical axis.
    """
    values = checked(losses, "losses", "trial")
    given_up = checked(pruned, "pruned", len(values)).astype(bool)
    for name, chosen in choices.items():
        if len(chosen) != len(values):
            raise ValueError(f"{name} has {len(chosen)} values for {len(values)} trials")
    rows = -(-len(choices) // COLUMNS)
    figure, axes = panels(rows, COLUMNS, 0.6 + 2.1 * rows, sharey=True)
    for name, panel in zip(choices, axes.flat, strict=False):
        _one(panel, name, choices[name], values, given_up)
    for empty in axes.flat[len(choices) :]:
        empty.set_axis_off()
    figure.supylabel(label, fontsize=11)
    return figure


def _one(
    axes: Any, name: str, chosen: Sequence[Any], losses: np.ndarray, pruned: np.ndarray
) -> None:
    options = sorted(set(chosen))
    place = np.array([options.index(value) for value in chosen], float)
    # Side by side in the order of the trials: the same at every drawing.
    place += np.linspace(-0.25, 0.25, len(place))
    axes.plot(place[pruned], losses[pruned], "x", color=FAINT, markersize=5, label="pruned")
    done = ~pruned & np.isfinite(losses)
    axes.plot(place[done], losses[done], "o", color=COLOURS[0], markersize=5, label="complete")
    for spot, option in enumerate(options):
        here = losses[done & np.array([value == option for value in chosen])]
        if len(here):
            axes.hlines(np.median(here), spot - 0.35, spot + 0.35, color=INK, linewidth=2)
    axes.set_xticks(range(len(options)), [_short(option) for option in options])
    axes.set_xlim(-0.6, len(options) - 0.4)
    axes.set_xlabel(name)


def _short(option: Any) -> str:
    return f"{option:g}" if isinstance(option, float) else str(option)
