"""The smallest circuit that keeps a task, and what automated discovery picks in its place.

Where every circuit has been tried the smallest one is known. A search in order or by gradients,
which is what automated methods do, has then an answer to be compared with. But who takes the
best of thousands on a hundred inputs takes luck too, so the best few of each size are tried again
on other inputs.
"""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .exam import KEPT

FEW = 4  # of the circuits of one size that keep a task, the best so many are tried again


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


def confirmed(
    left: Float[np.ndarray, "circuits tasks"],
    found: Found,
    outside: Callable[[int], Float[np.ndarray, " tasks"]],
    few: int = FEW,
) -> Int[np.ndarray, " tasks"]:
    """The smallest circuit that keeps each task on other inputs too; -1 for none.

    Tried are the best few of each size by the inputs they were found on, and those that automated
    methods picked.

    Args:
        left: Of `paths.try_all`.
        found: Of `find_circuits`.
        outside: What a circuit, by number, keeps of each task on other inputs.
        few: Of each size.

    Raises:
        ValueError: for less than one of each size.
    """
    if few < 1:
        raise ValueError(f"{few} circuits of each size were asked for; try one or more")
    return np.array([_confirmed(left, found, outside, few, i) for i in range(left.shape[1])])


def sizes_of(circuits: Int[np.ndarray, " tasks"]) -> Int[np.ndarray, " tasks"]:
    """Parts in each circuit; -1 where there is none."""
    return np.array([int(c).bit_count() if c >= 0 else -1 for c in circuits])


def luck(
    left: Float[np.ndarray, "circuits tasks"], sizes: Int[np.ndarray, " sizes"]
) -> Float[np.ndarray, " tasks"]:
    """Share of all circuits of a size that keep the task: what a random one would do.

    Raises:
        ValueError: unless there is a size for each task.
    """
    if left.shape[1] != len(sizes):
        raise ValueError(f"{len(sizes)} sizes were given for {left.shape[1]} tasks; give one each")
    parts = sizes_of(np.arange(len(left)))
    kept = left >= KEPT
    return np.array([kept[parts == s, i].mean() if s >= 0 else 0.0 for i, s in enumerate(sizes)])


def _confirmed(
    left: Float[np.ndarray, "circuits tasks"],
    found: Found,
    outside: Callable[[int], Float[np.ndarray, " tasks"]],
    few: int,
    i: int,
) -> int:
    picked = {int(found.pruned[i]), int(found.attributed[i])}
    good = [(int(c).bit_count(), -left[c, i], int(c)) for c in np.flatnonzero(left[:, i] >= KEPT)]
    for _, alike in groupby(sorted(good), key=lambda one: one[0]):
        circuits = [circuit for *_, circuit in alike]
        tried = circuits[:few] + [c for c in circuits[few:] if c in picked]
        for circuit in tried:
            if outside(circuit)[i] >= KEPT:
                return circuit
    return -1


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
