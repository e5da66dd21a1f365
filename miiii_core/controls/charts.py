"""Bars that follow a choice, and lines among which a choice stands out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike

from ..figures.style import checked, checked_epochs, checked_names, line_look
from .drawing import (
    Box,
    even_marks,
    log_marks,
    log_share,
    picture,
    spines,
    stroke,
    text,
    ticks_below,
    ticks_beside,
)
from .packing import LEVELS, packed, quantised
from .panels import Panel, checked_frames, finite, plain, short

CHART = Box(58, 26, 330, 190)


@dataclass(frozen=True, kw_only=True)
class Bars(Panel):
    """A bar for each position: see `bars`."""

    levels: UInt8[np.ndarray, "frame bar"]
    positions: Float[np.ndarray, " bar"]
    high: float
    label: str
    xlabel: str

    def still(self, frame: int, chosen: Sequence[int]) -> str:
        """Bars on common axes."""
        count, (first, last) = self.levels.shape[1], self.positions[[0, -1]]
        pitch = (last - first) / max(count - 1, 1) or 1.0

        def place(x: float) -> float:
            return float((x - first + pitch / 2) / (last - first + pitch))

        wide = 0.85 * CHART.width / count
        shapes = "".join(
            f'<rect class="bar" x="{CHART.x(place(x)) - wide / 2:.2f}" y="{CHART.y(share):.2f}" '
            f'width="{wide:.2f}" height="{share * CHART.height:.2f}"/>'
            for x, share in zip(self.positions, self.levels[frame] / LEVELS, strict=True)
        )
        return picture(
            400, 260, self.alt,
            text(CHART.x(0.5), 16, self.title, class_="title"),
            shapes,
            spines(CHART),
            ticks_below(CHART, even_marks(first, last, place, whole=True, most=8), self.xlabel),
            ticks_beside(CHART, even_marks(0, self.high, lambda y: y / self.high), self.label),
        )  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Heights, and where the axis is."""
        return super().data() | {
            "bars": self.levels.shape[1],
            "top": CHART.top,
            "height": CHART.height,
            "levels": packed(self.levels),
        }


@dataclass(frozen=True, kw_only=True)
class Lines(Panel):
    """Lines through log-time, the chosen ones in colour: see `lines`."""

    epochs: Float[np.ndarray, " epoch"]
    values: Float[np.ndarray, "line epoch"]
    label: str

    def still(self, frame: int, chosen: Sequence[int]) -> str:
        """All lines; those chosen last, so that they lie on top."""
        first, last = self.epochs[[0, -1]]
        low, high = min(0.0, float(self.values.min())), float(self.values.max())

        def place(y: float) -> float:
            return (y - low) / ((high - low) or 1.0)

        x = [CHART.x(log_share(epoch, first, last)) for epoch in self.epochs]
        shapes = "".join(
            f'<polyline class="line{" chosen" if i in chosen else ""}" {stroke(line_look(i))} '
            f'points="{" ".join(f"{a},{CHART.y(place(b))}" for a, b in zip(x, y, strict=True))}"/>'
            for i, y in enumerate(self.values)
        )
        return picture(
            400, 260, self.alt,
            text(CHART.x(0.5), 16, self.title, class_="title"),
            shapes,
            spines(CHART),
            ticks_below(CHART, log_marks(first, last), "epoch (log scale)"),
            ticks_beside(CHART, even_marks(low, high, place), self.label),
        )  # fmt: skip


def bars(
    values: ArrayLike,
    *,
    label: str,
    xlabel: str,
    each: str,
    alt: str,
    title: str = "",
    first: int = 0,
) -> Bars:
    """A bar chart for each combination of choices, on one scale from 0.

    Args:
        values: (choice, ..., bar), not negative.
        label: what the height measures, with its unit.
        xlabel: of the horizontal axis.
        each: what one bar stands for, in a word, such as "frequency".
        alt: what the picture shows.
        title: above it.
        first: number of the first bar.
    """
    array = checked_frames(values, "bar")
    if array.min() < 0:
        raise ValueError(f"bars reach down to {array.min():g}; give values that are not negative")
    frames = array.reshape(-1, array.shape[-1])
    peaks = [(row.max(), first + int(row.argmax())) for row in frames]
    return Bars(
        title=plain(title),
        alt=alt,
        frames=array.shape[:-1],
        said=tuple(f"largest {label} {short(v)}, at {each} {k}" for v, k in peaks),
        levels=quantised(frames, 0.0, float(frames.max())),
        positions=first + np.arange(frames.shape[1], dtype=float),
        high=float(frames.max()) or 1.0,
        label=label,
        xlabel=plain(xlabel),
    )


def lines(
    epochs: ArrayLike,
    values: ArrayLike,
    names: Sequence[Any] | np.ndarray,
    *,
    label: str,
    alt: str,
    title: str = "",
) -> Lines:
    """Lines through log-time of which the chosen ones stand out.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        values: (line, epoch), lines in the order of the choice.
        names: one for each line.
        label: what the height measures, with its unit.
        alt: what the picture shows.
        title: above it.
    """
    ticks, kept = checked_epochs(epochs)
    curves = finite(checked(values, "values", "line", len(kept))[:, kept].astype(float))
    ends = f"at epoch {ticks[0]:,}", f"at epoch {ticks[-1]:,}"
    words = checked_names(names, len(curves), "names")
    return Lines(
        title=plain(title),
        alt=alt,
        frames=(len(curves),),
        said=tuple(
            f"{word}: {label} {short(y[0])} {ends[0]}, {short(y[-1])} {ends[1]}"
            for word, y in zip(words, curves, strict=True)
        ),
        epochs=ticks.astype(float),
        values=curves,
        label=label,
    )
