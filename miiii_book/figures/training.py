"""What happens while a model trains: curves, maps of task against log-time, the delay."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from miiii_core.schedule import GENERALISED, first_epoch

from . import style
from .style import Groups, checked, checked_all, checked_epochs, checked_names, look, panel, panels

EPOCH = "epoch (log scale)"
Curve = tuple[ArrayLike, ArrayLike]  # places and the values there


@look()
def grokking_figure(
    epochs: ArrayLike, train: ArrayLike, validation: ArrayLike, moduli: Sequence[Any] | np.ndarray
) -> Figure:
    """Draw accuracy in training and on unseen inputs, and for each task the delay between them.

    Args:
        epochs: Recorded epochs, increasing; epoch 0 is left out.
        train: Accuracy on the training inputs in [0, 1], axes (epoch, task).
        validation: Accuracy on unseen inputs in [0, 1], axes (epoch, task).
        moduli: One name for each task.
    """
    ticks, kept = checked_epochs(epochs)
    seen = checked(train, "train", len(kept), "task")
    unseen = checked(validation, "validation", *seen.shape)[kept]
    seen = seen[kept]
    names = checked_names(moduli, seen.shape[1], "moduli")
    rows = 0.15 * max(len(names), 6)
    figure, cells = panels(2, 1, 3.7 + rows, sharex=True, height_ratios=(2.6, 0.2 + rows))
    top, bottom = cells[:, 0]
    veil = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.7}
    for split, name, values in (("train", "training", seen), ("validation", "unseen", unseen)):
        colour, mean = style.SPLITS[split], values.mean(axis=1)
        top.plot(ticks, values, color=colour, linewidth=0.7, alpha=0.3)
        top.plot(ticks, mean, color=colour, linewidth=3)
        rise = _first(ticks, mean, 0.5)
        right = split == "validation" and np.isfinite(rise)
        side: dict[str, Any] = {"ha": "left" if right else "right", "bbox": veil}
        at, away = rise if np.isfinite(rise) else ticks[-1], (8 if right else -8, 4)
        side |= {"xytext": away, "textcoords": "offset points", "color": colour}
        top.annotate(f"{name} inputs", (at, min(0.5, mean[-1])), **side)
    top.set(ylabel="accuracy", ylim=(-0.02, 1.03))
    top.set_title("accuracy: mean (thick) and each task (thin)")
    _delays(bottom, ticks, seen, unseen)
    bottom.set(ylim=(len(names) - 0.4, -0.6), ylabel="remainder mod")
    bottom.set_title(f"accuracy {GENERALISED:g} reached: ● training inputs, ◆ unseen inputs")
    style.name_ticks(bottom.yaxis, names)
    style.plain_log(bottom.xaxis)
    bottom.set_xlabel(EPOCH)
    bottom.set_xlim(ticks[0], ticks[-1] * 1.25)
    return figure


@look()
def training_maps(
    epochs: ArrayLike,
    maps: Groups,
    names: Sequence[Any] | np.ndarray,
    label: str,
    *,
    log: bool = False,
    root: bool = False,
    rows: str = "remainder mod",
    axes: Axes | None = None,
) -> Figure:
    """Draw maps of row against log-time on one colour scale: Figs. 5, 6, 16, 17.

    Args:
        epochs: Recorded epochs, increasing; epoch 0 is left out.
        maps: Values by title, axes (epoch, row).
        names: One name for each row: moduli, matrices, or frequencies.
        log: Whether colours are on a log scale, over six decades at most; otherwise they run from
            0 to at least 1.
        root: Whether colours are on a square-root scale from 0, which shows what is weak.
        rows: What the names are.
        axes: Where to draw if there is one map; a new figure by default.
    """
    ticks, kept = checked_epochs(epochs)
    shown = {t: v[kept] for t, v in checked_all(maps, "maps", len(kept), len(names)).items()}
    row_names = checked_names(names, len(names), "names")
    height = 0.35 + max(0.14 * len(names), min(0.24 * len(names), 2.4))
    if axes is None:
        figure, new = panels(len(shown), 1, 0.6 + len(shown) * height, sharex=True)
        cells = list(new[:, 0])
    else:
        (figure, _), cells = panel(axes, height), [axes]
    norm = _colour_scale(np.stack(list(shown.values())), log, root)
    logs = np.log(ticks)
    middles = (logs[1:] + logs[:-1]) / 2
    edges = np.exp([2 * logs[0] - middles[0], *middles, 2 * logs[-1] - middles[-1]])
    for cell, (title, values) in zip(cells, shown.items(), strict=True):
        lines = np.arange(len(names) + 1) - 0.5
        cmap: dict[str, Any] = {"norm": norm, "cmap": style.SEQUENTIAL, "rasterized": True}
        mesh = cell.pcolormesh(edges, lines, values.T, **cmap)
        cell.set(title=style.symbols(title), ylim=(len(names) - 0.5, -0.5), ylabel=rows)
        style.name_ticks(cell.yaxis, row_names)
    style.plain_log(cells[-1].xaxis)
    cells[-1].set_xlabel(EPOCH)
    figure.colorbar(mesh, ax=cells, label=label, aspect=18 * len(shown))
    return figure


@look()
def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike | Curve],
    label: str,
    *,
    across: str = "epoch",
    log_x: bool = True,
    log: bool = False,
    band: ArrayLike | None = None,
    levels: Mapping[str, float] | None = None,
    controls: Collection[str] = (),
    axes: Axes | None = None,
) -> Figure:
    """Draw lines over one axis, most often log-time, each named at its end.

    Args:
        x: Places of the values, increasing; a log axis leaves out those that are not above 0.
        lines: Values (x,) by name, or a tuple of other places and the values there; train,
            validation and test have their own colours.
        across: Label of the horizontal axis, with its unit.
        log_x: Whether the horizontal axis has a log scale.
        band: Values of controls, axes (draw, x); their range and median are drawn in grey.
    """
    if not lines:
        raise ValueError("lines is empty; give at least one {name: values}")
    looks = style.looks(lines, controls)
    figure, axes = panel(axes, 3.6)
    handles = style.level_lines(axes, levels)
    if band is not None:
        ticks, draws = _kept(x, np.asarray(band).T, "band, as (x, draw),", log_x, "draw")
        low, high, middle = np.quantile(draws, (0, 1, 0.5), axis=1)
        axes.fill_between(ticks, low, high, color=style.PALE, alpha=0.6, linewidth=0, zorder=0)
        name = f"random, {draws.shape[1]} draws"
        handles += axes.plot(ticks, middle, color=style.GREY, label=name, linewidth=1.4)
    for name, given in lines.items():
        ticks, line = _kept(x, given, f"lines[{name!r}]", log_x)
        handles += axes.plot(ticks, line, label=name, **looks[name])
    if log_x:
        style.plain_log(axes.xaxis)
    if log:
        style.plain_log(axes.yaxis)
    axes.set(xlabel=f"{across} (log scale)" if log_x else across, ylabel=label)
    axes.margins(x=0)
    style.name_ends(axes, handles)
    return figure


def ranking(values: Groups, label: str, *, controls: Collection[str] = ()) -> Figure:
    """Draw the values (unit,) of each group from the largest to the smallest against their rank."""
    groups = checked_all(values, "values", "unit")
    lines = {name: (1 + np.arange(len(v)), np.sort(v)[::-1]) for name, v in groups.items()}
    return curves((), lines, label, across="rank, largest first", log_x=False, controls=controls)


@look()
def progress_figure(
    rows: Mapping[str, Mapping[str, Curve]],
    phases: Mapping[str, tuple[float, float]],
    *,
    log: Collection[str] = (),
    bands: Mapping[str, Curve] | None = None,
    since: int = 1,
) -> Figure:
    """Draw progress measures over one log-time axis, with the phases of training between them.

    Args:
        rows: Epochs and values of each line by name, by the label of their panel.
        phases: Epochs between which each phase ends, by its name; from one that does not end
            (not finite) on, no name is written.
        log: Labels of the panels with a log scale.
        bands: Epochs, and values (draw, epoch) of controls, by label.
        since: First epoch shown, 1 or later.
    """
    if not rows:
        raise ValueError("rows is empty; give at least one {label: {name: (epochs, values)}}")
    style.checked_keys({*log, *(bands or {})}, rows, "log or bands")
    figure, axes = panels(len(rows), 1, 0.8 + 2.0 * len(rows), sharex=True)
    for cell, (label, lines) in zip(axes[:, 0], rows.items(), strict=True):
        places, band = (bands or {}).get(label, ((), None))
        curves(places, lines, style.symbols(label), band=band, log=label in log, axes=cell)
        cell.set_xlabel("" if cell is not axes[-1, 0] else cell.get_xlabel())
    axes[-1, 0].set_xlim(left=since)
    start = float(since)
    for index, (name, (low, high)) in enumerate(phases.items()):
        if not np.isfinite([low, high]).all():
            break
        for cell in axes[:, 0]:
            cell.axvspan(low, high, color="#DDDDDD", alpha=0.8, linewidth=0, zorder=0)
        end = float(np.sqrt(low * high))
        place = np.sqrt(start * end), 1.02 + 0.13 * (index % 2)  # neighbours may be narrow
        axes[0, 0].annotate(name, place, xycoords=("data", "axes fraction"), ha="center", size=10)
        start = end
    return figure


def _kept(x: Any, values: Any, name: str, log: bool, *more: str) -> tuple[Any, Any]:
    """Return the places and values (x, *more) of a line that its axis has room for."""
    x, values = values if isinstance(values, tuple) else (x, values)
    places = checked(x, "x", "x")
    array = checked(values, name, len(places), *more)
    ticks, kept = checked_epochs(x, "x", 1) if log else (places, np.ones(len(places), bool))
    return ticks, array[kept]


def _colour_scale(values: np.ndarray, log: bool, root: bool) -> Normalize:
    """Return a scale from 0 to at least 1, of square roots, or of the six topmost decades."""
    largest = float(np.nanmax(values))
    if root:
        return PowerNorm(0.5, 0, largest or 1.0)
    if not log:
        return Normalize(min(0.0, float(np.nanmin(values))), max(1.0, largest))
    if largest <= 0:
        raise ValueError(f"the largest value is {largest}; a log scale needs one above 0")
    smallest = float(np.nanmin(values[values > 0]))
    lower = max(smallest, largest * 1e-6) if smallest < largest else largest / 10
    return LogNorm(lower, largest, clip=True)


def _first(epochs: np.ndarray, values: np.ndarray, threshold: float) -> float:
    """Return the first epoch at which values reach a threshold; nan, not drawn, for never."""
    record = first_epoch(np.arange(len(epochs)), values.astype(float), threshold)
    return float("nan") if record is None else float(epochs[record])


def _delays(axes: Axes, epochs: np.ndarray, seen: np.ndarray, unseen: np.ndarray) -> None:
    """Draw two marks a task, joined; an arrow to the right edge where the second is missing."""
    for row in range(seen.shape[1]):
        start, stop = (_first(epochs, each[:, row], GENERALISED) for each in (seen, unseen))
        end = stop if np.isfinite(stop) else epochs[-1] * 1.12
        axes.plot([start, end], [row, row], color=style.PALE, linewidth=1.8, zorder=1)
        axes.plot(start, row, "o", color=style.SPLITS["train"], markersize=6)
        axes.plot(stop, row, "D", color=style.SPLITS["validation"], markersize=6)
        if end != stop and np.isfinite(start):
            axes.plot(end, row, ">", color=style.PALE, markersize=6)
