"""Numbers and waves: spirals, which waves each task uses, and their phases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import ArrayLike

from . import style
from .style import Groups, checked, checked_all, checked_names, look

HALF_TURNS = {-2: "−π", -1: "−π/2", 0: "0", 1: "π/2", 2: "π"}


@look()
def polar_naturals(
    sets: Mapping[str, ArrayLike | Groups], *, turns: ArrayLike | None = None
) -> Figure:
    """Draw natural numbers, n at radius n and at the angle of n steps, a panel a set: Fig. 1.

    Args:
        sets: Numbers of each panel by its title; or several sets of them by name, a colour each,
            one called "others" in grey.
        turns: Full turns per step of 1, for each panel; one radian by default, as in the paper.
    """
    named = {t: dict(s) if isinstance(s, Mapping) else {"n": s} for t, s in sets.items()}
    groups = [checked_all(group, f"sets[{t!r}]", "numbers") for t, group in named.items()]
    if not groups or max(map(len, groups)) > len(style.COLOURS):
        count, most = [*map(len, groups)], len(style.COLOURS)
        raise ValueError(f"panels of {count} sets were given; give panels of 1 to {most} sets")
    radian = np.full(len(sets), 1 / (2 * np.pi))
    steps = radian if turns is None else checked(turns, "turns", len(sets))
    figure, cells, _ = style.multiples(sets, 2, 1.0, subplot_kw={"projection": "polar"})
    reach = max(int(n.max()) for group in groups for n in group.values())
    for spiral, group, step in zip(cells, groups, steps, strict=True):
        colours, crowd = iter(style.COLOURS), sum(map(len, group.values()))
        for name, n in group.items():
            colour = style.PALE if name == "others" else next(colours)
            dots: dict[str, Any] = {"s": np.clip(6000 / crowd, 1.0, 9.0), "linewidths": 0}
            # Whole turns are dropped before the angle is taken, so that rays stay sharp far out.
            angle, dots["zorder"] = 2 * np.pi * (n * step % 1), 1 if name == "others" else 2
            spiral.scatter(angle, n, color=colour, label=name, rasterized=True, **dots)
        spiral.set(xticks=[], yticks=[])
        spiral.set_rmax(reach)
        spiral.spines["polar"].set_color(style.PALE)
    looks: dict[str, Any] = {"loc": "outside upper center", "ncols": 4, "markerscale": 3}
    if len(handles := cells[0].collections) > 1:
        figure.legend(handles=list(handles), **looks)
    angle = "n radians" if turns is None else "n steps of the size above"
    figure.supxlabel(f"radius: n;  angle: {angle}", fontsize=11)
    return figure


@look()
def phase_panels(phases: Groups, across: str, up: str, *, controls: Groups | None = None) -> Figure:
    """Draw two phases of each unit against each other around the circle, a panel a group.

    Points on the rising diagonal, which goes on from edge to edge, have equal phases.

    Args:
        phases: Phases in radians by group, axes (unit, 2): the first across, the second up.
        across: What the first phase is of.
        up: What the second phase is of.
        controls: Phases (unit, 2) of pairs that do not belong together, by group; grey.
    """
    groups = checked_all(phases, "phases", "unit", 2)
    style.checked_keys(controls, groups, "controls")
    figure, cells, columns = style.multiples(groups, 2, 1.0, sharex=True, sharey=True)
    half = FuncFormatter(lambda angle, _: HALF_TURNS.get(round(2 * angle / np.pi), ""))
    for index, (cell, (title, pairs)) in enumerate(zip(cells, groups.items(), strict=True)):
        cell.plot([-np.pi, np.pi], [-np.pi, np.pi], color=style.PALE, linewidth=1, zorder=0)
        for dots, colour in (((controls or {}).get(title), style.PALE), (pairs, style.COLOURS[0])):
            if dots is not None:
                turned = checked(dots, f"controls[{title!r}]", "unit", 2) + np.pi
                x, y = (np.mod(turned, 2 * np.pi) - np.pi).T
                cell.scatter(x, y, s=14, color=colour, alpha=0.7, linewidths=0)
        cell.set(xlim=(-np.pi, np.pi), ylim=(-np.pi, np.pi), aspect="equal")
        for axis in (cell.xaxis, cell.yaxis):
            axis.set_major_locator(MultipleLocator(np.pi / 2))
            axis.set_major_formatter(half)
        cell.tick_params(labelbottom=index + columns >= len(cells))
    style.label_outside(cells, columns, (up, across))
    return figure


@look()
def wave_chart(moduli: Sequence[int], shares: Sequence[ArrayLike], label: str) -> Figure:
    """Draw a column of dots for each prime, a dot for each wave; its area is the wave's share.

    Args:
        moduli: The primes, ascending.
        shares: For each prime the values (k,) at k = 1..q//2; drawn relative to their sum.
        label: What the shares are of, for the title.
    """
    names = checked_names(list(moduli), len(shares), "primes")
    figure, axes = style.panel(None, 4.4)
    for place, (q, given) in enumerate(zip(moduli, shares, strict=True)):
        values = checked(given, f"shares of mod {q}", q // 2)
        height, x = np.arange(1, q // 2 + 1) / q, np.full(q // 2, place)
        axes.scatter(x, height, s=3, color=style.PALE, linewidths=0)
        sizes = 150 * values / (values.sum() or 1.0)  # points², of one wave alone 150
        axes.scatter(x, height, s=sizes, color=style.COLOURS[0], alpha=0.75, linewidths=0)
    style.name_ticks(axes.xaxis, names)
    axes.set(xlabel="prime q", ylabel="k/q (cycles per step of n)", title=label)
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 0.53))
    return figure
