"""Numbers in few characters: a byte each on a scale, compressed, in base64."""

import base64
import zlib

import numpy as np
from jaxtyping import Int, Real, UInt8

LEVELS = 255  # steps of the scale from its low to its high end
BUDGET = 400_000  # numbers of one panel, a byte each before compression


def quantised(
    values: Real[np.ndarray, "frame *rest"], low: float, high: float
) -> UInt8[np.ndarray, "frame *rest"]:
    """The nearest of 256 levels from low to high, off by at most (high − low) / 510.

    A scale of no width has all values at its low end.
    """
    width = (high - low) or 1.0
    return np.clip(np.rint(LEVELS * ((values - low) / width)), 0, LEVELS).astype(np.uint8)


def packed(levels: UInt8[np.ndarray, "*rest last"]) -> str:
    """Base64 of the steps along the last axis, modulo 256, as a zlib stream.

    The first step of each row starts from 0. Neighbours are often alike, so steps compress better
    than levels.
    """
    steps = np.diff(levels, axis=-1, prepend=np.uint8(0))
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode("ascii")


def thinned(count: int, cells: int, *, budget: int = BUDGET) -> Int[np.ndarray, " kept"]:
    """Which of so many frames to keep so that a panel stays small: evenly spread, both ends in.

    Args:
        count: frames that there are.
        cells: numbers in each, over all other choices.
        budget: numbers to spend, a byte each before compression.

    Raises:
        ValueError: if there are no frames, or not even two fit.
    """
    if count < 1 or cells < 1:
        raise ValueError(f"{count} frames of {cells} cells were given; there must be some of both")
    most = min(count, budget // cells)
    if most < min(count, 2):
        raise ValueError(
            f"frames of {cells:,} numbers do not fit twice into {budget:,}; "
            "show a part of each, or raise budget"
        )
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))
