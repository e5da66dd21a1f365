r"""Which tasks share neurons, and whether arithmetic says so.

With $p \equiv \pm s \pmod q$ the number $n = x_0 + p x_1$ is $x_0 \pm s x_1$ modulo q, so the
waves of n mod q have s times the frequency in $x_1$ that they have in $x_0$. Where two tasks of
one s have frequencies close in $x_0$, they are as close in $x_1$, s times as far apart: one neuron
could serve both. s = 1 are those that see only the sum or the difference of the digits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

DRAWS = 2000  # random relabellings of the tasks
LIKE = 4  # groups of tasks of like modulus, within which they are relabelled


class Excess(NamedTuple):
    """How much closer tasks of one family are than others.

    Attributes:
        inside: Mean over pairs of one family.
        outside: Mean over all other pairs.
        p_value: Share of relabellings, this one counted, that give as large a difference.
    """

    inside: float
    outside: float
    p_value: float


def slopes(moduli: Sequence[int], p: int) -> Int[np.ndarray, " tasks"]:
    """The s of each modulus, the smallest that is p or -p modulo q; above 0.

    Raises:
        ValueError: for a modulus below 2, or one that divides p.
    """
    if min(moduli) < 2 or (p % np.asarray(moduli) == 0).any():
        raise ValueError(f"moduli {list(moduli)} at p = {p}: none may be below 2 or divide p")
    rest = p % np.asarray(moduli)
    return np.minimum(rest, np.asarray(moduli) - rest)


def overlap(share: Float[np.ndarray, "neurons tasks"]) -> Float[np.ndarray, "tasks tasks"]:
    """Correlation over neurons of the tasks' shares of evidence; 0 with a constant one.

    Raises:
        ValueError: for fewer than two neurons.
    """
    if len(share) < 2:
        raise ValueError(f"a correlation takes two neurons or more, not {len(share)}")
    centred = share - share.mean(axis=0)
    norms = np.maximum(np.linalg.norm(centred, axis=0), np.finfo(share.dtype).tiny)
    unit = centred / norms
    return unit.T @ unit


def exclusive(share: Float[np.ndarray, "neurons tasks"]) -> Float[np.ndarray, "neurons tasks"]:
    """The largest share of each neuron alone, as if each served one task.

    Shares of tasks that have no neuron in common correlate by a little less than 0, and not by 0:
    where one has a neuron, the others have none.
    """
    return np.where(share == share.max(axis=1, keepdims=True), share, 0)


def dealt(
    share: Float[np.ndarray, "neurons tasks"], generator: np.random.Generator
) -> Float[np.ndarray, "neurons tasks"]:
    """The shares of each task dealt to the neurons anew: tasks that have them by chance."""
    return generator.permuted(share, axis=0)


def family_excess(
    closeness: Float[np.ndarray, "tasks tasks"],
    slope: Int[np.ndarray, " tasks"],
    *,
    only: int | None = None,
    seed: int = 0,
) -> Excess:
    """Whether pairs of equal slope are closer than others, against random relabellings.

    Tasks are relabelled within quarters of like modulus only: small ones have more of slope 1,
    and may be close for being small.

    Args:
        closeness: Of each pair of tasks, such as `overlap`; in the order of their moduli.
        slope: Of each task.
        only: The one slope that makes a family; every slope by default.
        seed: Of the relabellings.

    Raises:
        ValueError: if no pair, or every pair, is of one family.
    """
    same = slope[:, None] == slope[None, :]
    if only is not None:
        same &= (slope == only)[:, None]
    first, second = np.triu_indices(len(slope), 1)
    pairs = same[first, second]
    if pairs.all() or not pairs.any():
        raise ValueError(
            f"slopes {slope.tolist()} make {pairs.sum()} of {len(pairs)} pairs a family; "
            "some pairs must be of one and some not"
        )

    def means(order: Int[np.ndarray, " tasks"]) -> tuple[float, float]:
        values = closeness[order[first], order[second]]
        return float(values[pairs].mean()), float(values[~pairs].mean())

    generator = np.random.default_rng(seed)
    inside, outside = means(np.arange(len(slope)))
    alike = np.array_split(np.arange(len(slope)), LIKE)
    orders = ([generator.permutation(some) for some in alike] for _ in range(DRAWS))
    drawn = [means(np.concatenate(order)) for order in orders]
    # Relabellings that only swap tasks of one family tie up to rounding, and count.
    larger = sum(a - b >= inside - outside - 1e-9 for a, b in drawn)
    return Excess(inside, outside, (1 + larger) / (1 + DRAWS))
