"""When a task counts as learned: levels of accuracy, and the epoch at which one is reached."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

GENERALISED = 0.9  # accuracy on inputs held out, from which a task counts as generalised
MASTERED = 0.99  # accuracy from which next to nothing is left to learn
NEVER = math.inf  # the epoch at which something happened that did not


def first_epoch(
    epochs: Int[np.ndarray, " ticks"],
    accuracy: Float[np.ndarray, " ticks"],
    level: float = MASTERED,
) -> int | None:
    """The first recorded epoch at which an accuracy reached a level; None if it never did."""
    reached = np.flatnonzero(accuracy >= level)
    return int(epochs[reached[0]]) if len(reached) else None


class Curve(NamedTuple):
    """How one run came along.

    Attributes:
        epochs: At which it was recorded.
        accuracy: In validation, mean over tasks, at these epochs.
    """

    epochs: Int[np.ndarray, " ticks"]
    accuracy: Float[np.ndarray, " ticks"]

    def reached(self, level: float) -> float:
        """First epoch at which the mean had a level; `NEVER` for not at all."""
        found = first_epoch(self.epochs, self.accuracy, level)
        return NEVER if found is None else float(found)
