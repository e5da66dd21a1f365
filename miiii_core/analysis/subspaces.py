"""Where in the residual stream the waves of each task live, and whether tasks share directions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .projections import Projection, columns_of
from .spectral import ranks_for

SHARE = 0.9  # of the energy of a task's waves that counts as all of it


class TaskSpace(NamedTuple):
    """What the stream holds of the waves of one task.

    Attributes:
        modulus: The prime.
        energy: Of each wave k = 1..q//2, all coordinates added; mean square, roughly.
        directions: Orthonormal rows that hold `SHARE` of it.
    """

    modulus: int
    energy: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "rank d"]


def task_spaces(projection: Projection, moduli: Sequence[int]) -> list[TaskSpace]:
    """The space of each task, from the fit of all coordinates of a stream by all waves.

    Args:
        projection: `projections.project` of the stream; that waves of two primes are not
            quite at right angles is accounted for there.
        moduli: As given to `project`.

    Raises:
        ValueError: for a projection on the waves of other moduli.
    """
    columns = columns_of(moduli)
    if len(projection.coefficients) != len(columns.wave):
        raise ValueError(
            f"the projection has {len(projection.coefficients)} columns, the waves of "
            f"{len(moduli)} moduli have {len(columns.wave)}; give the moduli that it was made with"
        )
    owner = columns.waves.modulus[columns.wave]
    spaces = []
    for q in moduli:
        own = projection.coefficients[owner == q]
        starts = np.flatnonzero(columns.quarter[owner == q] == 0)
        energy = np.add.reduceat((own**2).sum(axis=1), starts) / (1 if q == 2 else 2)
        spaces.append(TaskSpace(q, energy, _leading(own)))
    return spaces


def counted(energy: Float[np.ndarray, " parts"], share: float = SHARE) -> int:
    """How many of the largest parts hold a share of the sum; 0 if there is nothing."""
    if energy.sum() <= 0:
        return 0
    return int(ranks_for(np.cumsum(np.sort(energy)[::-1]) / energy.sum(), share))


def overlaps(spaces: Sequence[TaskSpace]) -> Float[np.ndarray, "tasks tasks"]:
    r"""Mean squared cosine between two spaces, over what random ones of their ranks have.

    $$\mathrm{tr}(P_q P_r) \,/\, \frac{\mathrm{rank}_q \mathrm{rank}_r}{d}$$

    0 at right angles, 1 as by chance, d over the larger rank if one space lies in the other.

    Raises:
        ValueError: for no spaces.
    """
    _some(spaces)
    return _overlaps([space.directions for space in spaces])


def random_overlaps(
    ranks: Sequence[int] | Int[np.ndarray, " tasks"], d: int, generator: np.random.Generator
) -> Float[np.ndarray, "tasks tasks"]:
    """The same for spaces of these ranks in random position: the control.

    Raises:
        ValueError: for a rank above d.
    """
    if max(ranks) > d:
        raise ValueError(f"a space of rank {max(ranks)} does not fit into {d} dimensions")
    bases = [np.linalg.qr(generator.normal(size=(d, rank)))[0].T for rank in ranks]
    return _overlaps(bases)


def pairs_of(matrix: Float[np.ndarray, "tasks tasks"]) -> Float[np.ndarray, " pairs"]:
    """The entries above the diagonal: one for each pair of different tasks."""
    return matrix[np.triu_indices(len(matrix), 1)]


def joint_rank(spaces: Sequence[TaskSpace]) -> int:
    """Directions that hold `SHARE` of all spaces together, each direction counting alike.

    Raises:
        ValueError: for no spaces.
    """
    _some(spaces)
    return len(_leading(np.concatenate([space.directions for space in spaces])))


def _some(spaces: Sequence[TaskSpace]) -> None:
    if not spaces:
        raise ValueError("no spaces were given to compare; give one or more")


def _leading(rows: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rank d"]:
    """Orthonormal rows that hold `SHARE` of the energy of some rows."""
    _, size, right = np.linalg.svd(rows, full_matrices=False)
    return right[: counted(size**2)]


def _overlaps(bases: Sequence[np.ndarray]) -> Float[np.ndarray, "tasks tasks"]:
    d = bases[0].shape[1]
    common = [[((a @ b.T) ** 2).sum() / max(1, len(a) * len(b)) for b in bases] for a in bases]
    return d * np.array(common)
