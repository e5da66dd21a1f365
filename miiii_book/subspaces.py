"""Where in the residual stream the waves of each task live, and whether tasks share directions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from miiii_core.fourier import ranks_for
from miiii_core.waves import Projection

SHARE = 0.9  # share of the energy of a task's waves that counts as all of it


class TaskSpace(NamedTuple):
    """What the stream holds of the waves of one task.

    Attributes:
        modulus: The prime.
        energy: Energy of each wave k = 1..q//2, all coordinates added; mean square, roughly.
        directions: Orthonormal rows that hold `SHARE` of it.
    """

    modulus: int
    energy: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "rank d"]


def task_spaces(projection: Projection, moduli: Sequence[int]) -> list[TaskSpace]:
    """Find the space of each task from the fit of all coordinates of a stream by all waves.

    Args:
        projection: Fit of the stream, as `waves.project` gives it; that waves of two primes are
            not quite at right angles is accounted for there.
        moduli: The primes that it was made with.
    """
    spaces, start = [], 0
    for q in moduli:  # a cosine for q = 2, else a cosine and a sine for each k
        own = projection.coefficients[start : start + q - 1]
        size = (own**2).sum(axis=1)
        energy = size if q == 2 else size.reshape(-1, 2).sum(axis=1) / 2
        spaces.append(TaskSpace(q, energy, _leading(own)))
        start += q - 1
    return spaces


def counted(energy: Float[np.ndarray, " parts"], share: float = SHARE) -> int:
    """Count how many of the largest parts hold a share of the sum; 0 if there is nothing."""
    if energy.sum() <= 0:
        return 0
    return int(ranks_for(np.cumsum(np.sort(energy)[::-1]) / energy.sum(), share))


def overlaps(bases: Sequence[Float[np.ndarray, "_ d"]]) -> Float[np.ndarray, "tasks tasks"]:
    r"""Compare spaces: mean squared cosine, over what random ones of their ranks have.

    $$\mathrm{tr}(P_q P_r) \,/\, \frac{\mathrm{rank}_q \mathrm{rank}_r}{d}$$

    It is 0 at right angles, 1 as by chance, and d over the larger rank if one lies in the other.

    Args:
        bases: Orthonormal rows of each space.
    """
    d = bases[0].shape[1]
    common = [[((a @ b.T) ** 2).sum() / max(1, len(a) * len(b)) for b in bases] for a in bases]
    return d * np.array(common)


def random_overlaps(
    ranks: Sequence[int], d: int, generator: np.random.Generator
) -> Float[np.ndarray, "tasks tasks"]:
    """Return the same for spaces of these ranks, d at most, in random position: the control."""
    return overlaps([np.linalg.qr(generator.normal(size=(d, rank)))[0].T for rank in ranks])


def pairs_of(matrix: Float[np.ndarray, "tasks tasks"]) -> Float[np.ndarray, " pairs"]:
    """Return the entries above the diagonal: one for each pair of different tasks."""
    return matrix[np.triu_indices(len(matrix), 1)]


def joint_rank(bases: Sequence[Float[np.ndarray, "_ d"]]) -> int:
    """Count directions that hold `SHARE` of all spaces together, each direction counting alike."""
    return len(_leading(np.concatenate(bases)))


def _leading(rows: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rank d"]:
    """Return orthonormal rows that hold `SHARE` of the energy of some rows."""
    _, size, right = np.linalg.svd(rows, full_matrices=False)
    return right[: counted(size**2)]
