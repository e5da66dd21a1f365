"""What all figures share: type, colours, axes of epochs and primes, checks of input."""

import io
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from PIL import Image

Groups = Mapping[str, ArrayLike]  # arrays by the name of their line, row or panel
WIDTH = 6.4  # inches: at 390 px on a phone, 12 pt type is 10 px high
X0, X1 = "$x_0$", "$x_1$"
# Two colours mean two things wherever they occur: what is remembered, training inputs, and what
# follows a rule, unseen ones. Chance and controls are grey. All are dark enough for letters.
MEMORY, RULE = "#C25100", "#0072B2"
INK, GREY, PALE = "#222222", "#6B6B6B", "#BBBBBB"
# What else there is to tell apart: neither orange nor blue, and a dash tells it too.
COLOURS = ("#7A2E6B", "#1B7F6B", "#C2669F", "#857416", "#56657F", "#222222")
DASHES = ("-", "--", "-.", ":")
# In the dark the site turns lightness around and keeps hues, so that white becomes its ground:
# maps of colours begin with a tint, which stands out from either, and not with white.
PURPLES = ("#E9DDE6", "#D5A8C6", "#B56E9F", "#7A2E6B", "#38123A")
SIGNS = ("#0C4A3E", "#1B7F6B", "#83B8AA", "#E6E2E5", "#CD9DBF", "#7A2E6B", "#43163F")
SEQUENTIAL = LinearSegmentedColormap.from_list("miiii", PURPLES)
DIVERGING = LinearSegmentedColormap.from_list("miiii signed", SIGNS)
for font in sorted((Path(__file__).parent / "fonts").glob("*.ttf")):
    fontManager.addfont(font)
STYLE: dict[str, Any] = {
    # The second comes with matplotlib and has signs that the first lacks.
    "font.family": ["miiii Sans", "DejaVu Sans"],
    "font.size": 12, "axes.titlesize": 13, "axes.labelsize": 12,
    "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelcolor": INK,
    "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY, "text.color": INK,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "lines.linewidth": 2.2, "figure.dpi": 150,
    "mathtext.fontset": "custom", "mathtext.rm": "miiii Sans", "mathtext.it": "miiii Sans:italic",
    "mathtext.bf": "miiii Sans:bold", "mathtext.cal": "miiii Sans:italic",
    "mathtext.fallback": "stixsans", "mathtext.default": "it",
}  # fmt: skip
# A context, or decorator, of matplotlib's own defaults and the house style.
look = partial(matplotlib.style.context, ["default", STYLE])


class HouseFigure(Figure):
    """A figure that is drawn in the house style whenever it is drawn, and shows itself."""

    @look()
    def draw(self, renderer: Any) -> None:
        """Draw: matplotlib reads many settings only now."""
        super().draw(renderer)

    @look()
    def _repr_png_(self) -> bytes:
        """Give a notebook the picture, whatever the backend; of 256 colours, which halves it."""
        full, picture = io.BytesIO(), io.BytesIO()
        self.savefig(full, format="png", bbox_inches="tight")
        colours = Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        colours.save(picture, format="png", optimize=True)
        return picture.getvalue()


@look()
def panels(
    rows: int, columns: int, height: float, *, layout: Any = "constrained", **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return a new figure, so many inches high, and a (rows, columns) array of axes."""
    figure = HouseFigure(figsize=(WIDTH, height), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def column(axes: Axes | None, count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return the axes handed in and their figure, or a new one of so many panels and inches."""
    if axes is None:
        figure, new = panels(count, 1, height, sharex=True)
        return figure, list(new[:, 0])
    return cast(Figure, axes.figure), [axes]


def multiples(
    titles: Collection[str], columns: int, tall: float, labels: Sequence[str], **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return a figure of titled panels, so many times as tall as wide, labels outside, and axes."""
    count, columns = len(titles), min(columns, len(titles))
    width = (WIDTH - 0.6) / (columns if columns > 1 or tall < 1 else 1.2)
    rows = -(-count // columns)
    height = 0.6 + rows * (0.35 + max(0.5, width * tall))
    figure, axes = panels(rows, columns, height, layout="compressed", **options)
    for empty in axes.flat[count:]:
        empty.remove()
    for index, (cell, title) in enumerate(zip(axes.flat, titles, strict=False)):
        up = "" if index % columns else labels[0]
        across = labels[1] if index + columns >= count else ""  # no panel below it
        cell.set(title=symbols(title), ylabel=up, xlabel=across)
    return figure, axes.ravel()[:count]


def checked(values: ArrayLike, name: str, *axes: str | int) -> np.ndarray:
    """Return the values as an array whose axes have these names, or lengths, and some length."""
    array = np.asarray(values)
    lengths = zip(array.shape, axes, strict=False)
    wrong = any(isinstance(n, int) and m != n for m, n in lengths)
    if wrong or array.ndim != len(axes) or not array.size:
        wanted = ", ".join(map(str, axes))
        raise ValueError(f"{name} has shape {array.shape}; give values with axes ({wanted})")
    return array


def checked_all(values: Mapping[str, Any], name: str, *axes: str | int) -> dict[str, np.ndarray]:
    """Return as `checked` does every array of a mapping that has at least one."""
    if not values:
        raise ValueError(f"{name} is empty; give at least one {{name: array}}")
    return {key: checked(array, f"{name}[{key!r}]", *axes) for key, array in values.items()}


def after_start(epochs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the epochs above 0, as a log axis has no place for 0, and the mask of those kept."""
    array = checked(epochs, "epochs", "epoch")
    return array[array > 0], array > 0


def symbols(text: str) -> str:
    """Return a text with W_E and T_nanda set as the symbols they are."""
    return re.sub(r"\b([WT])_(\w+)", r"$\1_\\mathrm{\2}$", text).replace("$T_", "$𝒯_")


def plain_log(axis: Axis) -> None:
    """Make an axis that has its data logarithmic, with numbers written out: 0.01, 256, 16k."""
    axis.axes.set(**{"xscale" if isinstance(axis, XAxis) else "yscale": "log"})
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(10, (1, 2, 5) if high < 30 * low else (1,), numticks=8))
    axis.set_major_formatter(short_number)
    axis.set_minor_formatter(NullFormatter())


def inches(axis: Axis) -> float:
    """Return about how long an axis is, before its figure is laid out."""
    size = axis.axes.get_position().size * cast(Figure, axis.axes.figure).get_size_inches()
    return float(size[0 if isinstance(axis, XAxis) else 1])


def name_ticks(axis: Axis, names: Sequence[Any] | np.ndarray) -> None:
    """Name rows or columns 0, 1, ...: all, or evenly as many as have room."""
    room, across = inches(axis), isinstance(axis, XAxis)
    step = int(max(1, -(-len(names) * 0.1 // room)))
    axis.set_ticks(np.arange(0, len(names), step), [symbols(str(n)) for n in names[::step]])
    if not across:  # as large as rows leave room for, as a phone shows them at half the size
        axis.set_tick_params(labelsize=float(np.clip(88 * step * room / len(names), 8, 11)))
    elif len(names) > 3 * room:
        axis.set_tick_params(labelsize=8, rotation=90)


def name_ends(axes: Axes, lines: Sequence[Line2D]) -> None:
    """Write the name of each line at the right edge, moved apart where names would touch."""
    left, to_axes = axes.get_xlim()[0], axes.transData + axes.transAxes.inverted()
    from scipy.optimize import isotonic_regression  # slow to load, and few figures need it

    ends = {}
    for line in lines:
        heights = np.asarray(line.get_ydata(), float)
        if (known := heights[np.isfinite(heights)]).size:
            ends[line] = to_axes.transform((left, known[-1]))[1]
    if not ends:
        return
    ordered = sorted(ends, key=lambda line: ends[line])
    names = [str(line.get_label()) for line in ordered]
    names = [name if "$" in name else textwrap.fill(name, 16) for name in names]
    sizes = np.array([0.215 * (1 + name.count("\n")) for name in names]) / inches(axes.yaxis)
    offsets = np.concatenate([[0], np.cumsum((sizes[1:] + sizes[:-1]) / 2)])
    wanted = isotonic_regression(np.array([ends[line] for line in ordered]) - offsets).x
    places = np.clip(wanted, 0, max(0.0, 1 - offsets[-1])) + offsets
    place: dict[str, Any] = {"xycoords": "axes fraction", "va": "center", "linespacing": 1.0}
    for height, name, line in zip(places, names, ordered, strict=True):
        axes.annotate(symbols(name), (1.01, height), color=line.get_color(), size=11, **place)


def short_number(value: float, _: float) -> str:
    """Return a number in at most five or so characters: 0.01, 256, 16k, 2M."""
    if abs(value) >= 1e3:
        return f"{value / 1e3:g}k" if abs(value) < 1e6 else f"{value / 1e6:g}M"
    return f"{value:g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.0e}"
