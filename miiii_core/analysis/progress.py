"""Progress measures of modular addition: what of the logits lies along its own waves.

A network that adds modulo p through frequencies w writes cos(w(x0 + x1 - c)). Along the
inputs those are two directions for each frequency, cos and sin of w(x0 + x1): keep nothing
else (restricted), or take just them out (excluded), and score what is left.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .spectral import fourier_1d, fourier_basis, gini

Tensor = np.ndarray | Array


def sum_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "n waves"]:
    """Waves cos and sin of 2πk(x0 + x1)/p over the p² inputs for each k, columns of length 1.

    Raises:
        ValueError: for a frequency outside 1..(p-1)/2.
    """
    _check_frequencies(p, frequencies)
    numbers = np.arange(p**2)
    angles = 2 * np.pi * (np.outer(numbers % p + numbers // p, np.asarray(frequencies, int)) % p)
    both = np.stack([np.cos(angles / p), np.sin(angles / p)], axis=-1)
    return np.sqrt(2) / p * both.reshape(p**2, -1)


def block_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "n waves"]:
    """All that one frequency can do over the p² inputs: {1, cos, sin}⊗{1, cos, sin} less 1⊗1.

    Eight orthonormal columns for each k, of which `sum_waves` spans two. What neurons hold is
    looked for here, as they have waves of one digit and of the difference too.

    Raises:
        ValueError: for a frequency outside 1..(p-1)/2.
    """
    _check_frequencies(p, frequencies)
    basis = fourier_basis(p)
    rows = [(i, j) for i in range(3) for j in range(3) if i or j]
    columns = [
        np.outer(own[j], own[i]).ravel()  # rows are n = x0 + p·x1: x0 runs fastest
        for own in (basis[[0, 2 * k - 1, 2 * k]] for k in frequencies)
        for i, j in rows
    ]
    return np.array(columns).reshape(-1, p * p).T


@jax.jit
def cross_entropy(
    logits: Float[Tensor, "n classes"], targets: Int[Tensor, " n"]
) -> Float[Array, " n"]:
    """Loss of each input in nats, with all its digits however small it is.

    In single precision 1 + x is 1 for an x below 6e-8, so the right class's own part is kept
    out of the sum: ln(Σ e^z) = ln(1 + (Σ_others e^z + e^z_right - 1)), z less its maximum.
    """
    values = jnp.asarray(logits)
    shifted = values - values.max(axis=1, keepdims=True)
    is_right = jnp.arange(values.shape[1])[None] == jnp.asarray(targets)[:, None]
    right = jnp.where(is_right, shifted, 0).sum(axis=1)
    others = jnp.where(is_right, 0, jnp.exp(shifted)).sum(axis=1)
    return jnp.log1p(others + jnp.expm1(right)) - right


def restricted(
    values: Float[Tensor, "n columns"], waves: Float[Tensor, "inputs waves"]
) -> Float[Tensor, "n columns"]:
    """Only what orthonormal waves over the inputs explain of each column, its mean put back.

    Source: Nanda et al. (2023), restricted loss, where the columns are logits.
    """
    _check_waves(values, waves)
    return values.mean(axis=0, keepdims=True) + waves @ (waves.T @ values)


def excluded(
    values: Float[Tensor, "n columns"], waves: Float[Tensor, "inputs waves"]
) -> Float[Tensor, "n columns"]:
    """Each column without what orthonormal waves over the inputs explain of it.

    Source: Nanda et al. (2023), excluded loss, where the columns are logits.
    """
    _check_waves(values, waves)
    return values - waves @ (waves.T @ values)


def addition_shares(
    logits: Float[Tensor, "n p"], frequencies: Sequence[int]
) -> Float[np.ndarray, " frequencies"]:
    r"""Share of the variance of T_nanda's logits along $\cos(w_k (x_0 + x_1 - c))$, for each k.

    Variance is over inputs, the mean of each class removed.

    Source: Nanda et al. (2023), whose mechanism writes just these functions of input and class.
    """
    p = logits.shape[1]
    waves = sum_waves(p, frequencies)
    values = np.asarray(logits, float)
    centred = values - values.mean(axis=0, keepdims=True)
    angles = 2 * np.pi * (np.outer(np.asarray(frequencies, int), np.arange(p)) % p) / p
    classes = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.sqrt(2 / p)
    along = np.einsum("kwc,kwc->k", (waves.T @ centred).reshape(classes.shape), classes)
    return along**2 / 2 / max((centred**2).sum(), np.finfo(float).tiny)


def _check_frequencies(p: int, frequencies: Sequence[int]) -> None:
    """Refuse a frequency that p digits do not have."""
    wrong = [k for k in frequencies if not 1 <= k <= (p - 1) // 2]
    if wrong:
        raise ValueError(f"frequencies {wrong} will not do; at p = {p} take 1 to {(p - 1) // 2}")


def _check_waves(values: Tensor, waves: Tensor) -> None:
    """One row for each input, and the waves orthonormal, as far as they are known yet."""
    if len(values) != len(waves):
        raise ValueError(f"{len(values)} rows of values and {len(waves)} of waves; give as many")
    if isinstance(waves, jax.core.Tracer):
        return
    if not np.allclose(waves.T @ waves, np.eye(waves.shape[1]), atol=1e-5):
        raise ValueError("the waves are not orthonormal columns; see sum_waves, or orthonormalise")


def fourier_gini(columns: Float[Tensor, "p columns"]) -> float:
    """Gini coefficient of the norms of Fourier components over p rows, the constant left out.

    Source: Nanda et al. (2023), of W_E and W_L, as a measure of how few frequencies are used.
    """
    return float(gini(np.linalg.norm(np.asarray(fourier_1d(np.asarray(columns)))[1:], axis=1)))
