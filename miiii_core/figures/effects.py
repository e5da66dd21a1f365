"""What an intervention does: effects by unit and task, bars against controls, rankings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_names, drawn, line_look, panel, plain_log, symbols

MARKERS = "osD^v"  # of groups, in this order


@drawn
def effect_matrix(
    values: ArrayLike,
    moduli: Sequence[Any] | np.ndarray,
    *,
    label: str = "change of loss (nats)",
    units: str = "unit removed",
    names: Sequence[str] | None = None,
    signed: bool = True,
    axes: Axes | None = None,
) -> Figure:
    """What removing each unit does to each task, as colours.

    Args:
        values: (unit, task).
        moduli: one per task.
        label: the effect and its unit of measure.
        units: what the rows are.
        names: one per row; numbers by default.
        signed: colours diverge from 0.
        axes: where to draw; a new figure by default.
    """
    effects = checked(values, "values", "unit", "task")
    tasks = checked_names(moduli, effects.shape[1], "moduli")
    rows = checked_names(names, len(effects), "names") if names else None
    figure, axes = panel(axes, float(np.clip(1.2 + 0.25 * len(effects), 2.6, 6.5)))
    largest = float(np.nanmax(np.abs(effects))) or 1.0
    norm = Normalize(-largest if signed else min(0.0, float(np.nanmin(effects))), largest)
    colours = style.DIVERGING if signed else style.SEQUENTIAL
    look: dict[str, Any] = {
        "cmap": colours,
        "norm": norm,
        "aspect": "auto",
        "interpolation": "nearest",
    }
    image = axes.imshow(effects, **look)
    style.thinned_ticks(axes.xaxis, tasks, 12)
    if rows:
        style.thinned_ticks(axes.yaxis, rows, 24)
    axes.set(xlabel="remainder mod", ylabel=units)
    figure.colorbar(image, ax=axes, label=label)
    return figure


@drawn
def effect_bars(
    effects: Mapping[str, Any],
    label: str,
    *,
    controls: Mapping[str, ArrayLike] | None = None,
    baseline: float | None = None,
    axes: Axes | None = None,
) -> Figure:
    """One bar for each intervention, the draws of its random control as dots over it.

    Args:
        effects: value by intervention, drawn from the top in this order.
        label: of the horizontal axis, with its unit.
        controls: (draw,) values of equal-sized random interventions, by intervention.
        baseline: value without intervention, drawn as a line.
        axes: where to draw; a new figure by default.
    """
    names = list(effects)
    lengths = checked(list(effects.values()), "effects", "intervention")
    unknown = set(controls or {}) - set(names)
    if unknown:
        raise ValueError(f"controls names {sorted(unknown)}; the effects are {names}")
    figure, axes = panel(axes, 1.1 + 0.42 * len(names))
    bars = "chosen" if controls else ""  # without controls there is nothing to tell them from
    axes.barh(range(len(names)), lengths, height=0.65, color=style.COLOURS[0], label=bars)
    for index, (name, values) in enumerate((controls or {}).items()):
        draws = checked(values, f"controls[{name!r}]", "draw")
        rows = names.index(name) + np.linspace(-0.25, 0.25, len(draws))
        dots: dict[str, Any] = {
            "s": 22,
            "color": style.COLOURS[5],
            "edgecolors": "white",
            "linewidths": 0.5,
        }
        axes.scatter(draws, rows, zorder=3, label="" if index else "random controls", **dots)
    if baseline is not None:
        axes.axvline(baseline, color=style.INK, linestyle="--", linewidth=1.5, label="unchanged")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    if controls or baseline is not None:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


@drawn
def ranking(
    values: Mapping[str, ArrayLike], label: str, *, log: bool = False, axes: Axes | None = None
) -> Figure:
    """Values of each group from the largest to the smallest, against their rank.

    Args:
        values: (unit,) by group.
        label: of the vertical axis, with its unit.
        log: both axes on log scales; what is not above 0 is left out.
        axes: where to draw; a new figure by default.
    """
    figure, axes = panel(axes, 3.6)
    for index, (name, group) in enumerate(values.items()):
        ordered = np.sort(checked(group, name, "unit"))[::-1]
        shown = ordered[ordered > 0] if log else ordered
        axes.plot(np.arange(1, len(shown) + 1), shown, label=symbols(name), **line_look(index))
    if log:
        axes.set(xscale="log", yscale="log")
        plain_log(axes.xaxis)
    axes.set(xlabel="rank (largest first)", ylabel=label)
    if len(values) > 1:
        axes.legend(loc="best")
    return figure


@drawn
def by_prime(
    moduli: ArrayLike, values: Mapping[str, ArrayLike], label: str, *, axes: Axes | None = None
) -> Figure:
    """A value for each prime, as marks along a log axis of the primes.

    Args:
        moduli: the primes, ascending.
        values: (task,) by group, shorter for a smaller base; NaN is left out.
        label: of the vertical axis, with its unit.
        axes: where to draw; a new figure by default.
    """
    primes = checked(moduli, "moduli", "task")
    figure, axes = panel(axes, 3.6)
    for index, (name, group) in enumerate(values.items()):
        look = line_look(index) | {"linestyle": "none", "marker": MARKERS[index % len(MARKERS)]}
        marks = checked(
            group, name, "task" if len(np.atleast_1d(group)) < len(primes) else len(primes)
        )
        axes.plot(primes[: len(marks)], marks, label=symbols(name), **look)
    axes.set(ylabel=label)
    style.prime_axis(axes, primes)
    if len(values) > 1:
        axes.legend(loc="best")
    return figure


@drawn
def dose_curves(
    removed: ArrayLike,
    chosen: Mapping[str, ArrayLike],
    label: str,
    *,
    controls: ArrayLike | None = None,
    units: str = "units removed",
    log: bool = False,
    axes: Axes | None = None,
) -> Figure:
    """An effect as more and more units are removed, over the spread of random removals.

    Args:
        removed: number of units removed (dose,), increasing.
        chosen: (dose,) values by the order in which units are removed.
        label: of the vertical axis, with its unit.
        controls: (draw, dose) values of random removals: their median, and all of their range.
        units: what is removed.
        log: numbers removed on a log scale, which has no place for 0.
        axes: where to draw; a new figure by default.
    """
    doses = checked(removed, "removed", "dose")
    figure, axes = panel(axes, 3.8)
    if controls is not None:
        draws = checked(controls, "controls", "draw", len(doses))
        look: dict[str, Any] = {"color": style.FAINT, "linewidth": 0, "alpha": 0.35}
        axes.fill_between(doses, draws.min(axis=0), draws.max(axis=0), **look)
        middle = np.median(draws, axis=0)
        axes.plot(doses, middle, color="#666666", label=f"random ({len(draws)} draws)")
    for index, (name, values) in enumerate(chosen.items()):
        axes.plot(doses, checked(values, name, len(doses)), label=name, **line_look(index))
    if log:
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    axes.set(xlabel=f"{units} (log scale)" if log else units, ylabel=label)
    axes.legend(loc="best")
    return figure
