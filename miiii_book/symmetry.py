r"""Remainders that hardly care which digit is which, and whether they are learned sooner.

$n = x_0 + p x_1$, so where $p \equiv 1 \pmod q$ the remainder is that of $x_0 + x_1$: the digits
may be exchanged. Where $p \equiv -1$ it is that of $x_0 - x_1$: exchanged, it changes its sign.
Everywhere else the digits have different weights.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from miiii_core.tasks import primes_below

FIRST = 5  # 2 and 3 have symmetric digits in every base, and tell nothing
Epochs = Mapping[int, Float[np.ndarray, " _"]]  # when each task was learned, by base


def digit_sign(p: int, moduli: Sequence[int]) -> Int[np.ndarray, " tasks"]:
    """Return p modulo each q if that is 1 or -1, else 0; 1 for q = 2, where both are the same."""
    weight = p % np.array(moduli)
    return np.where(weight == 1, 1, np.where(weight + 1 == np.array(moduli), -1, 0))


class Lead(NamedTuple):
    """How much sooner tasks with symmetric digits are learned than others of as many classes.

    Attributes:
        octaves: Doublings of the epoch by which they are ahead; negative: behind.
        p_value: Share of random choices, for each q of as many bases, that are as far ahead.
        symmetric: Number of tasks with symmetric digits, over all bases.
        others: Number of tasks without.
    """

    octaves: float
    p_value: float
    symmetric: int
    others: int


def lead(epochs: Epochs, last: Mapping[int, int], *, draws: int = 10_000, seed: int = 0) -> Lead:
    r"""Compare the same q in bases where its digits are symmetric and in bases where they are not.

    Least squares on $\log_2$ of the epoch with one term for each base (its training is faster or
    slower as a whole), one for each q (its classes are many or few) and one for symmetry, which is
    the lead. Chance is what the last term would be if each q had been symmetric in other bases, as
    many as it is: small tasks may scatter more than large ones, so a q takes the place of no
    other. 2 and 3 are left out: every larger prime is 1 or -1 modulo either.

    Args:
        epochs: When each prime below a base was learned, by base; infinite for never.
        last: Epoch at which training ended, by base. A task never learned counts as learned
            then, which is too early.
        draws: Number of random choices.
        seed: Seed of the random choices.

    Raises:
        ValueError: if no q has symmetric digits in one base and not in another, or as `standings`.
    """
    _, modulus, symmetric, octave, left = _table(epochs, last)
    found = _last_term(left, symmetric[:, None], octave)
    if not np.isfinite(found[0]):
        raise ValueError(
            f"bases {sorted(epochs)} have no prime from 5 on whose digits are symmetric in one "
            "and not in another; add a base, such as 29 beside 31"
        )
    generator = np.random.default_rng(seed)
    drawn = np.repeat(symmetric[:, None], draws, axis=1)
    for column in drawn.T:
        for q in np.unique(modulus[symmetric]):
            column[modulus == q] = generator.permutation(symmetric[modulus == q])
    ahead = -_last_term(left, drawn, octave)
    as_far = (~(ahead < -found[0] - 1e-9)).sum()  # a choice that cannot be judged counts
    p_value = float((as_far + 1) / (draws + 1))
    return Lead(float(-found[0]), p_value, int(symmetric.sum()), int((~symmetric).sum()))


class Standings(NamedTuple):
    """Tasks of several bases, from q = 5 on, a row each.

    Attributes:
        base: Base p.
        modulus: Prime q.
        symmetric: Whether its digits are symmetric.
        epoch: When it was learned; the last of its base for never.
        ahead: Octaves by which it was learned sooner than base and q say, by least squares.
    """

    base: Int[np.ndarray, " rows"]
    modulus: Int[np.ndarray, " rows"]
    symmetric: Bool[np.ndarray, " rows"]
    epoch: Float[np.ndarray, " rows"]
    ahead: Float[np.ndarray, " rows"]


def standings(epochs: Epochs, last: Mapping[int, int]) -> Standings:
    """Return what one term for each base and one for each q leave of when tasks were learned.

    A q that is in one base only is left out, as its term leaves nothing. Arguments as in `lead`.

    Raises:
        ValueError: if there are fewer than two bases, or one has other than its number of tasks.
    """
    base, modulus, symmetric, octave, left = _table(epochs, last)
    several = (modulus[:, None] == modulus).sum(axis=1) > 1
    columns = (base, modulus, symmetric, 2**octave, -left @ octave)
    return Standings(*(rows[several] for rows in columns))


def _table(epochs: Epochs, last: Mapping[int, int]) -> tuple[np.ndarray, ...]:
    """Return base, q, symmetry and log2 of the epoch of each task, and what the terms leave."""
    if len(epochs) < 2:
        raise ValueError(f"runs of bases {sorted(epochs)} were given; give two bases or more")
    rows = []
    for p, found in sorted(epochs.items()):
        moduli = primes_below(p)
        if len(found) != len(moduli):
            raise ValueError(
                f"{len(found)} epochs were given for the {len(moduli)} tasks of base {p}"
            )
        octaves = np.log2(np.clip(found, 1, last[p]))
        columns = zip(moduli, digit_sign(p, moduli) != 0, octaves, strict=True)
        rows += [(p, *row) for row in columns if row[0] >= FIRST]
    base, modulus, symmetric, octave = map(np.array, zip(*rows, strict=True))
    terms = [(values[:, None] == np.unique(values)).astype(float) for values in (base, modulus)]
    design = np.hstack(terms)
    return base, modulus, symmetric, octave, np.eye(len(base)) - design @ np.linalg.pinv(design)


def _last_term(
    left: Float[np.ndarray, "rows rows"],
    columns: Bool[np.ndarray, "rows draws"],
    values: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, " draws"]:
    """Return the coefficient of each column beside the other terms; NaN if they leave nothing."""
    rest = left @ columns
    energy = (rest**2).sum(axis=0)
    return np.where(energy > 1e-9, (left @ values) @ rest / np.maximum(energy, 1e-9), np.nan)
