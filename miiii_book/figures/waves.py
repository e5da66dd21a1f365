"""Numbers and waves as angles: spirals, and phases against phases."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .style import Groups, checked, checked_all, look


@look()
def polar_naturals(
    sets: Mapping[str, ArrayLike | Groups], *, turns: ArrayLike | None = None
) -> Figure:
    """Draw natural numbers, n at radius n and at the angle of n steps, a panel a set: Fig. 1.

    Args:
        sets: Numbers of each panel by its title; or up to six sets of them by name, a colour each,
            one called "others" in grey.
        turns: Full turns per step of 1, for each panel; one radian by default, as in the paper.
    """
    named = {t: s if isinstance(s, Mapping) else {"n": s} for t, s in sets.items()}
    groups = [checked_all(group, f"sets[{title!r}]", "numbers") for title, group in named.items()]
    radian = np.full(len(sets), 1 / (2 * np.pi))
    steps = radian if turns is None else checked(turns, "turns", len(sets))
    figure, cells, _ = style.multiples(sets, 2, 1.0, subplot_kw={"projection": "polar"})
    reach = max(int(n.max()) for group in groups for n in group.values())
    for spiral, group, step in zip(cells, groups, steps, strict=True):
        dots = {"s": np.clip(6000 / sum(map(len, group.values())), 1.0, 9.0), "linewidths": 0}
        for colour, (name, n) in zip(style.COLOURS, group.items(), strict=False):
            # Whole turns are dropped before the angle is taken, so that rays stay sharp far out.
            angle, others = 2 * np.pi * (n * step % 1), name == "others"
            look = {"color": style.PALE, "zorder": 1} if others else {"color": colour, "zorder": 2}
            spiral.scatter(angle, n, label=name, **dots, **look)
        spiral.set(xticks=[], yticks=[], rmax=reach)
        spiral.spines["polar"].set_color(style.PALE)
    if len(handles := cells[0].collections) > 1:
        figure.legend(handles=handles, loc="outside upper center", ncols=4, markerscale=3)
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
    figure, cells, columns = style.multiples(groups, 2, 1.0, sharex=True, sharey=True)
    for index, (cell, (title, pairs)) in enumerate(zip(cells, groups.items(), strict=True)):
        cell.plot([-np.pi, np.pi], [-np.pi, np.pi], color=style.PALE, linewidth=1, zorder=0)
        grey = (controls or {}).get(title, np.empty((0, 2)))
        for given, colour in ((grey, style.PALE), (pairs, style.COLOURS[0])):
            x, y = np.angle(np.exp(1j * np.asarray(given))).T  # within half a turn of 0
            cell.scatter(x, y, s=14, color=colour, alpha=0.7, linewidths=0)
        cell.set(xlim=(-np.pi, np.pi), ylim=(-np.pi, np.pi), aspect="equal")
        for axis in (cell.xaxis, cell.yaxis):
            axis.set_ticks(np.pi / 2 * np.arange(-2, 3), ["−π", "−π/2", "0", "π/2", "π"])
        cell.tick_params(labelbottom=index + columns >= len(cells))
    style.label_outside(cells, columns, (up, across))
    return figure
