r"""Shares of variance: of n mod q in anything, and of two frequencies in a neuron.

Prime-ANOVA asks how much of the values of a unit is a function of the remainder,
$$\eta^2_q(h) = \mathrm{Var}(E[h \mid n \bmod q]) / \mathrm{Var}(h).$$
Purity asks how much of a neuron one pair of frequencies explains. A neuron that multiplies a wave
of $x_0$ by one of $x_1$ has its variance in the block
$\{1, \cos, \sin\}(2\pi f_0 x_0) \otimes \{1, \cos, \sin\}(2\pi f_1 x_1)$ less the constant. For
$n \bmod q$ the frequencies are $k/q$ and $(pk \bmod q)/q$ cycles per digit step, which no
p-DFT has.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .fourier import frequency_power_2d
from .tasks import Task
from .waves import class_means, interaction, residue_shares, turns, wave_energy, waves_of

Tensor = np.ndarray | Array
Values = Float[Tensor, "n units"]
Grids = Float[np.ndarray, "neurons x0 x1"]
CHUNK = 32  # neurons at a time: what a chunk is multiplied into stays in the cache
TINY = float(np.finfo(np.float32).tiny)


class Anova(NamedTuple):
    """Shares of variance, one row for each unit that varies."""

    numbers: Int[np.ndarray, " varying"]  #: Indices of the units that vary
    variance: Float[np.ndarray, " varying"]  #: Of each of these
    primes: Float[np.ndarray, "varying primes"]  #: Share that is a function of n mod q
    waves: Float[np.ndarray, "varying waves"]  #: Share along each of `waves.waves_of`, cos and sin


def side_of(values: Values) -> int:
    """Return the base p of values over all p² numbers; ValueError if there are not p² of them."""
    p = round(len(values) ** 0.5)
    if p * p != len(values):
        raise ValueError(f"{len(values)} rows were given; values over all inputs have p² of them")
    return p


def interaction_of(values: Values) -> Values:
    """Return what each unit does with both digits together: `waves.interaction` of its grid."""
    p = side_of(values)
    return interaction(values.T.reshape(-1, p, p)).reshape(-1, p * p).T


def prime_anova(values: Values, moduli: Sequence[int]) -> Anova:
    """Compute the shares of every unit's variance that are functions of n mod q, for each modulus.

    Rows are the numbers 0..p²-1, ascending; ValueError if they are no square. Give the
    `interaction_of` neurons, as most of what they vary is a function of one digit.
    """
    n = side_of(values) ** 2
    rows = jnp.asarray(values).T
    size = np.asarray((rows**2).mean(axis=1), float)
    rows = rows - rows.mean(axis=1, keepdims=True)
    variance = np.asarray((rows**2).mean(axis=1), float)
    means = class_means(rows, jnp.arange(n), moduli)
    numbers = np.flatnonzero(variance > (16 * float(jnp.finfo(rows.dtype).eps)) ** 2 * size)
    shares = (
        np.asarray(found, float)[numbers] / variance[numbers, None]
        for found in (residue_shares(means, n, moduli), wave_energy(means, moduli))
    )
    return Anova(numbers, variance[numbers], *shares)


def unit_grids(task: Task, values: Float[Tensor, "n units"]) -> Float[np.ndarray, "units x0 x1"]:
    """Return one grid indexed [x0, x1] for each unit that has a value at every input."""
    # Laid out anew: matrix products of strided grids are slower by an order of magnitude.
    return np.ascontiguousarray(np.moveaxis(task.grid(np.asarray(values)), -1, 0))


class Varying(NamedTuple):
    """The neurons that vary: their indices, grids, and power maps without the constant."""

    numbers: Int[np.ndarray, " neurons"]
    grids: Grids
    power: Float[np.ndarray, "neurons k0 k1"]


def varying(neurons: Grids) -> Varying:
    """Leave out neurons that are constant up to rounding, and transform the others."""
    rounding = (16 * np.finfo(neurons.dtype).eps) ** 2 * (neurons**2).mean(axis=(1, 2))
    numbers = np.flatnonzero(neurons.var(axis=(1, 2)) > rounding)
    return Varying(numbers, neurons[numbers], centred_power(neurons[numbers]))


def centred_power(neurons: Grids) -> Float[np.ndarray, "neurons k0 k1"]:
    """Return `frequency_power_2d` of each neuron, its constant entry exactly 0."""
    centred = neurons - neurons.mean(axis=(1, 2), keepdims=True)
    power = np.asarray(frequency_power_2d(centred))
    power[:, 0, 0] = 0
    return power


class Pairs(NamedTuple):
    """Frequencies of the two digits that belong together, in cycles per digit step."""

    first: Float[np.ndarray, " pairs"]
    second: Float[np.ndarray, " pairs"]


class Purity(NamedTuple):
    """Share of each neuron in the best of several blocks."""

    whole: Float[np.ndarray, " neurons"]  #: Of its variance, in all eight directions of a block
    both: Float[np.ndarray, " neurons"]  #: Of its interaction part, in the four of both digits


def remainder_pairs(moduli: Sequence[int], p: int) -> Pairs:
    r"""Return the pair $(k/q, (pk \bmod q)/q)$ of each wave of n mod q, as in `waves_of`."""
    return Pairs(*turns(waves_of(moduli), np.array([1, p])))


def wrong_pairs(pairs: Pairs, generator: np.random.Generator) -> Pairs:
    """Return the same frequencies for each digit, none with its partner; it takes two pairs."""
    count = len(pairs.first)
    if count < 2:
        raise ValueError(f"{count} pair was given; to mix partners takes two or more")
    order = generator.permutation(count)
    while (order == np.arange(count)).any():
        order = generator.permutation(count)
    return Pairs(pairs.first, pairs.second[order])


def digit_waves(p: int, frequencies: Float[np.ndarray, " waves"]) -> Float[np.ndarray, "waves p 2"]:
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


def purity(neurons: Grids, *families: Pairs) -> list[Purity]:
    """Find the best block of each neuron, which must vary, among the pairs of each family.

    Families must share their first frequencies, which a neuron meets only once, else ValueError.
    """
    if not families or any((f.first != families[0].first).any() for f in families):
        raise ValueError("families of pairs must have the same first frequencies; ask one by one")
    parts = [
        np.stack([block.max(axis=2) / total, product.max(axis=2) / both])
        for total, both, block, product in _met(neurons, families)
    ]
    whole, both = np.concatenate(parts, axis=2)
    return [Purity(*each) for each in zip(whole, both, strict=True)]


def grid_purity(power: Float[np.ndarray, "neurons k0 k1"], *, same: bool = False) -> Purity:
    """Find the best block on the p-DFT, of all or with k0 = k1, from `centred_power`."""
    product = power[:, 1:, 1:]
    block = power[:, 1:, :1] + power[:, :1, 1:] + product
    total, interaction = power.sum(axis=(1, 2)), product.sum(axis=(1, 2))
    if same:
        product, block = (np.diagonal(x, axis1=1, axis2=2)[:, None] for x in (product, block))
    return Purity(
        block.max(axis=(1, 2)) / total, product.max(axis=(1, 2)) / np.maximum(interaction, TINY)
    )


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
    right = remainder_pairs(moduli, neurons.shape[1])
    mixed = [wrong_pairs(right, generator) for _ in range(draws)]
    own, *wrong = purity(np.ascontiguousarray(found.grids), right, *mixed)
    return Compared(grid_purity(found.power, same=True), grid_purity(found.power), own, wrong)


class Nearest(NamedTuple):
    """Index of the pair in whose products a neuron has most of its interaction part, and share."""

    pair: Int[np.ndarray, " neurons"]
    share: Float[np.ndarray, " neurons"]


def nearest_pair(neurons: Grids, pairs: Pairs) -> Nearest:
    """Find the pair that each neuron is nearest to; one that is constant has a share of 0."""
    met = [(product[0], both) for _, both, _, product in _met(neurons, [pairs])]
    products, both = map(np.concatenate, zip(*met, strict=True))
    return Nearest(products.argmax(axis=1), products.max(axis=1) / both)


def _met(neurons: Grids, families: Sequence[Pairs]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield energies of a few neurons at a time, for families with the same first frequencies.

    They are of neuron and interaction part, (neuron,), of blocks and products, (family, neuron,
    pair).
    """
    pairs, p = len(families[0].first), neurons.shape[1]
    first = digit_waves(p, families[0].first).astype(neurons.dtype)
    seconds = np.stack([digit_waves(p, f.second).astype(neurons.dtype) for f in families], axis=2)
    for start in range(0, max(len(neurons), 1), CHUNK):
        grids = neurons[start : start + CHUNK]
        grids = grids - grids.mean(axis=(1, 2), keepdims=True)
        rows, columns = grids.mean(axis=2), grids.mean(axis=1)
        both = grids - rows[:, :, None] - columns[:, None, :]
        # The waves of x0 are met once, those of x1 for all families in one product.
        left = np.tensordot(first, both, axes=(1, 1)).reshape(pairs, -1, p)
        product = np.matmul(left, seconds.reshape(pairs, p, -1))
        product = product.reshape(pairs, 2, len(both), len(families), 2)
        product = (product**2).sum(axis=(1, 4)).transpose(2, 1, 0)
        alone = (np.tensordot(rows, first, axes=(1, 1)) ** 2).sum(axis=2)
        other = (np.tensordot(columns, seconds, axes=(1, 1)) ** 2).sum(axis=3).transpose(2, 0, 1)
        interaction = np.maximum((both**2).sum(axis=(1, 2)), TINY)
        total = p * ((rows**2).sum(axis=1) + (columns**2).sum(axis=1)) + interaction
        yield total, interaction, p * (alone[None] + other) + product, product
