r"""Remainders that hardly care which digit is which, and whether they are learned sooner.

$n = x_0 + p x_1$, so where $p \equiv 1 \pmod q$ the remainder is that of $x_0 + x_1$: the digits
may be exchanged. Where $p \equiv -1$ it is that of $x_0 - x_1$: exchanged, it changes its sign.
Everywhere else the digits have different weights.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..tasks import primes_below

FIRST = 5  # 2 and 3 have symmetric digits in every base, and tell nothing


def digit_sign(p: int, moduli: Sequence[int]) -> Int[np.ndarray, " tasks"]:
    """What p is modulo each q if that is 1 or -1, else 0; 1 for q = 2, where both are the same."""
    weight = p % np.array(moduli)
    return np.where(weight == 1, 1, np.where(weight + 1 == np.array(moduli), -1, 0))


class Lead(NamedTuple):
    """How much sooner tasks with symmetric digits are learned than others of as many classes.

    Attributes:
        octaves: Doublings of the epoch by which they are ahead; negative: behind.
        p_value: Share of random choices, for each q of as many bases, that are as far ahead.
        symmetric: Tasks with symmetric digits that count, over all bases.
        others: Tasks without.
    """

    octaves: float
    p_value: float
    symmetric: int
    others: int


def lead(
    epochs: Mapping[int, Float[np.ndarray, " tasks"]],
    last: Mapping[int, int],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> Lead:
    r"""Compare the same q in bases where its digits are symmetric and in bases where they are not.

    Least squares on $\log_2$ of the epoch with one term for each base (its training is faster or
    slower as a whole), one for each q (its classes are many or few) and one for symmetry, which is
    the lead. Chance is what the last term would be if each q had been symmetric in other bases, as
    many as it is: symmetric tasks are small ones, whose epochs may scatter more or less than those
    of others, so a q takes the place of no other. 2 and 3 are left out: every larger prime is 1
    or -1 modulo either.

    Args:
        epochs: By base, when each prime below it was learned; infinite for never.
        last: By base, the epoch at which training ended. A task never learned counts as learned
            then, which is too early.
        draws: Random choices.
        seed: Of those.

    Raises:
        ValueError: if there are fewer than two bases, one has other than its number of tasks, or
            no q has symmetric digits in one base and not in another.
    """
    base, modulus, symmetric, octave = _table(epochs, last)
    design = np.hstack([_dummies(base), _dummies(modulus)])
    found = _last_term(design, symmetric[:, None], octave)
    if not np.isfinite(found[0]):
        raise ValueError(
            f"bases {sorted(epochs)} have no prime from 5 on whose digits are symmetric in one "
            "and not in another; add a base, such as 29 beside 31"
        )
    generator = np.random.default_rng(seed)
    drawn = np.stack([_shuffled(symmetric, modulus, generator) for _ in range(draws)], axis=1)
    ahead = -_last_term(design, drawn, octave)
    as_far = (~(ahead < -found[0] - 1e-9)).sum()  # a choice that cannot be judged counts
    return Lead(
        octaves=float(-found[0]),
        p_value=float((as_far + 1) / (draws + 1)),
        symmetric=int(symmetric.sum()),
        others=int((~symmetric).sum()),
    )


class Standings(NamedTuple):
    """Tasks of several bases, from q = 5 on, a row each.

    Attributes:
        base: p.
        modulus: q.
        symmetric: Whether its digits are symmetric.
        epoch: When it was learned; the last of its base for never.
        ahead: Octaves by which it was learned sooner than base and q say, by least squares.
    """

    base: Int[np.ndarray, " rows"]
    modulus: Int[np.ndarray, " rows"]
    symmetric: Bool[np.ndarray, " rows"]
    epoch: Float[np.ndarray, " rows"]
    ahead: Float[np.ndarray, " rows"]


def standings(
    epochs: Mapping[int, Float[np.ndarray, " tasks"]], last: Mapping[int, int]
) -> Standings:
    """What one term for each base and one for each q leave of when tasks were learned.

    A q that is in one base only is left out, as its term leaves nothing.

    Args:
        epochs: As in `lead`.
        last: As in `lead`.

    Raises:
        ValueError: if there are fewer than two bases, or one has other than its number of tasks.
    """
    base, modulus, symmetric, octave = _table(epochs, last)
    design = np.hstack([_dummies(base), _dummies(modulus)])
    ahead = design @ (np.linalg.pinv(design) @ octave) - octave
    several = (modulus[:, None] == modulus).sum(axis=1) > 1
    return Standings(*(rows[several] for rows in (base, modulus, symmetric, 2**octave, ahead)))


def _table(
    epochs: Mapping[int, np.ndarray], last: Mapping[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Base, q, whether symmetric, and log2 of the epoch: a row for each task from q = 5 on."""
    if len(epochs) < 2:
        raise ValueError(f"a lead takes runs of two bases or more, not of {sorted(epochs)}")
    rows = []
    for p, found in sorted(epochs.items()):
        moduli = primes_below(p)
        if len(found) != len(moduli):
            raise ValueError(f"base {p} has {len(moduli)} tasks, and {len(found)} epochs are given")
        octaves = np.log2(np.clip(found, 1, last[p]))
        columns = zip(moduli, digit_sign(p, moduli) != 0, octaves, strict=True)
        rows += [(p, *row) for row in columns if row[0] >= FIRST]
    base, modulus, symmetric, octave = map(np.array, zip(*rows, strict=True))
    return base, modulus, symmetric, octave


def _dummies(values: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows levels"]:
    return (values[:, None] == np.unique(values)[None]).astype(float)


def _last_term(
    design: Float[np.ndarray, "rows terms"],
    column: Bool[np.ndarray, "rows draws"],
    values: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, " draws"]:
    """Coefficient of each column beside the design, by what the design leaves of both.

    NaN where the design leaves nothing of a column.
    """
    left = np.eye(len(design)) - design @ np.linalg.pinv(design)
    rest = left @ column
    energy = (rest**2).sum(axis=0)
    return np.where(energy > 1e-9, (left @ values) @ rest / np.maximum(energy, 1e-9), np.nan)


def _shuffled(
    symmetric: Bool[np.ndarray, " rows"],
    modulus: Int[np.ndarray, " rows"],
    generator: np.random.Generator,
) -> Bool[np.ndarray, " rows"]:
    """Each q symmetric in as many bases, drawn at random from those that have it."""
    drawn = symmetric.copy()
    for q in np.unique(modulus[symmetric]):
        drawn[modulus == q] = generator.permutation(symmetric[modulus == q])
    return drawn
