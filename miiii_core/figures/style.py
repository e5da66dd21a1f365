"""What all figures share: type, colours, the log-time axis, and the checks of their input."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

P = ParamSpec("P")

WIDTH = 6.4  # inches: at 390 px on a phone, 11 pt type is still 9 px high
# From the colour of the ground to its contrary: in the dark both are turned around, hues kept.
SEQUENTIAL, DIVERGING = "GnBu", "RdBu_r"
INK, FAINT = "#222222", "#999999"
VEIL = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.7}  # behind words on lines
# Okabe and Ito (2008), told apart under the common colour blindnesses; yellow is too light.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#222222")
NAMED_PRIMES = (2, 3, 5, 7, 11, 19, 31, 53, 89, 199)
DASHES = ("-", "--", "-.", ":")
SPLITS = {"train": "#D55E00", "validation": "#0072B2", "test": "#009E73"}
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "figure.dpi": 150,
    "mathtext.default": "it",
}


def drawn(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the house style, and close the figure if the function opened it.

    A notebook shows a returned figure once through its representation, and every figure that
    pyplot holds open once more at the end of the cell: closing leaves the first alone. The
    figure stays whole; ``figure.savefig`` works. Axes handed in stay open, as their owner's.
    """

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        before = set(plt.get_fignums())
        try:
            with plt.rc_context(STYLE):
                return draw(*args, **kwargs)
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)

    return styled


def panel(axes: Axes | None, height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """The axes handed in and their figure, or new ones of this size in inches."""
    if axes is None:
        return plt.subplots(figsize=(width, height), layout="constrained")
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes given belong to no figure; make them with plt.subplots()")
    return figure, axes


def panels(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A new figure with a (rows, columns) array of axes."""
    look: dict[str, Any] = {"layout": "constrained", "figsize": (WIDTH, height)}
    return plt.subplots(rows, columns, squeeze=False, **look | options)


def checked(values: ArrayLike, name: str, *axes: str | int) -> np.ndarray:
    """The values as a real NumPy array whose axes have these names, or these lengths.

    Raises:
        ValueError: for values that are not real numbers, empty, or of another shape.
    """
    array = np.asarray(values)
    wanted = f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {array.dtype}; it must hold real numbers, axes {wanted}")
    lengths = zip(array.shape, axes, strict=False)
    if array.ndim != len(axes) or any(isinstance(n, int) and m != n for m, n in lengths):
        raise ValueError(f"{name} has shape {array.shape}; it must have axes {wanted}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, of shape {array.shape}; it needs axes {wanted}")
    return array


def checked_square(values: ArrayLike, name: str, *axes: str | int) -> np.ndarray:
    """As `checked`, with the last two axes (x0 and x1, or k0 and k1) of one length."""
    array = checked(values, name, *axes)
    if array.shape[-1] != array.shape[-2]:
        raise ValueError(
            f"{name} has shape {array.shape}; its last two axes, {axes[-2]} and {axes[-1]}, "
            "must have the same length"
        )
    return array


def checked_names(names: Sequence[Any] | np.ndarray, count: int, what: str) -> list[str]:
    """One name for each of so many things, as strings."""
    if len(names) != count:
        raise ValueError(f"{len(names)} {what} were given for {count} rows or panels; give {count}")
    return [symbols(str(name)) for name in names]


def symbols(text: str) -> str:
    """W_E and T_nanda in a text, set as the symbols they are."""
    text = re.sub(r"\bW_(\w+)", r"$W_\\mathrm{\1}$", text)
    return re.sub(r"\bT_(\w+)", r"$\\mathcal{T}_\\mathrm{\1}$", text)


def checked_epochs(epochs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The epochs of 1 and later, as a log axis has no place for 0, and the mask of those kept."""
    array = checked(epochs, "epochs", "epoch")
    if (np.diff(array) <= 0).any() or (array >= 1).sum() < 2:
        raise ValueError(
            f"epochs run from {array[0]} to {array[-1]} in {len(array)} records; they must "
            "increase, and two must be 1 or more for the log axis"
        )
    return array[array >= 1], array >= 1


def log_edges(epochs: np.ndarray) -> np.ndarray:
    """Cell edges half way, on a log scale, between neighbouring epochs."""
    logs = np.log(epochs)
    middles = (logs[1:] + logs[:-1]) / 2
    first, last = 2 * logs[0] - middles[0], 2 * logs[-1] - middles[-1]
    return np.exp(np.concatenate([[first], middles, [last]]))


def log_time(axes: Axes, label: bool = True) -> None:
    """A log axis of epochs with plain numbers: 1, 10, 100, 1k, 10k."""
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    if label:
        axes.set_xlabel("epoch (log scale)")


def plain_log(axis: Axis) -> None:
    """Ticks at powers of ten, written out."""
    axis.set_major_locator(LogLocator(10, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axis.set_minor_formatter(NullFormatter())


def short_number(value: float) -> str:
    """A number in at most five or so characters: 0.01, 256, 16k, 2M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.0e}"


def prime_axis(axes: Axes, primes: ArrayLike) -> None:
    """Primes along a log axis, a few of them named."""
    axes.set(xlabel="prime q", xscale="log")
    axes.set_xticks([q for q in np.unique(primes) if q in NAMED_PRIMES])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda q, _: f"{q:.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def whole_ticks(axes: Axes, most: int) -> None:
    """A few whole numbers along both axes."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def thinned_ticks(axis: Axis, names: Sequence[str], most: int, start: int = 0) -> None:
    """Name rows or columns 0, 1, ..., skipping evenly where more than so many would crowd."""
    step = -(-len(names) // most)
    axis.set_ticks(range(start, len(names), step), list(names)[start::step])


def level_lines(axes: Axes, levels: Mapping[str, float]) -> None:
    """What curves are compared with: level lines, named in the legend, in ink and dashed."""
    for index, (name, height) in enumerate(levels.items()):
        dash = DASHES[(index + 1) % len(DASHES)]
        axes.axhline(height, color=INK, linestyle=dash, linewidth=1.4, label=symbols(name))


def line_look(index: int) -> dict[str, Any]:
    """Colour and dash of the index-th line: apart in grey too."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[(index % len(COLOURS) + index // len(COLOURS)) % len(DASHES)],
    }
