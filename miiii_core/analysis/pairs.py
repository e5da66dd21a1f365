r"""How pure a neuron is: its share in one block of two frequencies, whatever these are.

A neuron that multiplies a wave of $x_0$ by one of $x_1$ has its variance in the block
$\{1, \cos, \sin\}(2\pi f_0 x_0) \otimes \{1, \cos, \sin\}(2\pi f_1 x_1)$ less the constant. For
$n \bmod q$ the frequencies are $k/q$ and $(pk \bmod q)/q$ cycles per digit step, which no
p-DFT has: `blocks` measures the same on its frequencies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .atoms import waves_of
from .blocks import Grids, centred_power, varying

CHUNK = 32  # neurons at a time: what a chunk is multiplied into stays in the cache


class Pairs(NamedTuple):
    """Frequencies of the two digits that belong together, in cycles per digit step."""

    first: Float[np.ndarray, " pairs"]
    second: Float[np.ndarray, " pairs"]


class Purity(NamedTuple):
    """Share of each neuron in the best of several blocks.

    Attributes:
        whole: Of the variance, in all eight directions of a block.
        both: Of the interaction part's variance, in the four that depend on both digits.
    """

    whole: Float[np.ndarray, " neurons"]
    both: Float[np.ndarray, " neurons"]


def remainder_pairs(moduli: Sequence[int], p: int) -> Pairs:
    r"""The pair $(k/q, (pk \bmod q)/q)$ of each wave of n mod q, in the order of `waves_of`."""
    q, k = waves_of(moduli)
    return Pairs(k / q, (p * k.astype(int) % q) / q)


def wrong_pairs(pairs: Pairs, generator: np.random.Generator) -> Pairs:
    """The same frequencies for each digit, none of them with its own partner.

    Raises:
        ValueError: for fewer than two pairs, which cannot be mixed.
    """
    count = len(pairs.first)
    if count < 2:
        raise ValueError(f"{count} pair was given; to mix partners takes two or more")
    order = generator.permutation(count)
    while (order == np.arange(count)).any():
        order = generator.permutation(count)
    return Pairs(pairs.first, pairs.second[order])


def digit_waves(p: int, frequencies: Float[np.ndarray, " waves"]) -> Float[np.ndarray, "waves p 2"]:
    """Two orthonormal columns for each frequency that span its cos and sin, less the constant.

    At half a cycle per step the sin is zero, and so is the second column.

    Raises:
        ValueError: for a frequency of whole cycles, which is the constant itself.
    """
    if (frequencies % 1 == 0).any():
        raise ValueError("frequencies hold whole cycles per digit step; those are constant")
    turns = 2 * np.pi * frequencies[:, None] * np.arange(p)
    cos, sin = (part - part.mean(axis=1, keepdims=True) for part in (np.cos(turns), np.sin(turns)))
    cos = cos / np.linalg.norm(cos, axis=1, keepdims=True)
    sin = sin - (cos * sin).sum(axis=1, keepdims=True) * cos
    length = np.linalg.norm(sin, axis=1, keepdims=True)
    there = length > 1e-6
    return np.stack([cos, np.where(there, sin / np.where(there, length, 1), 0)], axis=2)


def purity(neurons: Grids, *families: Pairs) -> list[Purity]:
    """The best block of each neuron among the pairs of each family.

    Families that share their first frequencies, as right and wrong pairs do, share most of
    the work: a neuron meets the waves of x0 once.

    Args:
        neurons: That vary.
        families: All with the same first frequencies.

    Raises:
        ValueError: for families with different first frequencies, or none.
    """
    if not families or any((f.first != families[0].first).any() for f in families):
        raise ValueError("families of pairs must have the same first frequencies; ask one by one")
    p = neurons.shape[1]
    first = digit_waves(p, families[0].first).astype(neurons.dtype)
    seconds = np.stack([digit_waves(p, f.second).astype(neurons.dtype) for f in families], axis=2)
    parts = [
        _best(neurons[start : start + CHUNK], first, seconds)
        for start in range(0, len(neurons), CHUNK)
    ]
    whole, both = np.concatenate(parts, axis=2)
    return [Purity(*each) for each in zip(whole, both, strict=True)]


def grid_purity(power: Float[np.ndarray, "neurons k0 k1"], *, same: bool = False) -> Purity:
    """The same over the frequencies of the p-DFT: all pairs, or those of equal frequency.

    Args:
        power: Of neurons that vary, as `blocks.centred_power` gives it.
        same: Only pairs with k0 = k1, as modular addition has them.
    """
    product = power[:, 1:, 1:]
    block = power[:, 1:, :1] + power[:, :1, 1:] + product
    total, interaction = power.sum(axis=(1, 2)), product.sum(axis=(1, 2))
    if same:
        product, block = (np.diagonal(x, axis1=1, axis2=2)[:, None] for x in (product, block))
    return Purity(
        block.max(axis=(1, 2)) / total, product.max(axis=(1, 2)) / np.maximum(interaction, _TINY)
    )


_TINY = float(np.finfo(np.float32).tiny)


class Compared(NamedTuple):
    """Purity of neurons by the frequencies that a block may have.

    Attributes:
        equal: Of the p-DFT, the same in both digits, as modular addition has them.
        grid: Of the p-DFT, any pair.
        right: Of n mod q, with their partners.
        wrong: Of n mod q, as many pairs, none with its partner; one entry a draw.
    """

    equal: Purity
    grid: Purity
    right: Purity
    wrong: list[Purity]


def compare(
    neurons: Grids, moduli: Sequence[int], generator: np.random.Generator, draws: int = 20
) -> Compared:
    """The best block of each neuron that varies, among four families of pairs."""
    grids = np.ascontiguousarray(varying(neurons).grids)
    power, right = centred_power(grids), remainder_pairs(moduli, grids.shape[1])
    mixed = [wrong_pairs(right, generator) for _ in range(draws)]
    found, *wrong = purity(grids, right, *mixed)
    return Compared(grid_purity(power, same=True), grid_purity(power), found, wrong)


class Nearest(NamedTuple):
    """The pair in whose products a neuron has most of its interaction part.

    Attributes:
        pair: Its number among those given.
        share: Of the interaction part's variance, in the four products of its waves.
    """

    pair: Int[np.ndarray, " neurons"]
    share: Float[np.ndarray, " neurons"]


def nearest_pair(neurons: Grids, pairs: Pairs) -> Nearest:
    """Which pair of a family each neuron is nearest to; one that is constant has a share of 0.

    Args:
        neurons: Any.
        pairs: Of which k and -k are one.
    """
    p = neurons.shape[1]
    first, second = (digit_waves(p, each).astype(neurons.dtype) for each in pairs)
    found, shares = [], []
    for start in range(0, len(neurons), CHUNK):
        both = _taken_apart(neurons[start : start + CHUNK])[2]
        products = _products(both, first, second[:, :, None])[0]
        found.append(products.argmax(axis=1))
        shares.append(products.max(axis=1) / np.maximum((both**2).sum(axis=(1, 2)), _TINY))
    return Nearest(np.concatenate(found), np.concatenate(shares))


def _best(
    neurons: Grids,
    first: Float[np.ndarray, "pairs p 2"],
    seconds: Float[np.ndarray, "pairs p families 2"],
) -> Float[np.ndarray, "2 families neurons"]:
    """Best share of the whole and of the interaction, for each family of second waves."""
    rows, columns, both = _taken_apart(neurons)
    interaction = (both**2).sum(axis=(1, 2))
    p = neurons.shape[1]
    total = p * ((rows**2).sum(axis=1) + (columns**2).sum(axis=1)) + interaction
    product = _products(both, first, seconds)
    alone = p * (np.tensordot(rows, first, axes=(1, 1)) ** 2).sum(axis=2)
    other = p * (np.tensordot(columns, seconds, axes=(1, 1)) ** 2).sum(axis=3).transpose(2, 0, 1)
    whole = (alone[None] + other + product).max(axis=2) / total
    return np.stack([whole, product.max(axis=2) / np.maximum(interaction, _TINY)])


def _taken_apart(neurons: Grids) -> tuple[np.ndarray, np.ndarray, Grids]:
    """Each neuron as a function of x0, one of x1, and the rest that needs both."""
    grids = neurons - neurons.mean(axis=(1, 2), keepdims=True)
    rows, columns = grids.mean(axis=2), grids.mean(axis=1)
    return rows, columns, grids - rows[:, :, None] - columns[:, None, :]


def _products(
    both: Grids,
    first: Float[np.ndarray, "pairs p 2"],
    seconds: Float[np.ndarray, "pairs p families 2"],
) -> Float[np.ndarray, "families neurons pairs"]:
    """Energy of each interaction part in the four products of each pair of waves."""
    pairs, p, families, _ = seconds.shape
    # The waves of x0 are met once, those of x1 for all families in one product.
    met = np.tensordot(first, both, axes=(1, 1)).reshape(pairs, -1, p)
    product = np.matmul(met, seconds.reshape(pairs, p, -1))
    product = product.reshape(pairs, 2, len(both), families, 2)
    return (product**2).sum(axis=(1, 4)).transpose(2, 1, 0)
