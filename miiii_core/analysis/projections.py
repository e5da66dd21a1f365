r"""Least squares on the plane waves of n mod q for many q at once, exactly.

Waves of different primes are not quite at right angles over $n = 0, \dots, N-1$. But inner
products of waves are sums of $e^{2\pi i f n}$, a Dirichlet kernel, so the Gram matrix is known in
closed form; and inner products with any values need only their means over residue classes. So
no wave is ever written out, and a thousand neurons are projected on all waves in seconds.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..config import is_prime
from ..tasks import task_columns
from .atoms import Waves, class_means, waves_of

Tensor = np.ndarray | Array


class Columns(NamedTuple):
    """The real columns of a fit: cos and sin of 2πkn/q for each wave (q = 2: cos only).

    Attributes:
        waves: As `atoms.waves_of` lists them.
        wave: Which of them a column belongs to.
        quarter: 0 for a cos, 1 for a sin, which is a cos a quarter of a turn later.
    """

    waves: Waves
    wave: Int[np.ndarray, " columns"]
    quarter: Int[np.ndarray, " columns"]


class Projection(NamedTuple):
    """The least-squares fit of each unit, its mean removed, by all waves together.

    Attributes:
        coefficients: Of the columns of `columns_of`.
        split: What each wave adds to the explained variance, cos and sin together; the sum
            over waves is what all explain. Waves of two primes share a little, so that a
            wave that is hardly there may add less than nothing.
        variance: Of each unit over all n.
    """

    coefficients: Float[np.ndarray, "columns units"]
    split: Float[np.ndarray, "waves units"]
    variance: Float[np.ndarray, " units"]


def columns_of(moduli: Sequence[int]) -> Columns:
    """The columns for the waves of all moduli, Σ(q - 1) of them for primes q.

    Raises:
        ValueError: unless the moduli are different primes.
    """
    if not moduli or len(set(moduli)) < len(moduli) or not all(map(is_prime, moduli)):
        raise ValueError(f"moduli={list(moduli)} will not do; give one or more different primes")
    waves = waves_of(moduli)
    both = np.where(waves.modulus == 2, 1, 2)
    wave = np.repeat(np.arange(len(both)), both)
    return Columns(waves, wave, np.concatenate([np.arange(n) for n in both]))


def wave_gram(moduli: Sequence[int], n: int) -> Float[np.ndarray, "columns columns"]:
    r"""Inner products over 0..n-1 of all columns, the mean of each removed, in closed form.

    $$\sum_{m<n} e^{2\pi i f m} = e^{\pi i f (n-1)} \frac{\sin \pi f n}{\sin \pi f}$$

    at the sum and the difference of two frequencies; products of cos and sin are sums of two.

    Raises:
        ValueError: unless the moduli are different primes, and n exceeds every product of two.
    """
    columns = columns_of(moduli)
    if n <= max(q * r for q in moduli for r in moduli):
        raise ValueError(
            f"n={n} numbers do not tell waves of {max(moduli)} from others; give more than "
            f"{max(moduli) ** 2}, as p² is for primes below p"
        )
    k, q = columns.waves.k[columns.wave], columns.waves.modulus[columns.wave]
    turn = columns.quarter.astype(float)
    across, bottom = k[:, None] * q[None, :], q[:, None] * q[None, :]
    apart = _real_sum(across - across.T, bottom, n, turn[:, None] - turn[None, :])
    together = _real_sum(across + across.T, bottom, n, turn[:, None] + turn[None, :])
    means = _real_sum(k, q, n, turn) / n
    return (apart + together) / 2 - n * means[:, None] * means[None, :]


@lru_cache(maxsize=4)
def _inverse(moduli: tuple[int, ...], n: int) -> Float[np.ndarray, "columns columns"]:
    """Inverse of the Gram matrix: it is well conditioned, so that this loses no digits."""
    return np.linalg.inv(wave_gram(moduli, n))


def wave_products(
    means: Float[Tensor, "units n_classes"], n: int, moduli: Sequence[int]
) -> Float[np.ndarray, "columns units"]:
    """Inner products of all columns with units whose mean is zero, from their class means.

    Args:
        means: `atoms.class_means` over 0..n-1.
        n: Inputs.
        moduli: As given to `class_means`.

    Raises:
        ValueError: for means of other classes than these moduli have.
    """
    if means.shape[1] != sum(moduli):
        raise ValueError(
            f"means of {means.shape[1]} classes were given; these moduli have {sum(moduli)}"
        )
    columns = columns_of(moduli)
    parts = []
    for q, classes in zip(moduli, task_columns(moduli), strict=True):
        own = columns.waves.modulus[columns.wave] == q
        k, residue = columns.waves.k[columns.wave][own], np.arange(q)
        turns = np.outer(k, residue) % q / q - columns.quarter[own][:, None] / 4
        sums = np.asarray(means[:, classes], float).T * ((n - 1 - residue) // q + 1)[:, None]
        parts.append(np.cos(2 * np.pi * turns) @ sums)
    return np.concatenate(parts)


def project(values: Float[Tensor, "n units"], moduli: Sequence[int]) -> Projection:
    """Fit each unit, such as a neuron over all inputs, by all waves of n mod q together.

    Args:
        values: One row for each number 0..n-1, ascending.
        moduli: Different primes, all their products below n.

    Raises:
        ValueError: for other moduli, or too few rows.
    """
    n = len(values)
    rows = jnp.asarray(values).T
    rows = rows - rows.mean(axis=1, keepdims=True)
    inverse = _inverse(tuple(moduli), n)
    means = class_means(rows, jnp.arange(n), moduli)
    inner = wave_products(means, n, moduli)
    coefficients = inverse @ inner
    starts = np.flatnonzero(columns_of(moduli).quarter == 0)
    split = np.add.reduceat(coefficients * inner, starts, axis=0) / n
    return Projection(coefficients, split, np.asarray((rows**2).mean(axis=1), float))


def explained(projection: Projection) -> Float[np.ndarray, " units"]:
    """Share of each unit's variance that all waves together explain; 0 for a constant unit."""
    total = np.maximum(projection.variance, np.finfo(np.float32).tiny)
    return projection.split.sum(axis=0) / total


def _real_sum(
    top: Int[np.ndarray, "*shape"], bottom: Int[np.ndarray, "*shape"], n: int, quarter: np.ndarray
) -> Float[np.ndarray, "*shape"]:
    """Sum over m < n of cos(2π·m·top/bottom - quarter·π/2).

    Fractions of turns are reduced while they are whole numbers, so that no digits are lost.
    """
    top, bottom = top.astype(np.int64) % bottom, bottom.astype(np.int64)
    whole = top == 0
    size = np.sin(np.pi * (top * n % (2 * bottom)) / bottom)
    size = np.where(whole, n, size / np.sin(np.pi * np.where(whole, 1, top) / bottom))
    middle = np.pi * (top * (n - 1) % (2 * bottom)) / bottom
    return size * np.cos(np.where(whole, 0, middle) - np.pi / 2 * quarter)
