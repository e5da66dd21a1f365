"""Heat maps that follow a choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike

from ..figures.grids import X0, X1
from ..figures.style import SEQUENTIAL
from .drawing import (
    Box,
    coloured,
    embedded,
    even_marks,
    palette,
    picture,
    text,
    ticks_below,
    ticks_beside,
    turned,
)
from .packing import packed, quantised
from .panels import Panel, checked_frames, plain, short

MAP, COLOUR_BAR = Box(50, 26, 262, 262), Box(326, 26, 14, 262)


@dataclass(frozen=True, kw_only=True)
class HeatMap(Panel):
    """A matrix as colours: see `heat_map`."""

    levels: UInt8[np.ndarray, "frame rows columns"]
    ends: tuple[tuple[str, str], ...]
    label: str
    labels: tuple[str, str]

    def still(self, frame: int, chosen: Sequence[int]) -> str:
        """The matrix, its axes and its colour bar."""
        colours, (rows, columns) = palette(SEQUENTIAL), self.levels.shape[1:]
        low, high = self.ends[frame]
        right = COLOUR_BAR.left + COLOUR_BAR.width
        return picture(
            400, 334, self.alt,
            text(MAP.x(0.5), 16, self.title, class_="title"),
            embedded(coloured(self.levels[frame], colours), MAP, "cells"),
            ticks_below(MAP, even_marks(0, columns - 1, lambda j: (j + 0.5) / columns, whole=True),
                        self.labels[1]),
            ticks_beside(MAP, even_marks(0, rows - 1, lambda i: 1 - (i + 0.5) / rows, whole=True),
                         self.labels[0]),
            embedded(colours[::-1, None], COLOUR_BAR, "scale"),
            text(right + 5, COLOUR_BAR.y(1) + 9, high, "start", class_="high"),
            text(right + 5, COLOUR_BAR.y(0), low, "start", class_="low"),
            turned(right + 16, COLOUR_BAR.y(0.5), self.label),
        )  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Levels, colours, and the ends of the colour bar in each frame."""
        _, rows, columns = self.levels.shape
        return super().data() | {
            "rows": rows,
            "columns": columns,
            "ends": self.ends,
            "levels": packed(self.levels),
            "colours": packed(palette(SEQUENTIAL)),
        }


def heat_map(
    values: ArrayLike,
    *,
    label: str,
    alt: str,
    title: str = "",
    labels: tuple[str, str] = (X0, X1),
    common: bool = True,
) -> HeatMap:
    """A matrix for each combination of choices, as colours, first axis downwards.

    Args:
        values: (choice, ..., rows, columns).
        label: what the colours measure, with its unit.
        alt: what the picture shows.
        title: above it.
        labels: of the vertical and the horizontal axis.
        common: one colour scale for all frames, so that they can be compared; otherwise each
            has its own, and the colour bar changes.
    """
    array = checked_frames(values, "rows", "columns")
    frames = array.reshape(-1, *array.shape[-2:])
    low, high = frames.min(axis=(1, 2)), frames.max(axis=(1, 2))
    ends = [(frames.min(), frames.max())] * len(frames) if common else zip(low, high, strict=True)
    scales = [(float(bottom), float(top)) for bottom, top in ends]
    levels = [quantised(frame, *scale) for frame, scale in zip(frames, scales, strict=True)]
    return HeatMap(
        title=plain(title),
        alt=alt,
        frames=array.shape[:-2],
        said=tuple(
            f"{label} from {short(a)} to {short(b)}" for a, b in zip(low, high, strict=True)
        ),
        levels=np.stack(levels),
        ends=tuple((short(bottom), short(top)) for bottom, top in scales),
        label=label,
        labels=(plain(labels[0]), plain(labels[1])),
    )
