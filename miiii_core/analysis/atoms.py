r"""Functions of n mod q on the grid: class means, their share of variance, and plane waves.

A function of $n \bmod q$ is a sum of $e^{2\pi i k n / q}$, and with $n = x_0 + p x_1$ each is
a plane wave over both digits, at $(k/q, (pk \bmod q)/q)$ cycles per digit step. Rows of every
array belong to the numbers $n$, ascending, as in `tasks.Task`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Tensor = np.ndarray | Array


class Waves(NamedTuple):
    """Which plane waves there are: k/q cycles per step of n, for k = 1..q//2 of each prime q."""

    modulus: Int[np.ndarray, " waves"]
    k: Int[np.ndarray, " waves"]


def waves_of(moduli: Sequence[int]) -> Waves:
    """The plane waves of all moduli in order, one entry for a cos and its sin (q = 2: cos only)."""
    pairs = [(q, k) for q in moduli for k in range(1, q // 2 + 1)]
    modulus, k = np.array(pairs, np.int32).reshape(-1, 2).T
    return Waves(modulus, k)


def interaction(grids: Float[Tensor, "*batch x0 x1"]) -> Float[Tensor, "*batch x0 x1"]:
    """What is left of each grid once row and column means are taken out.

    A function of one digit, or a sum of two such, cannot tell n mod q apart: only this can.
    """
    rows = grids - grids.mean(axis=-1, keepdims=True)
    return rows - rows.mean(axis=-2, keepdims=True)


def class_means(
    values: Float[Array, "units n"], numbers: Int[Array, " n"], moduli: Sequence[int]
) -> Float[Array, "units n_classes"]:
    """Mean of each unit over all n of each residue class, packed modulus after modulus.

    Args:
        values: One row a unit, such as a neuron over the whole grid.
        numbers: The n of each column; every class of every modulus must be among them.
        moduli: What to divide by.
    """
    modulus = np.repeat(np.array(moduli, np.int32), moduli)
    residue = np.concatenate([np.arange(q, dtype=np.int32) for q in moduli])
    # Made from the numbers: as a constant it would be compiled in, 75 MB of it at p = 113.
    member = (numbers[:, None] % modulus[None] == residue[None]).astype(values.dtype)
    sums = jnp.matmul(values, member, precision="highest")
    return sums / member.sum(axis=0)[None]


def residue_shares(
    means: Float[Array, "units n_classes"], n: int, moduli: Sequence[int]
) -> Float[Array, "units moduli"]:
    r"""Variance between the residue classes of each modulus, $\mathrm{Var}(E[h | n \bmod q])$.

    Divided by the variance of h it is $\eta^2_q$, in [0, 1]; noise has (q - 1) / (N - 1) of it
    over N inputs.

    Args:
        means: `class_means` of units whose mean over all inputs is zero.
        n: Inputs 0..n-1 that the means were taken over.
        moduli: As given to `class_means`.
    """
    residue = np.concatenate([np.arange(q) for q in moduli])
    modulus = np.repeat(np.array(moduli), moduli)
    weight = ((n - 1 - residue) // modulus + 1) / n
    member = np.repeat(np.eye(len(moduli)), moduli, axis=0) * weight[:, None]
    return jnp.matmul(means**2, jnp.asarray(member, means.dtype), precision="highest")


def wave_energy(
    means: Float[Array, "units n_classes"], moduli: Sequence[int]
) -> Float[Array, "units waves"]:
    r"""Mean square of each unit's projection on each plane wave, cos and sin added.

    From the class means $m_r$ alone, $c_k = \frac1q \sum_r m_r e^{-2\pi i k r / q}$, and the
    energy is $2 |c_k|^2$ (q = 2: $|c_1|^2$). Waves are in the order of `waves_of`. Those of
    one modulus are orthogonal up to the incomplete last period; of different moduli, nearly.
    """
    modulus, k = waves_of(moduli)
    owner = np.repeat(np.array(moduli), moduli)
    residue = np.concatenate([np.arange(q) for q in moduli])
    angle = 2 * np.pi * ((residue[:, None] * k[None]) % modulus[None]) / modulus[None]
    own = (owner[:, None] == modulus[None]) / modulus[None]
    cos, sin = (
        jnp.matmul(means, jnp.asarray(part * own, means.dtype), precision="highest")
        for part in (np.cos(angle), np.sin(angle))
    )
    return (cos**2 + sin**2) * jnp.asarray(np.where(modulus == 2, 1, 2), means.dtype)[None]
