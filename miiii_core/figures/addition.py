"""How modular addition is done: frequencies from end to end, phases, what cancels, and when."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import ArrayLike

from . import style
from .style import checked, checked_epochs, drawn, line_look, log_time, panels

Curve = tuple[ArrayLike, ArrayLike]  # epochs and values
NAME_GAP = 1.0  # between names of phases, in heights of a line
PARTS = ("#0072B2", "#E69F00", "#BBBBBB", "#666666")


@drawn
def frequency_stations(stations: Mapping[str, ArrayLike], key: Collection[int]) -> Figure:
    """How much there is of each frequency at one place of the network after another.

    Args:
        stations: values (frequency,) at k = 1, 2, ..., by what they are, from the input on.
        key: key frequencies, in colour and named; the others are grey.
    """
    if not stations:
        raise ValueError("stations is empty; give at least one {name: values}")
    figure, axes = panels(len(stations), 1, 0.6 + 1.25 * len(stations), sharex=True)
    for row, (name, values) in zip(axes[:, 0], stations.items(), strict=True):
        heights = checked(values, name, "frequency")
        k = np.arange(1, len(heights) + 1)
        colours = [style.COLOURS[0] if each in key else style.FAINT for each in k]
        row.bar(k, heights, width=0.8, color=colours)
        row.set_title(style.symbols(name), loc="left", fontsize=11)
        row.set_ylim(0, float(np.nanmax(heights)) * 1.3 or 1.0)
        for each in sorted(key):
            if heights[each - 1] > 0:
                place = (each, heights[each - 1])
                row.annotate(
                    f"{each}", place, (0, 2), textcoords="offset points", ha="center",
                    color=style.COLOURS[0],
                )  # fmt: skip
    axes[-1, 0].set(xlabel="frequency $k$ (cycles per $p$)", xlim=(0, len(heights) + 1))
    return figure


@drawn
def phase_panels(
    phases: Mapping[str, ArrayLike],
    across: str,
    up: str,
    *,
    controls: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Two phases of each unit against each other, a panel for each group, around the circle.

    Points on the rising diagonal, which goes on from edge to edge, have equal phases.

    Args:
        phases: (unit, 2) in radians by group, the first across and the second up.
        across: what the first phase is of.
        up: what the second phase is of.
        controls: (unit, 2) of pairs that do not belong together, by group; drawn in grey.
    """
    if not phases:
        raise ValueError("phases is empty; give at least one {name: (unit, 2)}")
    rows = -(-len(phases) // 2)
    figure, axes = panels(
        rows, 2, 0.5 + 2.9 * rows, sharex=True, sharey=True, subplot_kw={"aspect": "equal"}
    )
    for panel in axes.flat[len(phases) :]:
        panel.set_visible(False)
    for panel, (name, pairs) in zip(axes.flat, phases.items(), strict=False):
        panel.plot([-np.pi, np.pi], [-np.pi, np.pi], color=style.FAINT, linewidth=1, zorder=0)
        if controls and name in controls:
            _dots(panel, checked(controls[name], f"controls[{name!r}]", "unit", 2), "#bbbbbb")
        _dots(panel, checked(pairs, name, "unit", 2), style.COLOURS[0])
        panel.set(title=name, xlim=(-np.pi, np.pi), ylim=(-np.pi, np.pi))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MultipleLocator(np.pi / 2))
            axis.set_major_formatter(FuncFormatter(_in_half_turns))
    for panel in axes[-1]:
        panel.set_xlabel(across)
    for panel in axes[:, 0]:
        panel.set_ylabel(up)
    return figure


@drawn
def share_bars(rows: Mapping[str, ArrayLike], parts: Sequence[str], label: str) -> Figure:
    """What each row is made of: one bar for each, its parts side by side and adding up to 1.

    Args:
        rows: shares (part,) by row, drawn from the top; an empty name leaves a gap before it.
        parts: what the shares are of, four at most.
        label: of the horizontal axis.
    """
    shares = np.array([checked(values, name, len(parts)) for name, values in rows.items()])
    if len(parts) > len(PARTS) or not len(shares):
        raise ValueError(
            f"{len(parts)} parts in {len(shares)} rows were given; draw 1 to {len(PARTS)} parts "
            "in at least one row"
        )
    figure, axes = panels(1, 1, 1.1 + 0.34 * len(shares))
    panel, start = axes[0, 0], np.zeros(len(shares))
    for part, colour, widths in zip(parts, PARTS, shares.T, strict=False):
        panel.barh(range(len(shares)), widths, left=start, height=0.7, color=colour, label=part)
        start = start + widths
    panel.set_yticks(range(len(shares)), list(rows))
    panel.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5), xlabel=label)
    panel.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, columnspacing=1.2)
    return figure


class TimePanel(NamedTuple):
    """One panel of `progress_figure`.

    Attributes:
        label: of the vertical axis, with its unit.
        lines: curves, named where they end; a name that starts with a space is drawn thin.
        log: vertical axis on a log scale.
        band: curves of controls, all on one time axis: epochs, and values (draw, epoch).
    """

    label: str
    lines: Mapping[str, Curve]
    log: bool = False
    band: Curve | None = None


@drawn
def progress_figure(
    rows: Sequence[TimePanel],
    phases: Mapping[str, tuple[float, float]],
    *,
    since: int = 1,
) -> Figure:
    """Progress measures over one log-time axis, with the phases of training between them.

    Args:
        rows: panels from the top.
        phases: by name, between which epochs each ends; one that does not end is left out.
        since: first epoch shown, 1 or later.
    """
    if not rows:
        raise ValueError("rows is empty; give at least one TimePanel")
    figure, axes = panels(len(rows), 1, 0.8 + 2.0 * len(rows), sharex=True)
    last = max(_draw_panel(*pair) for pair in zip(axes[:, 0], rows, strict=True))
    log_time(axes[-1, 0])
    axes[-1, 0].set_xlim(since, last)
    for panel in axes[:, 0]:
        for low, high in phases.values():
            if np.isfinite([low, high]).all():
                panel.axvspan(low, high, color="#dddddd", alpha=0.8, linewidth=0, zorder=0)
    figure.draw_without_rendering()  # settles the vertical limits that names are placed by
    for panel in axes[:, 0]:
        _name_ends(panel)
    figure.draw_without_rendering()  # settles the width, which names of phases are moved within
    _name_phases(axes[0, 0], phases, float(since))
    return figure


def _draw_panel(axes: Axes, panel: TimePanel) -> float:
    """Draw the controls and the lines, and give the last epoch."""
    ends = []
    if panel.band is not None:
        epochs, kept = checked_epochs(panel.band[0])
        draws = checked(panel.band[1], "band", "draw", len(kept))[:, kept]
        look: dict[str, Any] = {"color": style.FAINT, "alpha": 0.4, "linewidth": 0}
        axes.fill_between(epochs, draws.min(axis=0), draws.max(axis=0), **look)
    for index, (name, (times, values)) in enumerate(panel.lines.items()):
        epochs, kept = checked_epochs(times)
        look = line_look(index) | ({"linewidth": 1.1} if name.startswith(" ") else {})
        axes.plot(epochs, checked(values, name, len(kept))[kept], label=name.strip(), **look)
        ends.append(float(epochs[-1]))
    if panel.log:
        axes.set_yscale("log")
        style.plain_log(axes.yaxis)
    axes.set_ylabel(style.symbols(panel.label))
    return max(ends)


def _name_ends(axes: Axes, gap: float = 0.12) -> None:
    """Write the name of each line where it ends, moved apart where names would touch."""
    lines = axes.get_lines()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [np.asarray(line.get_xydata())[-1] for line in lines]
    heights = [to_axes.transform(end)[1] for end in ends]
    order, placed = np.argsort(heights), np.array(heights)
    for _ in range(100):  # each round moves neighbours that touch apart, half the way each
        for below, above in zip(order, order[1:], strict=False):
            push = max(0.0, gap - (placed[above] - placed[below])) / 2
            placed[above], placed[below] = placed[above] + push, placed[below] - push
    placed += max(0.0, 0.03 - placed.min(initial=1))
    for line, height in zip(lines, placed, strict=True):
        axes.annotate(
            style.symbols(str(line.get_label())), (1.01, height), xycoords="axes fraction",
            color=line.get_color(), va="center", fontsize=10,
        )  # fmt: skip


def _name_phases(axes: Axes, phases: Mapping[str, tuple[float, float]], since: float) -> None:
    """Write each phase above the stretch from the end of the one before to its own.

    A name that would touch the one before it is moved to the right.
    """
    start, taken = since, -np.inf  # an epoch, and pixels from the left
    for name, (low, high) in phases.items():
        if not np.isfinite([low, high]).all():
            return
        end = np.sqrt(low * high)
        look: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "fontsize": 10}
        place = (np.sqrt(start * end), 1.03)
        text = axes.annotate(name, place, ha="center", va="bottom", linespacing=1.0, **look)
        box = text.get_window_extent()
        push = max(0.0, taken + NAME_GAP * box.height / (1 + name.count("\n")) - box.x0)
        middle = axes.transData.transform(place)[0] + push
        text.set_position((axes.transData.inverted().transform((middle, 0))[0], place[1]))
        taken, start = box.x1 + push, end


def _dots(axes: Axes, phases: np.ndarray, colour: str) -> None:
    """A dot for each pair of phases, turned to lie between -π and π."""
    turned = np.mod(phases + np.pi, 2 * np.pi) - np.pi
    axes.scatter(turned[:, 0], turned[:, 1], s=14, color=colour, alpha=0.7, linewidths=0)


def _in_half_turns(angle: float, _: int | None = None) -> str:
    """An angle as a multiple of π."""
    halves = round(2 * angle / np.pi)
    names = {-2: "−π", -1: "−π/2", 0: "0", 1: "π/2", 2: "π"}
    return names.get(halves, f"{halves / 2:g}π")
