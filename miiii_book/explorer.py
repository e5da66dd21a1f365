"""Controls for a page without a kernel: a reader moves a slider, and the picture follows.

An explorer is one or more choices and one or more panels that show what is chosen. A notebook
displays it as HTML; data, style and script travel inside, so that it works from a file, without a
network, and in JupyterLab alike. Where scripts do not run it is a picture of its start.

>>> explorer(
...     [slider("epoch", epochs, play=True)],
...     [heat_map(grids, label="activation", title="neuron 0", alt="Stripes ...")],
...     caption="One neuron through training.",
... )
"""

import base64
import io
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .figures.style import SEQUENTIAL, X0, X1, line_look, log_time, look, symbols

HERE = Path(__file__).parent
LEVELS = 255  # steps of a scale from its low to its high end, a byte for each number
BUDGET = 400_000  # numbers of one panel


@dataclass(frozen=True)
class Choice:
    """One of several values, or some of them, made into native inputs by the script.

    Attributes:
        kind: One of slider, menu and boxes.
        label: What is chosen, with its unit if it has one.
        names: Names of the values, as they are shown.
        start: Positions chosen at first; one, but for boxes.
        play: Whether a slider has a button that runs through its values.
    """

    kind: str
    label: str
    names: tuple[str, ...]
    start: tuple[int, ...]
    play: bool = False


def slider(label: str, values: ArrayLike, *, start: int = 0, play: bool = False) -> Choice:
    """Choose one of many values in order, such as epochs; one that plays starts from the last."""
    return Choice("slider", label, *_checked(label, values, [-1 if play else start]), play)


def menu(label: str, values: ArrayLike, *, start: int = 0) -> Choice:
    """Choose one of a few values, from a list that opens."""
    return Choice("menu", label, *_checked(label, values, [start]))


def boxes(label: str, values: ArrayLike, *, start: Sequence[int] = (0,)) -> Choice:
    """Choose any number of values by boxes, each with the look of its line; for `lines`."""
    return Choice("boxes", label, *_checked(label, values, start))


@dataclass(frozen=True)
class Panel:
    """One picture for each combination of choices: axes by matplotlib, data over them by script.

    Attributes:
        kind: One of heat_map, bars and lines, as the script calls them.
        alt: What the picture shows, for those who do not see it.
        frames: Lengths of the choices that it follows.
        said: Numbers of each frame, or each line, in words; frames in C order.
        data: What the script draws from.
        draw: Function that draws frames or lines of these numbers with their axes.
    """

    kind: str
    alt: str
    frames: tuple[int, ...]
    said: list[str]
    data: dict[str, Any]
    draw: Callable[[Axes, Sequence[int]], Any]

    def html(self, shown: Sequence[int]) -> str:
        """Return the picture of the start, and the place where the script draws over it."""
        with look():
            figure = Figure(figsize=(4, 3.3), layout="constrained")
            axes = figure.subplots()
            self.draw(axes, shown)
            axes.set_title(symbols(axes.get_title()))
            figure.savefig(stream := io.BytesIO(), format="png", dpi=200)
        box = axes.get_position()
        sides = {"left": box.x0, "top": 1 - box.y1, "width": box.width, "height": box.height}
        place = ";".join(f"{side}:{100 * share:.3f}%" for side, share in sides.items())
        png = base64.b64encode(stream.getvalue()).decode()
        return (
            f'<div class="plot"><img class="dark-light" src="data:image/png;base64,{png}" '
            f'alt="{escape(self.alt)}"><div class="data" style="{place}"></div></div>'
        )


def heat_map(values: ArrayLike, *, label: str, alt: str, common: bool = True, **axes: str) -> Panel:
    """Show a matrix for each combination of choices, as colours, first axis downwards.

    Args:
        values: Real numbers, axes (choice, ..., row, column).
        label: What the colours measure, with its unit.
        alt: Alternative text of the picture.
        common: Whether all frames share a scale; otherwise its ends are told in words alone.
        axes: Settings such as ``title``, ``xlabel`` and ``ylabel``; rows are $x_0$ by default.
    """
    frames, lengths = _frames(values, 2)
    low, high = frames.min(axis=(1, 2)), frames.max(axis=(1, 2))
    ends = (np.full_like(low, low.min()), np.full_like(high, high.max())) if common else (low, high)
    bottom, top = (end[:, None, None] for end in ends)
    levels = _levels(frames - bottom, np.where(top > bottom, top - bottom, 1))

    def draw(place: Axes, shown: Sequence[int]) -> None:
        image = place.imshow(levels[shown[0]], SEQUENTIAL, aspect="auto", vmin=0, vmax=LEVELS)
        place.set(**{"xlabel": X1, "ylabel": X0, "box_aspect": 1} | axes)
        bar = place.figure.colorbar(image, ax=place, shrink=0.86)
        bar.set_label(label, labelpad=-20)
        texts = [_short(ends[0][0]), _short(ends[1][0])] if common else ["lowest", "highest"]
        bar.set_ticks([0, LEVELS], labels=texts)

    colours = np.rint(255 * colormaps[SEQUENTIAL](np.arange(LEVELS + 1))[:, :3]).astype(int)
    said = [f"{label} from {_short(a)} to {_short(b)}" for a, b in zip(low, high, strict=True)]
    data = {"shape": levels.shape[1:], "levels": _packed(levels), "colours": colours.tolist()}
    return Panel("heat_map", alt, lengths, said, data, draw)


def bars(
    values: ArrayLike, *, label: str, each: str, alt: str, first: int = 0, **axes: str
) -> Panel:
    """Show a bar chart for each combination of choices, on one scale from 0.

    Args:
        values: Numbers that are not negative, axes (choice, ..., bar).
        label: What the height measures, with its unit.
        each: What one bar stands for, in a word, such as "frequency".
        alt: Alternative text of the picture.
        first: Number of the first bar.
        axes: Settings such as ``xlabel``.
    """
    frames, lengths = _frames(values, 1)
    high = float(frames.max()) or 1.0
    numbers = first + np.arange(frames.shape[1])

    def draw(place: Axes, shown: Sequence[int]) -> None:
        place.bar(numbers, frames[shown[0]], width=0.85)
        place.set(ylabel=label, xlim=numbers[[0, -1]] + [-0.5, 0.5], ylim=(0, high), **axes)

    peaks = [(_short(row.max()), numbers[row.argmax()]) for row in frames]
    said = [f"largest {label} {peak}, at {each} {number}" for peak, number in peaks]
    data = {"shape": frames.shape[1:], "levels": _packed(_levels(frames, high))}
    return Panel("bars", alt, lengths, said, data, draw)


def lines(
    epochs: ArrayLike, values: ArrayLike, names: Sequence[str], *, label: str, alt: str, **axes: str
) -> Panel:
    """Show lines through log-time of which the chosen ones stand out.

    Args:
        epochs: Increasing; records before epoch 1 are left out.
        values: Real numbers, axes (line, epoch), lines in the order of the choice.
        names: Name of each line.
        label: What the height measures, with its unit.
        alt: Alternative text of the picture.
        axes: Settings such as ``title``.
    """
    ticks, (curves, lengths) = np.asarray(epochs, float), _frames(values, 1)
    if curves.shape != (wanted := (len(names), len(ticks))):
        raise ValueError(f"values has shape {curves.shape}; names and epochs ask for {wanted}")
    ticks, curves = ticks[ticks >= 1], curves[:, ticks >= 1]
    low, high = min(0.0, float(curves.min())), float(curves.max()) or 1.0
    looks = [line_look(i) for i in range(len(curves))]

    def draw(place: Axes, shown: Sequence[int]) -> None:
        for i in sorted(range(len(curves)), key=shown.__contains__):  # the chosen ones on top
            style = looks[i] if i in shown else {"color": "0.7", "linewidth": 1}
            place.plot(ticks, curves[i], **style)
        log_time(place)
        place.set(ylabel=label, xlim=ticks[[0, -1]], ylim=(low, high), **axes)

    along = np.log(ticks / ticks[0]) / np.log(ticks[-1] / ticks[0])
    down = (high - curves) / (high - low)
    points = [np.stack([along, row], axis=1).round(4).tolist() for row in down]
    when = [f"at epoch {tick:,.0f}" for tick in ticks[[0, -1]]]
    said = [
        f"{name}: {label} {_short(y[0])} {when[0]}, {_short(y[-1])} {when[1]}"
        for name, y in zip(names, curves, strict=True)
    ]
    data = {"points": points, "looks": [[one["color"], one["linestyle"]] for one in looks]}
    return Panel("lines", alt, lengths, said, data, draw)


@dataclass(frozen=True)
class Explorer:
    """What `explorer` makes; a notebook shows it through `_repr_html_`."""

    choices: tuple[Choice, ...]
    panels: tuple[Panel, ...]
    caption: str

    def shown(self, panel: Panel) -> Sequence[int]:
        """Return the lines, or the frame in C order over all choices, that a panel shows first."""
        if panel.kind == "lines":
            return self.choices[0].start
        lengths = [len(choice.names) for choice in self.choices]
        return [int(np.ravel_multi_index([c.start[0] for c in self.choices], lengths))]

    def _repr_html_(self) -> str:
        panels = [{"kind": p.kind, "said": p.said, **p.data} for p in self.panels]
        data = json.dumps([panels, list(map(asdict, self.choices))], separators=(",", ":"))
        style, script = ((HERE / f"explorer.{kind}").read_text() for kind in ("css", "js"))
        return (
            f'<style>{style}</style>\n<figure class="miiii-explorer">\n'
            '<div class="choices" hidden></div>\n'
            f'<div class="plots">{"".join(p.html(self.shown(p)) for p in self.panels)}</div>\n'
            '<output aria-live="polite"></output>\n'
            f'<figcaption><strong class="live">Works on this page.</strong> {escape(self.caption)}'
            # In JSON only strings can hold a "<", and there it may be written so.
            f'</figcaption>\n<script type="application/json">{data.replace("<", chr(92) + "u003c")}'
            f"</script>\n</figure>\n<script>{script}</script>"
        )


def explorer(choices: Sequence[Choice], panels: Sequence[Panel], *, caption: str) -> Explorer:
    """Join choices and panels.

    Every panel has a frame for each combination of the choices' values, the first choice being
    the first axis; `lines` follow one choice alone.

    Raises:
        ValueError: if there is nothing to choose or show, or the two do not fit.
    """
    if not choices or not panels or not all(panel.alt.strip() for panel in panels):
        raise ValueError("give an explorer a choice and a panel at least, each with an alt text")
    lengths = tuple(len(choice.names) for choice in choices)
    for panel in panels:
        if panel.frames != lengths:
            wanted = " × ".join(f"{len(c.names)} ({c.label})" for c in choices)
            raise ValueError(f"a panel has frames {panel.frames}; the choices ask for {wanted}")
        if any(choice.kind == "boxes" for choice in choices) and panel.kind != "lines":
            raise ValueError("boxes choose several, and a panel shows one; give a slider or a menu")
    return Explorer(tuple(choices), tuple(panels), caption)


def thinned(count: int, cells: int, *, budget: int = BUDGET) -> np.ndarray:
    """Return which of so many frames to keep so that a panel stays small: both ends are in.

    A frame has so many cells over all other choices, and a panel has room for a budget of them.
    """
    most = min(count, budget // cells)
    if most < min(count, 2) or count < 1:
        raise ValueError(
            f"{count} frames of {cells:,} numbers do not fit into {budget:,}; show a part of each"
        )
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def _checked(
    label: str, values: ArrayLike, start: Sequence[int]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names of values, thousands parted, and positions counted from the front."""
    array = np.asarray(values)
    names = tuple(f"{v:,}" if array.dtype.kind in "iu" else str(v) for v in array.tolist())
    count = len(names)
    if not count or len(set(names)) < count:
        raise ValueError(f"{label!r} has the values {list(names)}; give some, all different")
    if not start or any(not -count <= position < count for position in start):
        raise ValueError(f"start is {list(start)}; give positions from 0 to {count - 1}")
    return names, tuple(dict.fromkeys(position % count for position in start))


def _frames(values: ArrayLike, axes: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return frames in C order with so many axes each, and the lengths of the choices."""
    array = np.asarray(values, float)
    if array.ndim <= axes or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"values of shape {array.shape} hold {(~np.isfinite(array)).sum()} that are no finite "
            f"number; give finite ones with a choice and then {axes} more axes"
        )
    return array.reshape(-1, *array.shape[-axes:]), array.shape[:-axes]


def _levels(values: np.ndarray, width: Any) -> np.ndarray:
    return np.rint(LEVELS * values / width).astype(np.uint8)


def _packed(levels: np.ndarray) -> str:
    """Return base64 of the steps along rows, modulo 256 and from 0, as a zlib stream.

    Neighbours are often alike, so that steps compress better than levels.
    """
    steps = np.diff(levels, axis=-1, prepend=np.uint8(0))
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def _short(value: float) -> str:
    return f"{value:.3g}"
