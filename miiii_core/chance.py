"""What chance would give: random orders, perfect neurons, and levels by these.

Putting the digits of a unit in random order keeps its values, its rank and what it has of one
digit alone, and leaves nothing of n.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .shares import Anova, Grids, Values, prime_anova, side_of
from .waves import Waves, turns

FALSE_FINDS = 0.05  # how many primes, or waves, a unit without any is expected to show


def digits_shuffled(values: Values, generator: np.random.Generator) -> Values:
    """Return each unit with the digits x0, and the digits x1, in a random order of its own."""
    p, units = side_of(values), values.shape[1]
    grid = np.asarray(values).reshape(p, p, units)
    one, other = (generator.permuted(np.tile(np.arange(p)[:, None], units), axis=0) for _ in "01")
    mixed = np.take_along_axis(grid, one[:, None, :], axis=0)
    return np.take_along_axis(mixed, other[None, :, :], axis=1).reshape(p * p, units)


def chance(
    values: Values, moduli: Sequence[int], generator: np.random.Generator, draws: int = 2048
) -> Anova:
    """Compute `shares.prime_anova` of so many units, drawn from those that vary, in random order.

    ValueError if no unit varies, or the number of rows is no square.
    """
    alive = np.flatnonzero(np.ptp(np.asarray(values), axis=0) > 0)
    if not len(alive):
        raise ValueError("no unit varies, so there is nothing to put in random order")
    drawn = generator.choice(alive, draws)
    return prime_anova(digits_shuffled(np.asarray(values)[:, drawn], generator), moduli)


class Levels(NamedTuple):
    """Shares that chance exceeds `FALSE_FINDS` times a unit, over all primes or all waves."""

    primes: Float[np.ndarray, " primes"]
    waves: float


def levels(null: Anova) -> Levels:
    """Return from what share on a unit has a prime, or a wave, given the shares of chance.

    Each prime has a level of its own, as larger primes have more classes to fit with. Waves
    have all two directions (q = 2: one), and share theirs. ValueError for shares of no units.
    """
    if not len(null.primes):
        raise ValueError(f"the shares of no units were given: {null}; give those of `chance`")
    primes = np.quantile(null.primes, 1 - FALSE_FINDS / null.primes.shape[1], axis=0)
    return Levels(primes, float(np.quantile(null.waves, 1 - FALSE_FINDS / null.waves.shape[1])))


class Active(NamedTuple):
    """Which primes and waves each unit has more of than chance gives."""

    primes: Bool[np.ndarray, "varying primes"]
    waves: Bool[np.ndarray, "varying waves"]


def active(found: Anova, above: Levels) -> Active:
    """Return which shares are above the levels."""
    return Active(found.primes > above.primes, found.waves > above.waves)


def in_random_order(neurons: Grids, generator: np.random.Generator) -> Grids:
    """Return the neurons with the values of each digit shuffled, alike for all of them."""
    rows, columns = (generator.permutation(side) for side in neurons.shape[1:])
    return neurons[:, rows][:, :, columns]


def perfect_neurons(moduli: Sequence[int], p: int, generator: np.random.Generator) -> Grids:
    r"""Make the neurons that a circuit for n mod q would have: $\max(0, \cos a x_0 + \cos b x_1)$.

    One for each modulus q and each k < q, with $a = 2\pi k / q$, $b = 2\pi (pk \bmod q) / q$
    and random phases. Their frequencies are no multiples of 1/p, so even these do not fill one
    block of the p-DFT: how much they fill is the yardstick.
    """
    q, k = np.array([(q, k) for q in moduli for k in range(1, q)]).T
    steps = turns(Waves(q, k), np.array([1, p])).T
    cycles = steps[..., None] * np.arange(p) + generator.random((len(steps), 2, 1))
    first, second = np.moveaxis(np.cos(2 * np.pi * cycles), 1, 0)
    return np.maximum(first[:, :, None] + second[:, None, :], 0)
