"""Axes as SVG: what a page shows before, and without, any script."""

import base64
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Shaped, UInt8
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from ..figures import style
from .packing import LEVELS

Number = int | float
DASHES = {"-": "none", "--": "7 4", "-.": "8 3 2 3", ":": "2 3"}


@dataclass(frozen=True)
class Box:
    """A rectangle in which data are drawn, in units of the SVG, y downwards.

    Attributes:
        left: edge.
        top: edge.
        width: towards the right.
        height: downwards.
    """

    left: int
    top: int
    width: int
    height: int

    def x(self, share: Number) -> float:
        """The place of a share of the width, from the left."""
        return round(float(self.left + share * self.width), 2)

    def y(self, share: Number) -> float:
        """The place of a share of the height, from the bottom."""
        return round(float(self.top + (1 - share) * self.height), 2)


def picture(width: int, height: int, alt: str, *parts: str) -> str:
    """An SVG that says what it shows."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">'
        f"{''.join(parts)}</svg>"
    )


def text(x: Number, y: Number, words: str, anchor: str = "middle", **more: str) -> str:
    """Words at a place, in the colour of the page's text; W_E and T_nanda with their subscripts."""
    extra = "".join(f' {key.rstrip("_")}="{value}"' for key, value in more.items())
    below = r'<tspan font-style="italic">\1</tspan><tspan baseline-shift="sub">\2</tspan>'
    shown = re.sub(r"\b([WT])_(\w+)", below, escape(words))
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{extra}>{shown}</text>'


def turned(x: Number, y: Number, words: str) -> str:
    """Words that run upwards, centred at a place."""
    return text(x, y, words, transform=f"rotate(-90 {x} {y})")


def ticks_below(box: Box, marks: Iterable[tuple[Number, str]], label: str) -> str:
    """Names of (share of the width, name) below a box, and the label of the axis."""
    base = box.top + box.height
    named = "".join(
        f'<path class="axis" d="M{box.x(share)} {base}v4"/>{text(box.x(share), base + 17, name)}'
        for share, name in marks
    )
    return named + text(box.x(0.5), base + 36, label)


def ticks_beside(box: Box, marks: Iterable[tuple[Number, str]], label: str) -> str:
    """Names of (share of the height from the bottom, name) left of a box, and the axis label."""
    named = "".join(
        f'<path class="axis" d="M{box.left} {box.y(share)}h-4"/>'
        f"{text(box.left - 7, box.y(share) + 4, name, 'end')}"
        for share, name in marks
    )
    return named + turned(13, box.y(0.5), label)


def spines(box: Box) -> str:
    """The left and the lower edge of a box."""
    return f'<path class="axis" d="M{box.left} {box.top}v{box.height}h{box.width}"/>'


def even_marks(
    low: Number,
    high: Number,
    place: Callable[[float], float],
    *,
    whole: bool = False,
    most: int = 5,
) -> list[tuple[float, str]]:
    """A few round numbers within bounds, each with the share of the axis where it stands."""
    locator = MaxNLocator(most, integer=whole, steps=[1, 2, 5, 10])
    found = np.asarray(locator.tick_values(low, high))
    slack = 1e-9 * (high - low)
    inside = found[(found >= low - slack) & (found <= high + slack)]
    return [(place(float(v)), style.short_number(float(f"{v:.6g}"))) for v in inside]


def log_marks(low: Number, high: Number) -> list[tuple[float, str]]:
    """Powers of ten within bounds, each with its share of a logarithmic axis."""
    powers = range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    return [(log_share(10.0**k, low, high), style.short_number(10.0**k)) for k in powers]


def log_share(value: Number, low: Number, high: Number) -> float:
    """Where a value stands on a logarithmic axis, from 0 to 1."""
    return float(np.log(value / low) / np.log(high / low))


def stroke(look: dict[str, Any]) -> str:
    """The colour and the dashes of a line of the house, as attributes; ink follows the page."""
    colour = "currentColor" if look["color"] == style.INK else look["color"]
    return f'stroke="{colour}" stroke-dasharray="{DASHES[look["linestyle"]]}"'


def palette(name: str) -> UInt8[np.ndarray, "256 3"]:
    """Red, green and blue of each level of a colour map."""
    colours = matplotlib.colormaps[name](np.arange(LEVELS + 1))
    return np.rint(255 * colours[:, :3]).astype(np.uint8)


def coloured(
    levels: UInt8[np.ndarray, "rows columns"], colours: UInt8[np.ndarray, "256 3"]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The colour of each level."""
    return colours[levels]


def embedded(pixels: Shaped[np.ndarray, "rows columns 3"], box: Box, kind: str) -> str:
    """A raster stretched over a box, every pixel a sharp cell."""
    stream = io.BytesIO()
    imsave(stream, pixels, format="png")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return (
        f'<image class="{kind}" x="{box.left}" y="{box.top}" width="{box.width}" '
        f'height="{box.height}" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )
