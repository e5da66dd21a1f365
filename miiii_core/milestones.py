"""When a task counts as learned: levels of accuracy, and the epoch at which one is reached."""

import numpy as np
from jaxtyping import Float, Int

GENERALISED = 0.9  # accuracy on inputs held out, from which a task counts as generalised
MASTERED = 0.99  # accuracy from which next to nothing is left to learn


def first_epoch(
    epochs: Int[np.ndarray, " ticks"],
    accuracy: Float[np.ndarray, " ticks"],
    level: float = MASTERED,
) -> int | None:
    """The first recorded epoch at which an accuracy reached a level; None if it never did."""
    reached = np.flatnonzero(accuracy >= level)
    return int(epochs[reached[0]]) if len(reached) else None
