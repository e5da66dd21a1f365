r"""Shares of variance: of n mod q in anything, and of two frequencies in a neuron; and chance's.

Prime-ANOVA asks how much of the values of a unit is a function of the remainder,
$$\eta^2_q(h) = \mathrm{Var}(E[h \mid n \bmod q]) / \mathrm{Var}(h).$$
Putting the digits of a unit in random order tells what chance would give: that keeps its values,
its rank and what it has of one digit alone, and leaves nothing of n.

Purity asks how much of a neuron one pair of frequencies explains. A neuron that multiplies a wave
of $x_0$ by one of $x_1$ has its variance in the block
$\{1, \cos, \sin\}(2\pi f_0 x_0) \otimes \{1, \cos, \sin\}(2\pi f_1 x_1)$ less the constant. For
$n \bmod q$ the frequencies are $k/q$ and $(pk \bmod q)/q$ cycles per digit step, which no
p-DFT has.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .fourier import Tensor, frequency_power_2d, rounding
from .tasks import Task
from .waves import Waves, class_means, residue_shares, side_of, turns, wave_energy, waves_of

Values = Float[Tensor, "n units"]
Grids = Float[np.ndarray, "neurons x0 x1"]
Frequencies = Float[np.ndarray, " waves"]  # in cycles per digit step
FALSE_FINDS = 0.05  # how many primes, or waves, a unit without any is expected to show
CHUNK = 32  # neurons at a time: what a chunk is multiplied into stays in the cache
TINY = float(np.finfo(np.float32).tiny)


class Anova(NamedTuple):
    """Shares of variance, one row for each unit that varies."""

    numbers: Int[np.ndarray, " varying"]  #: Indices of the units that vary
    variance: Float[np.ndarray, " varying"]  #: Of each of these
    primes: Float[np.ndarray, "varying primes"]  #: Share that is a function of n mod q
    waves: Float[np.ndarray, "varying waves"]  #: Share along each of `waves.waves_of`, cos and sin


def prime_anova(values: Values, moduli: Sequence[int]) -> Anova:
    """Compute the shares of every unit's variance that are functions of n mod q, for each modulus.

    Rows are the numbers 0..n-1, ascending. Give the `waves.interaction` of neurons, as most of
    what they vary is a function of one digit. A unit varies by more than rounding of the values
    given. ValueError if there are not p² rows.
    """
    rows, n = jnp.asarray(values).T, side_of(values) ** 2
    floor = rounding((rows**2).mean(axis=1))
    rows = rows - rows.mean(axis=1, keepdims=True)
    energy, means = (rows**2).mean(axis=1), class_means(rows, moduli)
    numbers = np.flatnonzero(energy > floor)
    variance, primes, waves = (
        np.asarray(found, float)[numbers]
        for found in (energy, residue_shares(means, n, moduli), wave_energy(means, moduli))
    )
    return Anova(numbers, variance, primes / variance[:, None], waves / variance[:, None])


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
    """Compute `prime_anova` of so many units, drawn from those that vary, in random order.

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
    """Return from what share on a unit has a prime, or a wave, given the shares of `chance`.

    Each prime has a level of its own, as larger primes have more classes to fit with. Waves
    have all two directions (q = 2: one), and share theirs. ValueError for shares of no units.
    """
    if not len(null.primes):
        raise ValueError(f"the shares of no units were given: {null}; give those of `chance`")
    primes = np.quantile(null.primes, 1 - FALSE_FINDS / null.primes.shape[1], axis=0)
    return Levels(primes, float(np.quantile(null.waves, 1 - FALSE_FINDS / null.waves.shape[1])))


def unit_grids(task: Task, values: Values) -> Grids:
    """Return one grid indexed [x0, x1] for each unit that has a value at every input."""
    # Laid out anew: matrix products of strided grids are slower by an order of magnitude.
    return np.ascontiguousarray(np.moveaxis(task.grid(np.asarray(values)), -1, 0))


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


class Varying(NamedTuple):
    """The neurons that vary: their indices, grids, and power maps without the constant."""

    numbers: Int[np.ndarray, " neurons"]
    grids: Grids
    power: Float[np.ndarray, "neurons k0 k1"]


def varying(neurons: Grids) -> Varying:
    """Leave out neurons that are constant up to rounding, and transform the others."""
    floor = rounding((neurons**2).mean(axis=(1, 2)))
    numbers = np.flatnonzero(neurons.var(axis=(1, 2)) > floor)
    return Varying(numbers, neurons[numbers], centred_power(neurons[numbers]))


def centred_power(neurons: Grids) -> Float[np.ndarray, "neurons k0 k1"]:
    """Return `frequency_power_2d` of each neuron, its constant entry exactly 0."""
    power = np.asarray(frequency_power_2d(neurons - neurons.mean(axis=(1, 2), keepdims=True)))
    power[:, 0, 0] = 0
    return power


class Purity(NamedTuple):
    """Share of each neuron in the best of several blocks."""

    whole: Float[np.ndarray, " neurons"]  #: Of its variance, in all eight directions of a block
    both: Float[np.ndarray, " neurons"]  #: Of its interaction part, in the four of both digits
    pair: Int[np.ndarray, " neurons"]  #: Index of the pair that `both` is of


def grid_purity(power: Float[np.ndarray, "neurons k0 k1"], *, same: bool = False) -> Purity:
    """Find the best block on the p-DFT, of all or with k0 = k1, from `centred_power`."""
    product = power[:, 1:, 1:]
    block = power[:, 1:, :1] + power[:, :1, 1:] + product
    total, interaction = power.sum(axis=(1, 2)), product.sum(axis=(1, 2))
    if same:
        product, block = (np.diagonal(x, axis1=1, axis2=2) for x in (product, block))
    product, block = (x.reshape(len(x), np.prod(x.shape[1:])) for x in (product, block))
    both = product.max(axis=1) / np.maximum(interaction, TINY)
    return Purity(block.max(axis=1) / total, both, product.argmax(axis=1))


def digit_waves(p: int, frequencies: Frequencies) -> Float[np.ndarray, "waves p 2"]:
    """Return two orthonormal columns that span cos and sin of each frequency, less the constant.

    At half a cycle per step the sin is zero, and so is the second column. ValueError for whole
    cycles, which are the constant itself.
    """
    if (frequencies % 1 == 0).any():
        raise ValueError(f"frequencies={frequencies} hold whole cycles, constants; give others")
    angles = 2 * np.pi * frequencies[:, None] * np.arange(p)
    cos, sin = (x - x.mean(axis=1, keepdims=True) for x in (np.cos(angles), np.sin(angles)))
    cos = cos / np.linalg.norm(cos, axis=1, keepdims=True)
    sin = sin - (cos * sin).sum(axis=1, keepdims=True) * cos
    length = np.linalg.norm(sin, axis=1, keepdims=True)
    there = length > 1e-6
    return np.stack([cos, np.where(there, sin / np.where(there, length, 1), 0)], axis=2)


def purity(
    neurons: Grids, first: Frequencies, second: Frequencies, *others: Frequencies
) -> list[Purity]:
    """Find the best block of each neuron, for one family of pairs of frequencies after another.

    A pair is a frequency of x0 and the one at the same place among those of x1 of its family.
    The pairs of n mod q are ``turns(waves_of(moduli), np.array([1, p]))``.
    """
    p = neurons.shape[1]
    one = digit_waves(p, first).astype(neurons.dtype)
    seconds = [digit_waves(p, each).astype(neurons.dtype) for each in (second, *others)]
    families = np.stack(seconds, axis=2)
    chunks = (neurons[start : start + CHUNK] for start in range(0, max(len(neurons), 1), CHUNK))
    parts = zip(*(_best_blocks(chunk, one, families) for chunk in chunks), strict=True)
    return [Purity(*each) for each in zip(*(np.hstack(part) for part in parts), strict=True)]


def _best_blocks(
    neurons: Grids,
    one: Float[np.ndarray, "pairs p 2"],
    others: Float[np.ndarray, "pairs p families 2"],
) -> tuple[np.ndarray, ...]:
    """Return the fields of `Purity`, each (family, neuron), of a few neurons."""
    pairs, p, families, _ = others.shape
    grids = neurons - neurons.mean(axis=(1, 2), keepdims=True)
    rows, columns = grids.mean(axis=2), grids.mean(axis=1)
    both = grids - rows[:, :, None] - columns[:, None, :]
    # The waves of x0 are met once, those of x1 for all families in one product.
    left = np.tensordot(one, both, axes=(1, 1)).reshape(pairs, -1, p)
    product = np.matmul(left, others.reshape(pairs, p, -1)).reshape(pairs, 2, -1, families, 2)
    product = (product**2).sum(axis=(1, 4)).transpose(2, 1, 0)
    in_x0 = (np.tensordot(rows, one, axes=(1, 1)) ** 2).sum(axis=2)
    in_x1 = (np.tensordot(columns, others, axes=(1, 1)) ** 2).sum(axis=3).transpose(2, 0, 1)
    interaction = np.maximum((both**2).sum(axis=(1, 2)), TINY)
    total = p * ((rows**2).sum(axis=1) + (columns**2).sum(axis=1)) + interaction
    whole = (p * (in_x0 + in_x1) + product).max(axis=2) / total
    return whole, product.max(axis=2) / interaction, product.argmax(axis=2)


def without_partners(second: Frequencies, generator: np.random.Generator) -> Frequencies:
    """Return frequencies in a random order in which none keeps its place; it takes two."""
    count = len(second)
    if count < 2:
        raise ValueError(f"{count} pair was given; to mix partners takes two or more")
    order = generator.permutation(count)
    while (order == np.arange(count)).any():
        order = generator.permutation(count)
    return second[order]


class Compared(NamedTuple):
    """Purity of neurons by the frequencies that a block may have."""

    equal: Purity  #: Frequencies of the p-DFT, k0 = k1, as modular addition has them
    grid: Purity  #: Frequencies of the p-DFT, any pair
    right: Purity  #: Frequencies of n mod q, with their partners
    wrong: list[Purity]  #: Frequencies of n mod q, none with its partner; one entry a draw


def compare(
    neurons: Grids, moduli: Sequence[int], generator: np.random.Generator, draws: int = 20
) -> Compared:
    """Find the best block of each neuron that varies, among four families of pairs."""
    found = varying(neurons)
    first, second = turns(waves_of(moduli), np.array([1, neurons.shape[1]]))
    mixed = [without_partners(second, generator) for _ in range(draws)]
    right, *wrong = purity(found.grids, first, second, *mixed)
    return Compared(grid_purity(found.power, same=True), grid_purity(found.power), right, wrong)
