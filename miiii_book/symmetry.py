r"""Remainders that hardly care which digit is which, and whether they are learned sooner.

$n = x_0 + p x_1$, so where $p \equiv \pm 1 \pmod q$ the remainder is that of $x_0 \pm x_1$.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from miiii_core.tasks import primes_below

from .results import Training

Ints = Int[np.ndarray, " tasks"]
FIRST = 5  # 2 and 3 have symmetric digits in every base, and tell nothing
DRAWS = 10_000  # number of random choices that tell chance


def symmetric_digits(p: int | Ints, moduli: Sequence[int] | Ints) -> Bool[np.ndarray, " tasks"]:
    """Return whether p is 1 or -1 modulo each prime: exchanged digits change the sign at most."""
    return p**2 % np.array(moduli) == 1


class Lead(NamedTuple):
    """How much sooner tasks with symmetric digits are learned than others of as many classes."""

    octaves: float  #: Doublings of the epoch by which they are ahead; negative: behind
    p_value: float  #: Share of random choices, for each q of as many bases, that are as far ahead
    symmetric: int  #: Number of tasks with symmetric digits, over all bases


def lead_of(bases: Mapping[int, Training], first: int = FIRST) -> Lead | None:
    r"""Compare each q, from a first one, where its digits are symmetric and in other bases.

    Least squares on $\log_2$ of the epoch with one term for each base (its training is faster or
    slower as a whole), one for each q (its classes are many or few) and one for symmetry, which is
    the lead. Chance is what the last term would be if each q had been symmetric in other bases, as
    many as it is: small tasks may scatter more than large ones, so a q takes the place of no
    other. A task never learned counts as learned at the last epoch of its base: too early.

    There is no lead, None, if no q has symmetric digits in one base and not in another.
    """
    if len(bases) < 2:
        return None
    trainings = sorted(bases.items())
    base, modulus = np.array([(p, q) for p, _ in trainings for q in primes_below(p)]).T
    octave = np.log2(np.concatenate([np.clip(one.learned, 1, one.last) for _, one in trainings]))
    base, modulus, octave = (each[modulus >= first] for each in (base, modulus, octave))
    symmetric, generator = symmetric_digits(base, modulus), np.random.default_rng(0)
    drawn = np.repeat(symmetric[:, None], 1 + DRAWS, axis=1)  # the first column stays as it is
    for column in drawn.T[1:]:
        for q in np.unique(modulus[symmetric]):
            column[modulus == q] = generator.permutation(symmetric[modulus == q])
    terms = np.hstack([each[:, None] == np.unique(each) for each in (base, modulus)]).astype(float)
    left = np.eye(len(base)) - terms @ np.linalg.pinv(terms)  # takes out what these explain
    rest = left @ drawn
    energy = (rest**2).sum(axis=0)
    leads = np.where(energy > 1e-9, -(left @ octave) @ rest / np.maximum(energy, 1e-9), np.nan)
    if np.isnan(leads[0]):
        return None
    as_far = ~(leads < leads[0] - 1e-9)  # a choice that cannot be judged counts
    return Lead(float(leads[0]), float(as_far.mean()), int(symmetric.sum()))
