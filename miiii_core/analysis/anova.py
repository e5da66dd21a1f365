r"""Prime-ANOVA: how much of anything the network computes is a function of n mod q.

$$\eta^2_q(h) = \mathrm{Var}(E[h \mid n \bmod q]) / \mathrm{Var}(h)$$

for each prime q, and the same for each plane wave of $n \bmod q$. What counts as more than chance
is found by putting the digits of each unit in random order: that keeps its values, its rank and
what it has of one digit alone, and leaves nothing of $n$.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .atoms import class_means, interaction, residue_shares, wave_energy

Tensor = np.ndarray | Array
Values = Float[Tensor, "n units"]
FALSE_FINDS = 0.05  # how many primes, or waves, a unit without any is expected to show


class Anova(NamedTuple):
    """Shares of variance, one row for each unit that varies.

    Attributes:
        numbers: Which units vary.
        variance: Of these.
        primes: Share of it that is a function of n mod q, for each q.
        waves: Share along each wave, cos and sin together, in the order of `atoms.waves_of`.
    """

    numbers: Int[np.ndarray, " varying"]
    variance: Float[np.ndarray, " varying"]
    primes: Float[np.ndarray, "varying primes"]
    waves: Float[np.ndarray, "varying waves"]


class Levels(NamedTuple):
    """Shares that chance exceeds `FALSE_FINDS` times a unit, over all primes or all waves."""

    primes: Float[np.ndarray, " primes"]
    waves: float


class Active(NamedTuple):
    """Which primes and waves each unit has more of than chance gives."""

    primes: Bool[np.ndarray, "varying primes"]
    waves: Bool[np.ndarray, "varying waves"]


def side_of(values: Values) -> int:
    """The base p of values over all p² numbers.

    Raises:
        ValueError: if their number is no square.
    """
    p = round(len(values) ** 0.5)
    if p * p != len(values):
        raise ValueError(f"{len(values)} rows were given; values over all inputs have p² of them")
    return p


def interaction_of(values: Values) -> Values:
    """What each unit does with both digits together: `atoms.interaction`, one column a unit."""
    p = side_of(values)
    return interaction(values.T.reshape(-1, p, p)).reshape(-1, p * p).T


def prime_anova(values: Values, moduli: Sequence[int]) -> Anova:
    """Shares of the variance of every unit that are functions of n mod q.

    Args:
        values: One row for each number 0..p²-1, ascending. Give the `interaction_of` neurons,
            whose variance is mostly a function of one digit and tells nothing of n.
        moduli: What to divide by.

    Raises:
        ValueError: if the number of rows is no square.
    """
    n = len(values)
    side_of(values)
    rows = jnp.asarray(values).T
    size = (rows**2).mean(axis=1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    variance = np.asarray((rows**2).mean(axis=1), float)
    floor = (16 * float(jnp.finfo(rows.dtype).eps)) ** 2 * np.asarray(size, float)
    means = class_means(rows, jnp.arange(n), moduli)
    numbers = np.flatnonzero(variance > floor)
    shares = (
        np.asarray(found, float)[numbers] / variance[numbers, None]
        for found in (residue_shares(means, n, moduli), wave_energy(means, moduli))
    )
    return Anova(numbers, variance[numbers], *shares)


def pooled(found: Anova) -> Float[np.ndarray, " primes"]:
    """Share of the variance of all units together that is a function of n mod q."""
    total = max(found.variance.sum(), float(np.finfo(np.float32).tiny))
    return found.variance @ found.primes / total


def digits_shuffled(values: Values, generator: np.random.Generator) -> Values:
    """Each unit with the digits x0, and the digits x1, in a random order of its own."""
    p, units = side_of(values), values.shape[1]
    grid = np.asarray(values).reshape(p, p, units)
    one, other = (generator.permuted(np.tile(np.arange(p)[:, None], units), axis=0) for _ in "01")
    mixed = np.take_along_axis(grid, one[:, None, :], axis=0)
    return np.take_along_axis(mixed, other[None, :, :], axis=1).reshape(p * p, units)


def chance(
    values: Values, moduli: Sequence[int], generator: np.random.Generator, draws: int = 2048
) -> Anova:
    """The shares of units in random order, so many of them, drawn from those that vary.

    Raises:
        ValueError: if no unit varies, or the number of rows is no square.
    """
    alive = np.flatnonzero(np.ptp(np.asarray(values), axis=0) > 0)
    if not len(alive):
        raise ValueError("no unit varies, so there is nothing to put in random order")
    drawn = generator.choice(alive, draws)
    return prime_anova(digits_shuffled(np.asarray(values)[:, drawn], generator), moduli)


def levels(null: Anova) -> Levels:
    """From what share on a unit has a prime, or a wave, given the shares of chance.

    Each prime has a level of its own, as larger primes have more classes to fit with. Waves
    have all two directions (q = 2: one), and share theirs.

    Raises:
        ValueError: for shares of no units.
    """
    if not len(null.primes):
        raise ValueError(
            "no shares were given to find levels by; give those of chance, of many units"
        )
    primes = np.quantile(null.primes, 1 - FALSE_FINDS / null.primes.shape[1], axis=0)
    return Levels(primes, float(np.quantile(null.waves, 1 - FALSE_FINDS / null.waves.shape[1])))


def active(found: Anova, above: Levels) -> Active:
    """Which shares are above the levels."""
    return Active(found.primes > above.primes, found.waves > above.waves)


class Counts(NamedTuple):
    """How many waves the neurons of one moment have.

    Attributes:
        active: Waves above chance, mean over all neurons.
        distinct: Waves that one neuron in twenty has, or more.
        by_rule: Waves above μ + 2σ of their neuron, mean over all neurons.
        by_chance: Waves above chance in neurons in random order once more: what is meant by
            none, and near `FALSE_FINDS` if the levels are right.
    """

    active: float
    distinct: int
    by_rule: float
    by_chance: float


def count_waves(
    neurons: Values, moduli: Sequence[int], generator: np.random.Generator, draws: int = 256
) -> Counts:
    """Count the waves of n mod q in the interaction part of all neurons.

    Args:
        neurons: Over all numbers, one column each.
        moduli: What to divide by.
        generator: Of the random orders.
        draws: How many units in random order chance is known from, and as many to check it.
    """
    parts = np.asarray(interaction_of(neurons))
    found = prime_anova(parts, moduli)
    if not len(found.numbers):
        return Counts(0.0, 0, 0.0, 0.0)
    alive = parts[:, found.numbers]
    above = levels(chance(alive, moduli, generator, draws))
    fresh = active(chance(alive, moduli, generator, draws), above).waves
    waves, units = active(found, above).waves, parts.shape[1]
    return Counts(
        active=float(waves.sum() / units),
        distinct=int((waves.sum(axis=0) >= units / 20).sum()),
        by_rule=float(standing_out(found.waves).sum() / units),
        by_chance=float(fresh.sum() / len(fresh)),
    )


def standing_out(
    shares: Float[np.ndarray, "units waves"], deviations: float = 2.0
) -> Bool[np.ndarray, "units waves"]:
    """The paper's rule, among the waves of each unit: share > μ + deviations·σ.

    Source: the paper's ω > μ + 2σ (Fig. 16), with waves of n mod q in place of the p-DFT's.
    """
    mean, spread = shares.mean(axis=1, keepdims=True), shares.std(axis=1, keepdims=True)
    return shares > mean + deviations * spread
