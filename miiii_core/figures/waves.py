"""Waves that come, stay and go through training, and what differs from seed to seed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_epochs, drawn, log_time, panel, plain_log

KINDS = {"transient": style.COLOURS[1], "persistent": style.COLOURS[0], "other": style.FAINT}


@drawn
def wave_lives(
    epochs: ArrayLike, strength: ArrayLike, kinds: Mapping[str, ArrayLike], level: ArrayLike
) -> Figure:
    """Strength of each wave through log-time, a line a wave, coloured by what becomes of it.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        strength: (epoch, wave), as multiples of chance.
        kinds: (wave,) truth by kind, ``transient`` and ``persistent``; the rest are others.
        level: (epoch,) multiples of chance from which a wave counts as present, drawn as a line.
    """
    ticks, kept = checked_epochs(epochs)
    lines = checked(strength, "strength", len(kept), "wave")[kept]
    needed = checked(level, "level", len(kept))[kept]
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"kinds names {sorted(unknown)}; it takes transient and persistent")
    named = {name: checked(of, f"kinds[{name!r}]", lines.shape[1]) for name, of in kinds.items()}
    rest = ~np.any([of.astype(bool) for of in named.values()], axis=0)
    figure, axes = panel(None, 4.0)
    for name, of in {"other": rest, **named}.items():
        look = {"transient": (2.2, 0.95, 3), "persistent": (1.0, 0.6, 2), "other": (0.8, 0.45, 1)}
        width, alpha, order = look[name]
        shown = np.maximum(lines[:, of.astype(bool)], 1e-2)
        axes.plot(ticks, shown, color=KINDS[name], linewidth=width, alpha=alpha, zorder=order)
    axes.plot(ticks, needed, color=style.INK, linestyle="--", linewidth=1.2, zorder=4)
    log_time(axes)
    axes.set(ylabel="times chance", yscale="log")
    plain_log(axes.yaxis)
    handles = [
        Line2D([], [], color=KINDS[name], label=f"{name}: {int(of.sum())}")
        for name, of in {**named, "other": rest}.items()
    ]
    dash = Line2D([], [], color=style.INK, linestyle="--", linewidth=1.2, label="present")
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    axes.legend(handles=[*handles, dash], ncols=4, columnspacing=1.2, **place)
    return figure


@drawn
def seed_dots(
    values: Mapping[str, ArrayLike],
    label: str,
    *,
    baseline: float | None = None,
    log: bool = False,
) -> Figure:
    """A row for each condition: a dot for each seed, a bar at their median.

    Seeds stand in the same order in each row, from the top.

    Args:
        values: (seed,) by condition, drawn from the top in this order; a row stays empty that
            has none.
        label: of the horizontal axis, with its unit.
        baseline: where nothing has changed, drawn as a line.
        log: horizontal axis on a log scale: powers of two for epochs, of ten for shares.
    """
    if not values:
        raise ValueError("values is empty; give at least one {condition: (seed,)}")
    figure, axes = panel(None, 1.1 + 0.5 * len(values))
    for row, (name, seeds) in enumerate(values.items()):
        dots = checked(seeds, name, "seed") if np.size(seeds) else np.empty(0)
        height = row + np.linspace(-0.25, 0.25, len(dots)) * (len(dots) > 1)
        axes.scatter(dots, height, s=26, color=style.COLOURS[0], zorder=3)
        if len(dots):
            middle = [float(np.median(dots))] * 2
            axes.plot(middle, [row - 0.36, row + 0.36], color=style.COLOURS[1], zorder=2)
    if baseline is not None:
        axes.axvline(baseline, color=style.INK, linestyle="--", linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(values)), [style.symbols(name) for name in values])
    found = np.concatenate([np.ravel(np.asarray(seeds, float)) for seeds in values.values()])
    if log and len(found) and found.min() < 1:
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    elif log and len(found):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set(xlabel=label, ylim=(len(values) - 0.5, -0.5))
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5, alpha=0.4)
    return figure
