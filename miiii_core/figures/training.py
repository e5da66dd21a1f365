"""What happens while a model trains: maps of task against log-time, curves, the delay, norms."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from ..milestones import GENERALISED, first_epoch
from . import style
from .style import checked, checked_epochs, checked_names, drawn, line_look, log_time, panel, panels

MOST_ROW_NAMES = 16


@drawn
def training_map(
    epochs: ArrayLike,
    values: ArrayLike,
    moduli: Sequence[Any] | np.ndarray,
    label: str,
    *,
    title: str = "",
    log: bool = False,
    axes: Axes | None = None,
) -> Figure:
    """One quantity of each task through log-time, a row a task, as colours.

    Args:
        epochs: increasing; records before epoch 1 are left out, a log axis has no place for 0.
        values: (epoch, task).
        moduli: one per task.
        label: the quantity and its unit.
        title: above the map.
        log: colours on a log scale (six decades at most); otherwise from 0 to at least 1.
        axes: where to draw; a new figure by default.
    """
    ticks, kept = checked_epochs(epochs)
    rows = checked(values, "values", len(kept), "task")[kept]
    figure, axes = panel(axes, 1.1 + 0.15 * max(rows.shape[1], 11))
    mesh = _task_mesh(axes, ticks, rows, moduli, _colour_scale(rows, log))
    log_time(axes)
    axes.set_title(style.symbols(title))
    figure.colorbar(mesh, ax=axes, label=label)
    return figure


@drawn
def training_maps(
    epochs: ArrayLike,
    upper: ArrayLike,
    lower: ArrayLike,
    moduli: Sequence[Any] | np.ndarray,
    label: str,
    *,
    log: bool = False,
    titles: tuple[str, str] = ("training", "validation"),
) -> Figure:
    """One map over another, task by log-time, one colour scale: Figs. 5, 6.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        upper: (epoch, task).
        lower: (epoch, task).
        moduli: one per task.
        label: the quantity and its unit.
        log: colours on a log scale, as a loss in nats wants; otherwise from 0 to at least 1.
        titles: above each map.
    """
    ticks, kept = checked_epochs(epochs)
    top = checked(upper, "upper", len(kept), "task")
    bottom = checked(lower, "lower", *top.shape)[kept]
    top = top[kept]
    height = 1.4 + 0.28 * max(top.shape[1], 11)
    figure, axes = panels(2, 1, height, sharex=True)
    scale = _colour_scale(np.stack([top, bottom]), log)
    for row, values, name in zip((0, 1), (top, bottom), titles, strict=True):
        mesh = _task_mesh(axes[row, 0], ticks, values, moduli, scale)
        axes[row, 0].set_title(name)
    log_time(axes[1, 0])
    figure.colorbar(mesh, ax=list(axes[:, 0]), label=label, aspect=35)
    return figure


@drawn
def curves(
    epochs: ArrayLike,
    lines: Mapping[str, ArrayLike],
    label: str,
    *,
    tasks: Mapping[str, ArrayLike] | None = None,
    levels: Mapping[str, float] | None = None,
    log: bool = False,
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Lines through log-time; lines named train, validation or test keep their colour.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        lines: (epoch,) values by name.
        label: of the vertical axis, with its unit.
        tasks: (epoch, task) values by the name of their line, drawn thin behind it.
        levels: what the lines are compared with, by name: level lines, dashed.
        log: vertical axis on a log scale.
        title: above the axes.
        axes: where to draw; a new figure by default.
    """
    ticks, kept = checked_epochs(epochs)
    unknown = set(tasks or {}) - set(lines)
    if unknown:
        raise ValueError(f"tasks names {sorted(unknown)}; the lines are {sorted(lines)}")
    figure, axes = panel(axes, 3.6)
    for index, (name, values) in enumerate(lines.items()):
        line = checked(values, name, len(kept))[kept]
        look: dict[str, Any] = (
            {"color": style.SPLITS[name]} if name in style.SPLITS else line_look(index)
        )
        if tasks and name in tasks:
            thin = checked(tasks[name], f"tasks[{name!r}]", len(kept), "task")[kept]
            axes.plot(ticks, thin, color=look["color"], linewidth=0.7, alpha=0.35)
        axes.plot(ticks, line, label=style.symbols(name), **look)
    style.level_lines(axes, levels or {})
    log_time(axes)
    axes.set(ylabel=label, title=style.symbols(title), xlim=(ticks[0], ticks[-1]))
    if log:
        axes.set_yscale("log")
    _legend(axes, len(lines) + len(levels or {}))
    return figure


@drawn
def grokking_figure(
    epochs: ArrayLike,
    train: ArrayLike,
    validation: ArrayLike,
    moduli: Sequence[Any] | np.ndarray,
    *,
    threshold: float = GENERALISED,
) -> Figure:
    """Memorised first, understood later: accuracy in training and on unseen inputs.

    Top: mean accuracy over tasks (thick) and each task (thin). Bottom: for each task, the
    epochs at which training and validation accuracy first reach the threshold, joined by the
    delay; an arrow leads on where validation never does.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        train: (epoch, task) accuracy in [0, 1].
        validation: (epoch, task) accuracy in [0, 1].
        moduli: one per task.
        threshold: accuracy that counts as having learned.
    """
    ticks, kept = checked_epochs(epochs)
    seen = checked(train, "train", len(kept), "task")
    unseen = checked(validation, "validation", *seen.shape)[kept]
    seen = seen[kept]
    names = checked_names(moduli, seen.shape[1], "moduli")
    rows = 0.17 * max(len(names), 5)
    figure, (top, bottom) = style.plt.subplots(
        2, 1, sharex=True, layout="constrained", height_ratios=(2.9, 0.3 + rows),
        figsize=(style.WIDTH, 4.3 + rows),
    )  # fmt: skip
    draw = (("training inputs", seen, "train"), ("unseen inputs", unseen, "validation"))
    for label, values, split in draw:
        colour = style.SPLITS[split]
        top.plot(ticks, values, color=colour, linewidth=0.7, alpha=0.3)
        top.plot(ticks, values.mean(axis=1), color=colour, linewidth=3, label=label)
    top.set(ylabel="accuracy", ylim=(-0.02, 1.03), title="accuracy: mean (thick), each task (thin)")
    top.legend(loc="upper left")
    _mark_delay(top, ticks, seen.mean(axis=1), unseen.mean(axis=1), threshold)
    _delays(bottom, ticks, seen, unseen, threshold)
    bottom.set(ylim=(len(names) - 0.4, -0.6), ylabel="remainder mod")
    bottom.set_title(f"epoch at which each task reaches accuracy {threshold:g}")
    style.thinned_ticks(bottom.yaxis, names, MOST_ROW_NAMES)
    log_time(bottom)
    bottom.set_xlim(ticks[0], ticks[-1] * 1.25)
    return figure


@drawn
def norm_map(
    epochs: ArrayLike,
    norms: ArrayLike,
    names: Sequence[str],
    *,
    label: str = "L2 norm of the gradient",
    row_normalised: bool = False,
    axes: Axes | None = None,
) -> Figure:
    """Norm of each matrix through log-time: absolute on log colours, or over its row's maximum.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        norms: (epoch, matrix), not negative.
        names: one per matrix, in the order in which the model uses them.
        label: what the norm is of.
        row_normalised: divide each row by its maximum, the paper's Fig. 17.
        axes: where to draw; a new figure by default.
    """
    ticks, kept = checked_epochs(epochs)
    rows = checked(norms, "norms", len(kept), "matrix")[kept].astype(float)
    if row_normalised:
        peaks = np.nanmax(rows, axis=0)
        rows, label = rows / np.where(peaks > 0, peaks, 1), f"{label} / row maximum"
    figure, axes = panel(axes, 1.2 + 0.28 * rows.shape[1])
    mesh = _task_mesh(axes, ticks, rows, names, _colour_scale(rows, not row_normalised))
    axes.set_ylabel("")
    log_time(axes)
    figure.colorbar(mesh, ax=axes, label=label)
    return figure


def log_time_mesh(
    axes: Axes, epochs: np.ndarray, values: np.ndarray, edges: np.ndarray, norm: Normalize
) -> QuadMesh:
    """Draw (epoch, row) values with true epoch edges."""
    times = style.log_edges(epochs)
    mesh = axes.pcolormesh(times, edges, values.T, norm=norm, cmap=style.SEQUENTIAL)
    mesh.set_rasterized(True)
    return mesh


def _task_mesh(
    axes: Axes,
    epochs: np.ndarray,
    values: np.ndarray,
    names: Sequence[Any] | np.ndarray,
    norm: Normalize,
) -> QuadMesh:
    """Draw one named row per task, the first on top."""
    rows = checked_names(names, values.shape[1], "moduli or names")
    mesh = log_time_mesh(axes, epochs, values, np.arange(len(rows) + 1) - 0.5, norm)
    axes.set(ylim=(len(rows) - 0.5, -0.5), ylabel="remainder mod")
    style.thinned_ticks(axes.yaxis, rows, MOST_ROW_NAMES)
    return mesh


def _colour_scale(values: np.ndarray, log: bool) -> Normalize:
    """From 0 to at least 1, or the six topmost decades on a log scale."""
    largest = float(np.nanmax(values))
    if not log:
        return Normalize(min(0.0, float(np.nanmin(values))), max(1.0, largest))
    if largest <= 0:
        raise ValueError(f"the largest value is {largest}; a log scale needs one above 0")
    smallest = float(np.nanmin(values[values > 0]))
    lower = max(smallest, largest * 1e-6) if smallest < largest else largest / 10
    return LogNorm(lower, largest, clip=True)


def _first(epochs: np.ndarray, values: np.ndarray, threshold: float) -> float:
    """The first epoch at which values reach the threshold; nan if never, which is not drawn."""
    record = first_epoch(np.arange(len(epochs)), values.astype(float), threshold)
    return float("nan") if record is None else float(epochs[record])


def _mark_delay(
    axes: Axes, epochs: np.ndarray, seen: np.ndarray, unseen: np.ndarray, threshold: float
) -> None:
    """Shade the time between the two means reaching the threshold, and say how long it is."""
    start, stop = (_first(epochs, mean, threshold) for mean in (seen, unseen))
    if not stop > start:
        return
    axes.axvspan(start, stop, color="#dddddd", alpha=0.6, linewidth=0, zorder=0)
    text = f"delay\n{style.short_number(float(f'{stop - start:.2g}'))} epochs"
    axes.text(np.sqrt(start * stop), 0.02, text, ha="center", va="bottom", bbox=style.VEIL)


def _delays(
    axes: Axes, epochs: np.ndarray, seen: np.ndarray, unseen: np.ndarray, threshold: float
) -> None:
    """Two dots a task, joined; an arrow to the right edge where the second is missing."""
    for row in range(seen.shape[1]):
        start = _first(epochs, seen[:, row], threshold)
        stop = _first(epochs, unseen[:, row], threshold)
        if np.isnan(stop) and not np.isnan(start):
            axes.plot([start, epochs[-1] * 1.12], [row, row], color=style.FAINT, linewidth=1.5)
            axes.plot(epochs[-1] * 1.12, row, ">", color=style.FAINT, markersize=6)
        axes.plot([start, stop], [row, row], color=style.FAINT, linewidth=1.5)
        axes.plot(start, row, "o", color=style.SPLITS["train"], markersize=6)
        axes.plot(stop, row, "D", color=style.SPLITS["validation"], markersize=6)
    looks = (("o", "train", "training"), ("D", "validation", "unseen"))
    handles = [
        Line2D([], [], marker=marker, linestyle="", color=style.SPLITS[split], label=name)
        for marker, split, name in looks
    ]
    axes.legend(handles=handles, loc="lower left")


def _legend(axes: Axes, lines: int) -> None:
    """Name the lines: inside if few, above the axes if many."""
    if lines > 4:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, columnspacing=1.2)
    elif lines > 1:
        axes.legend(loc="best")
