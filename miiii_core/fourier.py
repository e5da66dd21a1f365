"""Fourier bases over Z_p, frequencies of neurons and embeddings, singular values.

A frequency k means k/p cycles per digit step, k = 0..K, K = (p-1)/2. Transforms, powers and
active frequencies of NumPy arrays are NumPy arrays of their own precision, those of JAX arrays
JAX arrays, inside ``jax.jit`` too; all else takes NumPy arrays.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real

Tensor = np.ndarray | Array


@lru_cache(maxsize=16)
def fourier_basis(p: int) -> Float[np.ndarray, "p p"]:
    """Return the orthonormal real Fourier basis F of functions on Z_p, one element a row.

    F[0] = 1/√p, F[2k-1] = √(2/p)·cos(2πkx/p), F[2k] = √(2/p)·sin(2πkx/p), k = 1..K.

    Read-only float64, axes (component, digit), with F·Fᵀ = 1; ValueError unless p is odd and ≥ 3.

    Source: Nanda et al. (2023), whose order of rows this is.
    """
    if p < 3 or p % 2 == 0:
        raise ValueError(
            f"a Fourier basis of {p} digits was asked for; p must be odd and at least 3. Pass "
            "the p digits only, without the read-out token: W_E[:p]"
        )
    # Reducing k·x mod p first keeps the angles small and the cosines accurate.
    angles = 2 * np.pi * (np.outer(np.arange(1, (p + 1) // 2), np.arange(p)) % p) / p
    basis = np.full((p, p), 1 / np.sqrt(p))
    basis[1::2] = np.sqrt(2 / p) * np.cos(angles)
    basis[2::2] = np.sqrt(2 / p) * np.sin(angles)
    basis.setflags(write=False)
    return basis


def fourier_1d(values: Real[Tensor, "p *rest"]) -> Float[Tensor, "p *rest"]:
    """Return the coefficients F·values over the first axis, the digits; p must be odd."""
    basis, rows = fourier_basis(values.shape[0]), _floats(values)
    return matmul(basis, rows.reshape(len(basis), -1)).reshape(rows.shape)


def frequency_power(values: Real[Tensor, "p *rest"]) -> Float[Tensor, "frequencies *rest"]:
    """Return the energy of each frequency k = 0..K over the first axis, cos² and sin² added."""
    return _add_pairs(fourier_1d(values) ** 2, axis=0)


def frequency_power_2d(grid: Real[Tensor, "*batch x0 x1"]) -> Float[Tensor, "*batch k0 k1"]:
    """Return the energy of each frequency pair (k0, k1), all products of cos and sin added.

    That is of the coefficients F·A·Fᵀ of each grid A over (x0, x1), its last two axes, of odd p.
    Unlike a single coefficient it does not change when the grid is shifted cyclically.
    """
    if grid.ndim < 2 or grid.shape[-1] != grid.shape[-2]:
        raise ValueError(
            f"a grid of shape {grid.shape} was given; its last two axes, x0 and x1, must have "
            "the same length p. Reshape activations and move x0, x1 last"
        )
    grids = _floats(grid)
    if isinstance(grids, np.ndarray):
        grids = np.ascontiguousarray(grids)  # else NumPy multiplies without BLAS, 30 times slower
    xp = grids.__array_namespace__()
    basis = xp.asarray(fourier_basis(grids.shape[-1]), dtype=grids.dtype)
    energy = matmul(matmul(basis, grids), basis.T) ** 2
    return _add_pairs(_add_pairs(energy, axis=-1), axis=-2)


class NeuronFrequency(NamedTuple):
    """Each neuron's frequency, 1..K (0 if constant), and its share of variance in [0, 1]."""

    frequency: Int[np.ndarray, " neurons"]
    share: Float[np.ndarray, " neurons"]


def neuron_frequency(neurons: Float[np.ndarray, "neurons x0 x1"]) -> NeuronFrequency:
    """Find the frequency whose 3×3 block of the Fourier basis explains most of each neuron.

    share_k = energy in {1, cos_k, sin_k}⊗{1, cos_k, sin_k} less the constant, over the energy
    less the constant; the frequency is the argmax over all k = 1..K, the last included.

    Source: Nanda et al. (2023), of neurons after the ReLU over the full grid.
    """
    power = frequency_power_2d(neurons - neurons.mean(axis=(1, 2), keepdims=True))
    diagonal = np.diagonal(power, axis1=1, axis2=2)
    blocks = (diagonal + power[:, 0, :] + power[:, :, 0])[:, 1:]
    total = power.sum(axis=(1, 2))
    alive = total > rounding((neurons**2).sum(axis=(1, 2)))
    share = np.where(alive, blocks.max(axis=1) / np.where(alive, total, 1), 0)
    return NeuronFrequency(np.where(alive, blocks.argmax(axis=1) + 1, 0), share)


def active_frequencies(power: Float[Tensor, "*batch k0 k1"]) -> Bool[Tensor, "*batch k0 k1"]:
    """Return which entries of each `frequency_power_2d` stand out: power > μ + 2σ.

    μ and σ are taken over the map without its constant entry [0, 0], which is never active.
    By Cantelli's inequality a map has at most a fifth of its entries active.

    Source: the paper's ω > μ + 2σ (Fig. 16), here for each neuron by itself.
    """
    xp = power.__array_namespace__()
    flat = power.reshape(*power.shape[:-2], -1)
    varying = flat[..., 1:]
    threshold = varying.mean(axis=-1, keepdims=True) + 2 * varying.std(axis=-1, keepdims=True)
    active = varying > xp.maximum(threshold, rounding(flat.sum(axis=-1, keepdims=True)))
    return xp.concat([xp.zeros_like(active[..., :1]), active], axis=-1).reshape(power.shape)


class KeyFrequencies(NamedTuple):
    """Share of energy of each frequency k = 0..K (0 for the constant), and whether it is key."""

    share: Float[np.ndarray, " frequencies"]
    active: Bool[np.ndarray, " frequencies"]


def key_frequencies(embedding: Real[np.ndarray, "p d"]) -> KeyFrequencies:
    """Find the frequencies that an embedding of p digits uses, the mean over digits removed.

    One is key if the norm of its cos or sin row of F·W_E exceeds μ + 2σ of the norms.
    """
    power = (fourier_1d(embedding) ** 2).sum(axis=1)[1:]
    norms = np.sqrt(power)
    stands_out = (norms > norms.mean() + 2 * norms.std()).reshape(-1, 2).any(axis=1)
    pairs = power.reshape(-1, 2).sum(axis=1)
    share = pairs / (pairs.sum() or 1)
    return KeyFrequencies(np.append(0, share), np.append(False, stands_out))


class SingularSpectrum(NamedTuple):
    """Singular values, largest first, their left vectors (columns) and cumulative share of Σσ²."""

    values: Float[np.ndarray, " rank"]
    left: Float[np.ndarray, "rows rank"]
    cumulative: Float[np.ndarray, " rank"]


def singular_spectrum(W: Real[np.ndarray, "rows columns"]) -> SingularSpectrum:
    """Compute the singular value decomposition of a matrix."""
    left, values, _ = np.linalg.svd(W, full_matrices=False)
    energy = values**2
    return SingularSpectrum(values, left, np.cumsum(energy) / (energy.sum() or 1))


def ranks_for(cumulative: Float[np.ndarray, " rank"], share: float) -> int:
    """Return how many leading entries hold a share of the total, in (0, 1], or ValueError."""
    if not 0 < share <= 1:
        raise ValueError(f"share={share} of the spectrum was asked for; it must lie in (0, 1]")
    short = cumulative < share - 8 * float(np.finfo(cumulative.dtype).eps)
    return min(int(short.sum()) + 1, len(cumulative))


def effective_rank(values: Real[np.ndarray, " rank"]) -> float:
    """Return exp(-Σ s·ln s) of s = σ/Σσ for singular values σ: 1 to the rank; 0 for no energy.

    Source: Roy and Vetterli (2007), "The effective rank: a measure of effective dimensionality".
    """
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def gini(values: Real[np.ndarray, " n"]) -> float:
    """Return the Gini coefficient of non-negative values: 0 if all are equal, or all are 0.

    G = Σ_i (2i - n - 1)·x_(i) / (n·Σx), x sorted ascending, i = 1..n; 1 - 1/n if one holds all.
    """
    n = len(values)
    return float(np.arange(1 - n, n, 2) @ np.sort(values) / (n * (values.sum() or 1)))


def fourier_gini(columns: Real[np.ndarray, "p columns"]) -> float:
    """Return the Gini coefficient of the norms of all Fourier components but the constant.

    Source: Nanda et al. (2023), of W_E and W_L, as a measure of how few frequencies are used.
    """
    return gini(np.linalg.norm(fourier_1d(columns)[1:], axis=1))


def pearson(a: Real[np.ndarray, " d"], b: Real[np.ndarray, " d"]) -> float:
    """Return the correlation of two vectors over their entries; NaN if one is constant."""
    if not np.ptp(a) or not np.ptp(b):  # less its mean, it is rounding
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def matmul(a: Any, b: Any) -> Any:
    """Return a·b at full precision; a table made by NumPy takes the kind and dtype of the other."""
    values = a if isinstance(a, jax.Array) else b
    xp = values.__array_namespace__()
    with jax.default_matmul_precision("highest"):
        return xp.matmul(xp.asarray(a, dtype=values.dtype), xp.asarray(b, dtype=values.dtype))


def _floats(values: Any) -> Any:
    """Return values as real numbers: float dtypes stay, whole numbers become the default float."""
    xp = values.__array_namespace__()
    return values if xp.isdtype(values.dtype, "real floating") else values * 1.0


def _add_pairs(components: Any, axis: int) -> Any:
    """Add neighbouring cos and sin entries along an axis; the constant stays alone."""
    xp = components.__array_namespace__()
    x = xp.moveaxis(components, axis, 0)
    return xp.moveaxis(xp.concat([x[:1], x[1::2] + x[2::2]]), 0, axis)


def rounding(energy: Any) -> Any:
    """Return how much of an energy may vary by rounding alone."""
    return energy * (16 * float(energy.__array_namespace__().finfo(energy.dtype).eps)) ** 2
