"""The smallest circuit that keeps a task, and what automated discovery picks in its place.

Where every circuit has been tried the smallest one is known. A search in order or by gradients,
which is what automated methods do, has then an answer to be compared with.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .exam import KEPT


class Found(NamedTuple):
    """Circuits that keep a task, by number, as `paths.all_circuits` counts them; -1 for none.

    Attributes:
        smallest: Fewest parts of all; of several, the one that keeps most.
        pruned: By going through the parts from the output back and leaving out each that the
            task can spare.
        attributed: The fewest parts of largest attribution that keep the task.
    """

    smallest: Int[np.ndarray, " tasks"]
    pruned: Int[np.ndarray, " tasks"]
    attributed: Int[np.ndarray, " tasks"]


def find_circuits(
    left: Float[np.ndarray, "circuits tasks"], attributed: Float[np.ndarray, "tasks parts"]
) -> Found:
    """The smallest circuit that keeps each task, and what two automated methods pick.

    Args:
        left: Of `paths.try_all`.
        attributed: Of `paths.attributions`.

    Raises:
        ValueError: unless there is a row for each set of the parts.
    """
    count = attributed.shape[1]
    if left.shape != (2**count, len(attributed)):
        raise ValueError(f"left has shape {left.shape}; it must be {(2**count, len(attributed))}")
    kept = left >= KEPT
    return Found(
        np.array([_smallest(k, share) for k, share in zip(kept.T, left.T, strict=True)]),
        np.array([_pruned(k, count) for k in kept.T]),
        np.array([_attributed(k, a) for k, a in zip(kept.T, attributed, strict=True)]),
    )


def sizes_of(circuits: Int[np.ndarray, " tasks"]) -> Int[np.ndarray, " tasks"]:
    """Parts in each circuit; -1 where there is none."""
    return np.array([int(c).bit_count() if c >= 0 else -1 for c in circuits])


def luck(
    left: Float[np.ndarray, "circuits tasks"], sizes: Int[np.ndarray, " tasks"]
) -> Float[np.ndarray, " tasks"]:
    """Share of all circuits of a size that keep the task: what a random one would do."""
    parts = sizes_of(np.arange(len(left)))
    kept = left >= KEPT
    return np.array([kept[parts == s, i].mean() if s >= 0 else 0.0 for i, s in enumerate(sizes)])


def _smallest(kept: Bool[np.ndarray, " circuits"], left: Float[np.ndarray, " circuits"]) -> int:
    good = np.flatnonzero(kept)
    return int(min(good, key=lambda c: (int(c).bit_count(), -left[c]))) if len(good) else -1


def _pruned(kept: Bool[np.ndarray, " circuits"], count: int) -> int:
    circuit = 2**count - 1
    if not kept[circuit]:
        return -1
    for part in reversed(range(count)):
        if kept[circuit ^ (1 << part)]:
            circuit ^= 1 << part
    return circuit


def _attributed(kept: Bool[np.ndarray, " circuits"], scores: Float[np.ndarray, " parts"]) -> int:
    bits = 1 << np.argsort(-np.abs(scores), stable=True)
    tried = np.concatenate([[0], np.cumsum(bits)])
    good = tried[kept[tried]]
    return int(good[0]) if len(good) else -1
