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

from .results import Training

FIRST = 5  # 2 and 3 have symmetric digits in every base, and tell nothing
DRAWS = 10_000  # number of random choices that tell chance


def digit_sign(p: int, moduli: Sequence[int]) -> Int[np.ndarray, " tasks"]:
    """Return p modulo each q if that is 1 or -1, else 0; 1 for q = 2, where both are the same."""
    weight = p % np.array(moduli)
    return np.where(weight == 1, 1, np.where(weight + 1 == np.array(moduli), -1, 0))


class Lead(NamedTuple):
    """How much sooner tasks with symmetric digits are learned than others of as many classes."""

    octaves: float  #: Doublings of the epoch by which they are ahead; negative: behind
    p_value: float  #: Share of random choices, for each q of as many bases, that are as far ahead
    symmetric: int  #: Number of tasks with symmetric digits, over all bases


def lead_of(bases: Mapping[int, Training]) -> Lead | None:
    r"""Compare the same q in bases where its digits are symmetric and in bases where they are not.

    Least squares on $\log_2$ of the epoch with one term for each base (its training is faster or
    slower as a whole), one for each q (its classes are many or few) and one for symmetry, which is
    the lead. Chance is what the last term would be if each q had been symmetric in other bases, as
    many as it is: small tasks may scatter more than large ones, so a q takes the place of no
    other. 2 and 3 are left out: every larger prime is 1 or -1 modulo either.

    A task never learned counts as learned at the last epoch of its base, which is too early. There
    is no lead, None, if no q has symmetric digits in one base and not in another.
    """
    if len(bases) < 2:
        return None
    modulus, symmetric, octave, left = _table(bases)
    lead = _leads(left, symmetric[:, None], octave)[0]
    if np.isnan(lead):
        return None
    generator = np.random.default_rng(0)
    drawn = np.repeat(symmetric[:, None], DRAWS, axis=1)
    for column in drawn.T:
        for q in np.unique(modulus[symmetric]):
            column[modulus == q] = generator.permutation(symmetric[modulus == q])
    as_far = ~(_leads(left, drawn, octave) < lead - 1e-9)  # a choice that cannot be judged counts
    p_value = float((as_far.sum() + 1) / (DRAWS + 1))
    return Lead(float(lead), p_value, int(symmetric.sum()))


def _table(bases: Mapping[int, Training]) -> tuple[np.ndarray, ...]:
    """Return q, symmetry and log2 of the epoch of each task, and what the terms leave."""
    rows = []
    for p, found in sorted(bases.items()):
        moduli = primes_below(p)
        octaves = np.log2(np.clip(found.learned, 1, found.last))
        columns = zip(moduli, digit_sign(p, moduli) != 0, octaves, strict=True)
        rows += [(p, *row) for row in columns if row[0] >= FIRST]
    base, modulus, symmetric, octave = map(np.array, zip(*rows, strict=True))
    design = np.hstack([x[:, None] == np.unique(x) for x in (base, modulus)]).astype(float)
    return modulus, symmetric, octave, np.eye(len(base)) - design @ np.linalg.pinv(design)


def _leads(
    left: Float[np.ndarray, "rows rows"],
    columns: Bool[np.ndarray, "rows draws"],
    octave: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, " draws"]:
    """Return the lead of each column beside the other terms; NaN if they leave nothing of it."""
    rest = left @ columns
    energy = (rest**2).sum(axis=0)
    return np.where(energy > 1e-9, -(left @ octave) @ rest / np.maximum(energy, 1e-9), np.nan)
