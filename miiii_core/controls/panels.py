"""What follows a choice: the common part of its kinds, and what they ask of their data."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..figures.style import checked, short_number


@dataclass(frozen=True, kw_only=True)
class Panel(ABC):
    """One picture for each frame, a frame for each combination of choices.

    Attributes:
        title: above the picture.
        alt: what the picture shows, for those who do not see it.
        frames: lengths of the choices that the panel follows.
        said: the numbers of each frame in words, frames in C order.
    """

    title: str
    alt: str
    frames: tuple[int, ...]
    said: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a panel that says nothing."""
        if not self.alt.strip():
            raise ValueError(f"the panel {self.title!r} has no alt text; say what it shows")

    @abstractmethod
    def still(self, frame: int, chosen: Sequence[int]) -> str:
        """SVG of a frame, or with these lines chosen."""

    def data(self) -> dict[str, Any]:
        """What the script needs besides the picture."""
        return {"kind": type(self).__name__, "said": self.said}


def checked_frames(values: ArrayLike, *axes: str) -> np.ndarray:
    """Finite real numbers with at least one axis, a choice, before those named."""
    array = np.asarray(values)
    leading = [f"choice {i + 1}" for i in range(max(array.ndim - len(axes), 1))]
    return finite(checked(array, "values", *leading, *axes).astype(float))


def finite(array: np.ndarray) -> np.ndarray:
    """The array, unless something in it is no number."""
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"values hold {count} that are infinite or no number; leave them out")
    return array


def short(value: int | float) -> str:
    """A number to three significant digits, one if it is tiny."""
    return short_number(float(f"{value:.3g}"))


def plain(label: str) -> str:
    """A label without TeX: the subscripts of digits and frequencies as characters."""
    for tex, plain in (("_0", "₀"), ("_1", "₁"), ("$", "")):
        label = label.replace(tex, plain)
    return label
