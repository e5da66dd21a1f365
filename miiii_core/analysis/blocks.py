"""How much of a neuron one pair of frequencies explains, and what to compare that with.

A neuron that multiplies a wave of one digit by a wave of the other has its variance in a block:
the two waves and their products. On the p-DFT the block of a pair (k0, k1) holds the entries
(k0, 0), (0, k1) and (k0, k1) of the power map, each a cos and a sin at any phase.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from ..tasks import Task
from .spectral import frequency_power_2d, neuron_frequency

Tensor = np.ndarray | Array
Grids = Float[np.ndarray, "neurons x0 x1"]


def unit_grids(task: Task, values: Float[Tensor, "n units"]) -> Float[np.ndarray, "units x0 x1"]:
    """One grid indexed [x0, x1] for each unit that has a value at every input."""
    # Laid out anew: matrix products of strided grids are slower by an order of magnitude.
    return np.ascontiguousarray(np.moveaxis(task.grid(np.asarray(values)), -1, 0))


class Varying(NamedTuple):
    """The neurons that vary at all: their numbers, grids, and power maps without the constant."""

    numbers: Int[np.ndarray, " neurons"]
    grids: Grids
    power: Float[np.ndarray, "neurons k0 k1"]


def varying(neurons: Grids) -> Varying:
    """Leave out neurons that are constant up to rounding, and transform the others."""
    numbers = np.flatnonzero(neuron_frequency(neurons).frequency)
    return Varying(numbers, neurons[numbers], centred_power(neurons[numbers]))


def centred_power(neurons: Grids) -> Float[np.ndarray, "neurons k0 k1"]:
    """`frequency_power_2d` of each neuron, its constant entry exactly 0."""
    centred = neurons - neurons.mean(axis=(1, 2), keepdims=True)
    power = np.asarray(frequency_power_2d(centred))
    power[:, 0, 0] = 0
    return power


def best_block(power: Float[np.ndarray, "neurons k0 k1"]) -> Float[np.ndarray, " neurons"]:
    """Share of each neuron's variance in its best block, over all pairs with k0, k1 ≥ 1.

    Args:
        power: Of neurons that vary, as `centred_power` gives it.
    """
    block = power[:, 1:, :1] + power[:, :1, 1:] + power[:, 1:, 1:]
    return block.max(axis=(1, 2)) / power.sum(axis=(1, 2))


def one_digit_share(power: Float[np.ndarray, "neurons k0 k1"]) -> Float[np.ndarray, " neurons"]:
    """Share of each neuron's variance that is a function of one digit, or a sum of two such."""
    edges = power[:, 0].sum(axis=1) + power[:, :, 0].sum(axis=1)
    return edges / power.sum(axis=(1, 2))


def in_random_order(neurons: Grids, generator: np.random.Generator) -> Grids:
    """The same neurons with the values of each digit shuffled: no period is left to find."""
    rows, columns = (generator.permutation(side) for side in neurons.shape[1:])
    return neurons[:, rows][:, :, columns]


def perfect_neurons(moduli: Sequence[int], p: int, generator: np.random.Generator) -> Grids:
    r"""Neurons that a circuit for n mod q would have: $\max(0, \cos a x_0 + \cos b x_1)$.

    One for each modulus q and each k < q, with $a = 2\pi k / q$, $b = 2\pi (pk \bmod q) / q$
    and random phases. Their frequencies are no multiples of 1/p, so even these do not fill one
    block of the p-DFT: how much they fill is the yardstick.

    Raises:
        ValueError: for a modulus below 2, which no residue tells apart.
    """
    if not moduli or min(moduli) < 2:
        raise ValueError(f"moduli={list(moduli)} will not do; give one or more, each at least 2")
    steps = np.array([(k / q, p * k % q / q) for q in moduli for k in range(1, q)])
    turns = steps[..., None] * np.arange(p) + generator.random((len(steps), 2, 1))
    first, second = np.moveaxis(np.cos(2 * np.pi * turns), 1, 0)
    return np.maximum(first[:, :, None] + second[:, None, :], 0)
