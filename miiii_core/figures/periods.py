"""Numbers as something that turns: spirals, rays, sieves, and waves that agree in one place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_names, drawn, panel, panels

BACKGROUND = "#CCCCCC"  # of what is only there for comparison
MOST_GROUPS = len(style.COLOURS)
Groups = Mapping[str, ArrayLike]


@drawn
def polar_naturals(
    sets: Sequence[ArrayLike | Groups],
    titles: Sequence[str],
    *,
    turns: ArrayLike | None = None,
    columns: int = 2,
    shared_radius: bool = True,
) -> Figure:
    """Sets of natural numbers, n at radius n and at the angle of n steps, a panel each (Fig. 1).

    Args:
        sets: of each panel, its numbers; or several sets of them by name, a colour each, those
            called "others" in grey and below the rest.
        titles: of the panels.
        turns: full turns per step of 1, for each panel; one radian by default, as in the paper.
        columns: panels side by side.
        shared_radius: whether all panels reach to the largest number of any.
    """
    groups = [_groups(numbers) for numbers in sets]
    names = checked_names(titles, len(groups), "titles")
    radian = np.full(len(groups), 1 / (2 * np.pi))
    steps = radian if turns is None else checked(turns, "turns", len(groups))
    reach = [max(int(n.max()) for n in group.values()) for group in groups]
    figure, cells = _polar_panels(len(groups), min(columns, len(groups)))
    for spiral, group, name, step, own in zip(cells, groups, names, steps, reach, strict=True):
        _draw_spiral(spiral, group, float(step))
        spiral.set(title=name, rmax=max(reach) if shared_radius else own)
    _name_groups(figure, cells, [list(group) for group in groups])
    angle = "n radians" if turns is None else "n steps of the size above"
    figure.supxlabel(f"radius: n;  angle: {angle}", fontsize=11)
    return figure


def _polar_panels(count: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Round axes without numbers on their rim, the empty places of the last row removed."""
    rows = -(-count // columns)
    options: dict[str, Any] = {"subplot_kw": {"projection": "polar"}, "layout": "compressed"}
    height = 0.4 + rows * (0.35 + style.WIDTH / max(columns, 2))
    figure, axes = panels(rows, columns, height, **options)
    for empty in axes.flat[count:]:
        empty.remove()
    for spiral in axes.flat[:count]:
        spiral.set(xticks=[], yticks=[])
        spiral.spines["polar"].set_color(style.FAINT)
    return figure, axes.ravel()[:count]


def _draw_spiral(spiral: Axes, groups: Mapping[str, np.ndarray], step: float) -> None:
    """Dots of every group; the fewer they are, the larger."""
    crowd = sum(map(len, groups.values()))
    size = float(np.clip(6000 / crowd, 1.0, 9.0))
    colours = iter(style.COLOURS)
    for name, n in groups.items():
        others = name == "others"
        # Whole turns are dropped before the angle is taken, so that rays stay sharp far out.
        dots = spiral.scatter(
            2 * np.pi * (n * step % 1),
            n,
            s=size,
            color=BACKGROUND if others else next(colours),
            linewidths=0,
            label=name,
            zorder=1 if others else 2,
        )
        dots.set_rasterized(True)


def _name_groups(figure: Figure, cells: np.ndarray, names: list[list[str]]) -> None:
    """A legend under each panel of several sets; one for all if their sets are called the same."""
    look: dict[str, Any] = {"ncols": 3, "handletextpad": 0.1, "columnspacing": 1.0}
    if len(names) > 1 and all(len(names[0]) > 1 and group == names[0] for group in names):
        handles = list(cells[0].collections)
        _enlarge(figure.legend(handles=handles, loc="outside upper center", **look))
        return
    for spiral, group in zip(cells, names, strict=True):
        if len(group) > 1:
            _enlarge(spiral.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), **look))


def _enlarge(legend: Legend) -> None:
    """Dots of one size in a legend, whatever theirs in the panel."""
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([36.0])


def _groups(numbers: ArrayLike | Groups) -> dict[str, np.ndarray]:
    """The sets of one panel by name."""
    named = numbers if isinstance(numbers, Mapping) else {"n": numbers}
    coloured = [name for name in named if name != "others"]
    if not 1 <= len(coloured) <= MOST_GROUPS:
        raise ValueError(
            f"a panel was given {len(coloured)} sets besides others; give 1 to {MOST_GROUPS}, "
            "as many as there are colours to tell them apart"
        )
    return {name: checked(n, f"set {name}", "numbers") for name, n in named.items()}


@drawn
def sieve_bars(
    moduli: Sequence[int], multiples: ArrayLike, first: ArrayLike, *, axes: Axes | None = None
) -> Figure:
    """How many numbers each prime divides, and how many it is the first to rule out.

    Args:
        moduli: the primes, ascending.
        multiples: (moduli,) numbers that each divides.
        first: (moduli,) those of them that no smaller prime divides.
        axes: where to draw; a new figure by default.
    """
    names = checked_names(moduli, len(moduli), "moduli")
    divided = checked(multiples, "multiples", len(names))
    ruled_out = checked(first, "first", len(names))
    if (ruled_out > divided).any():
        worst = int(np.argmax(ruled_out - divided))
        raise ValueError(
            f"modulus {names[worst]} is first for {ruled_out[worst]} numbers but divides only "
            f"{divided[worst]}; give `first` as a part of `multiples`"
        )
    figure, axes = panel(axes, 3.6)
    places = np.arange(len(names))
    axes.bar(places, divided, 0.8, color=BACKGROUND, label="all multiples")
    axes.bar(places, ruled_out, 0.8, color=style.COLOURS[0], label="no smaller prime divides")
    axes.set_yscale("log")
    style.plain_log(axes.yaxis)
    style.thinned_ticks(axes.xaxis, names, 15)
    axes.set(xlabel="prime q", ylabel="numbers n (log scale)")
    axes.set(xlim=(-0.7, len(names) - 0.3), ylim=(0.8, None))
    axes.legend(loc="upper right")
    return figure


@drawn
def agreement_panels(scores: Mapping[str, ArrayLike], n: int) -> Figure:
    """How well every candidate m agrees with the remainders of one n, a panel for each score.

    Args:
        scores: (candidate,) for the candidates m = 0, 1, ..., by title.
        n: the number that is looked for, marked in each panel.
    """
    if not scores:
        raise ValueError("scores is empty; give at least one {title: array over candidates}")
    curves = {title: checked(values, title, "candidates") for title, values in scores.items()}
    figure, axes = panels(len(curves), 1, 0.6 + 1.4 * len(curves), sharex=True, sharey=True)
    for row, (title, values) in zip(axes[:, 0], curves.items(), strict=True):
        if not 0 <= n < len(values):
            raise ValueError(f"n={n} is no candidate of {title}: they run to {len(values) - 1}")
        row.plot(values, color=style.COLOURS[0], linewidth=0.6, rasterized=True)
        row.plot(n, values[n], "o", color=style.COLOURS[1], markersize=7)
        row.set(title=title, ylabel="agreement", xlim=(-0.01 * len(values), 1.01 * len(values)))
    axes[-1, 0].set_xlabel(f"candidate m (dot: m = n = {n:,})")
    return figure
