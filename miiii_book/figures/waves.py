"""Numbers and waves: spirals, which waves each task uses, and their phases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_all, checked_names, drawn, panels

AREA = 150.0  # points², of a wave that holds all of its task
HALF_TURNS = {-2: "−π", -1: "−π/2", 0: "0", 1: "π/2", 2: "π"}


@drawn
def polar_naturals(
    sets: Mapping[str, ArrayLike | Mapping[str, ArrayLike]],
    *,
    turns: ArrayLike | None = None,
    columns: int = 2,
    shared_radius: bool = True,
) -> Figure:
    """Draw natural numbers, n at radius n and at the angle of n steps, a panel a set: Fig. 1.

    Args:
        sets: Numbers of each panel by its title; or several sets of them by name, a colour each,
            one called "others" in grey and below the rest.
        turns: Full turns per step of 1, for each panel; one radian by default, as in the paper.
        columns: Most panels in a row.
        shared_radius: Whether all panels reach to the largest number of any.
    """
    if not sets:
        raise ValueError("sets is empty; give at least one {title: numbers}")
    radian = np.full(len(sets), 1 / (2 * np.pi))
    steps = radian if turns is None else checked(turns, "turns", len(sets))
    groups = [_groups(title, numbers) for title, numbers in sets.items()]
    reach = [max(int(n.max()) for n in group.values()) for group in groups]
    polar: dict[str, Any] = {"subplot_kw": {"projection": "polar"}}
    figure, cells, _ = style.multiples(len(sets), columns, **polar)
    for index, (spiral, title) in enumerate(zip(cells, sets, strict=True)):
        _draw_spiral(spiral, groups[index], float(steps[index]))
        spiral.set(title=style.symbols(title), xticks=[], yticks=[])
        spiral.set_rmax(max(reach) if shared_radius else reach[index])
        spiral.spines["polar"].set_color(style.PALE)
        if len(groups[index]) > 1 and (index == 0 or list(groups[index]) != list(groups[0])):
            spiral.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, markerscale=3)
    angle = "n radians" if turns is None else "n steps of the size above"
    figure.supxlabel(f"radius: n;  angle: {angle}", fontsize=11)
    return figure


@drawn
def phase_panels(
    phases: Mapping[str, ArrayLike],
    across: str,
    up: str,
    *,
    controls: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Draw two phases of each unit against each other around the circle, a panel a group.

    Points on the rising diagonal, which goes on from edge to edge, have equal phases.

    Args:
        phases: Phases in radians by group, axes (unit, 2): the first across, the second up.
        across: What the first phase is of.
        up: What the second phase is of.
        controls: Phases (unit, 2) of pairs that do not belong together, by group; grey.
    """
    groups = checked_all(phases, "phases", "unit", 2)
    style.checked_keys(controls or {}, groups, "controls")
    square: dict[str, Any] = {"subplot_kw": {"aspect": "equal"}, "sharex": True, "sharey": True}
    figure, cells, columns = style.multiples(len(groups), 2, **square)
    for index, (cell, (title, pairs)) in enumerate(zip(cells, groups.items(), strict=True)):
        cell.plot([-np.pi, np.pi], [-np.pi, np.pi], color=style.PALE, linewidth=1, zorder=0)
        if controls and title in controls:
            _dots(cell, checked(controls[title], f"controls[{title!r}]", "unit", 2), style.PALE)
        _dots(cell, pairs, style.COLOURS[0])
        cell.set(title=style.symbols(title), xlim=(-np.pi, np.pi), ylim=(-np.pi, np.pi))
        for axis in (cell.xaxis, cell.yaxis):
            axis.set_major_locator(MultipleLocator(np.pi / 2))
            axis.set_major_formatter(
                FuncFormatter(lambda angle, _: HALF_TURNS.get(round(2 * angle / np.pi), ""))
            )
        cell.set_ylabel("" if index % columns else up)
        below = index + columns >= len(cells)
        cell.set_xlabel(across if below else "")
        cell.tick_params(labelbottom=below)
    return figure


@drawn
def wave_chart(moduli: Sequence[int], shares: Sequence[ArrayLike], label: str) -> Figure:
    """Draw a column of dots for each prime, a dot for each wave; its area is the wave's share.

    Args:
        moduli: The primes, ascending.
        shares: For each prime the values (k,) at k = 1..q//2; drawn relative to their sum.
        label: What the shares are of, for the title.
    """
    names = checked_names(list(moduli), len(shares), "primes")
    figure, axes = panels(1, 1, 4.4)
    chart = axes[0, 0]
    for place, (q, given) in enumerate(zip(moduli, shares, strict=True)):
        values = checked(given, f"shares of mod {q}", q // 2)
        height, x = np.arange(1, q // 2 + 1) / q, np.full(q // 2, place)
        chart.scatter(x, height, s=3, color=style.PALE, linewidths=0)
        sizes, look = AREA * values / (values.sum() or 1.0), {"alpha": 0.75, "linewidths": 0}
        chart.scatter(x, height, s=sizes, color=style.COLOURS[0], **look)
    style.name_ticks(chart.xaxis, names, style.inches(chart.xaxis))
    chart.set(xlabel="prime q", ylabel="k/q (cycles per step of n)", title=label)
    chart.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 0.53))
    return figure


def _groups(title: str, numbers: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Return the sets of one panel by name."""
    named = numbers if isinstance(numbers, Mapping) else {"n": numbers}
    coloured = [name for name in named if name != "others"]
    if not 1 <= len(coloured) <= len(style.COLOURS):
        raise ValueError(
            f"{title} has {len(coloured)} sets besides others; give 1 to {len(style.COLOURS)}, "
            "as many as there are colours to tell them apart"
        )
    return {name: checked(n, f"set {name}", "numbers") for name, n in named.items()}


def _draw_spiral(spiral: Axes, groups: Mapping[str, np.ndarray], step: float) -> None:
    """Draw the dots of every group; the fewer they are, the larger."""
    size = float(np.clip(6000 / sum(map(len, groups.values())), 1.0, 9.0))
    colours = iter(style.COLOURS)
    for name, n in groups.items():
        look: dict[str, Any] = {"color": style.PALE, "zorder": 1}
        if name != "others":
            look = {"color": next(colours), "zorder": 2}
        # Whole turns are dropped before the angle is taken, so that rays stay sharp far out.
        angle = 2 * np.pi * (n * step % 1)
        spiral.scatter(angle, n, s=size, linewidths=0, label=name, rasterized=True, **look)


def _dots(axes: Axes, phases: np.ndarray, colour: str) -> None:
    """Draw a dot for each pair of phases, turned to lie between -π and π."""
    turned = np.mod(phases + np.pi, 2 * np.pi) - np.pi
    axes.scatter(turned[:, 0], turned[:, 1], s=14, color=colour, alpha=0.7, linewidths=0)
