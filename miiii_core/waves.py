r"""Waves of n mod q: their table, what of anything lies along them, and how to take them out.

A function of $n \bmod q$ is a sum of waves $e^{2\pi i k n / q}$. With $n = x_0 + p x_1$ each is a
plane wave over both digits, of $k/q$ cycles per step of $x_0$ and $(pk \bmod q)/q$ per step of
$x_1$. All is over the numbers 0..n-1, ascending, as the inputs of a `tasks.Task` are. A projection
on waves of n mod q needs only means over the q remainders, so waves are written out over q numbers.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .fourier import Tensor, matmul

WORST_CONDITION = 1e10  # of a Gram matrix: above it a direction of the waves is mere rounding


class Waves(NamedTuple):
    """Waves of k/q cycles per step of n, each with its cosine and its sine (k/q = 1/2: cosine).

    Of k and q - k, which span the same, k is the smaller, in 1..q//2.
    """

    modulus: Int[np.ndarray, " waves"]
    k: Int[np.ndarray, " waves"]

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> "Waves":
        """Make waves of pairs (k, q); ValueError for a k outside 1..q//2."""
        if wrong := [(k, q) for k, q in pairs if not 1 <= k <= q // 2]:
            raise ValueError(f"waves (k, q) = {wrong} do not exist; k must lie in 1 to q//2")
        k, modulus = np.array(pairs, int).reshape(-1, 2).T
        return cls(modulus, k)


def waves_of(moduli: Sequence[int]) -> Waves:
    """Return all waves of some moduli: k = 1..q//2 of the first, then of the next."""
    return Waves.of([(k, q) for q in moduli for k in range(1, q // 2 + 1)])


def turns(waves: Waves, numbers: Int[Tensor, " n"]) -> Float[np.ndarray, "n waves"]:
    """Return (k·n mod q)/q in [0, 1): at which part of its cycle each wave is at some numbers.

    Numbers may be all inputs 0..p²-1; or for one digit x0, or p·x1; or x0 + x1 (with q = p). At
    1 and p a wave has its cycles per step of x0, k/q, and of x1, (pk mod q)/q.
    """
    # Whole numbers are reduced before the division, so that no digits are lost.
    product = np.asarray(numbers, np.int64)[:, None] * waves.k[None, :]
    return product % waves.modulus[None, :] / waves.modulus[None, :]


def columns(waves: Waves, numbers: Int[Tensor, " n"]) -> Float[np.ndarray, "n columns"]:
    """Return the cosine and then the sine of each wave at some numbers; for k/q = 1/2 the cosine.

    `owners` says which wave each column belongs to.
    """
    angles = 2 * np.pi * turns(waves, numbers)
    both = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return both.reshape(len(angles), -1)[:, _there(waves)]


def owners(waves: Waves) -> Int[np.ndarray, " columns"]:
    """Return the index of the wave that each of its `columns` belongs to."""
    return np.repeat(np.arange(len(waves.k)), 2)[_there(waves)]


def one_digit(waves: Waves, p: int) -> Waves:
    """Return the waves over one digit that occur in waves of n: k/q as x0 enters it, or x1.

    A table such as W_E is read by both digits and does not know which one asks.
    """
    q, k = np.tile(waves.modulus, 2), np.concatenate([waves.k, p * waves.k])
    k = np.minimum(k % q, -k % q)
    return Waves(*np.unique([q[k > 0], k[k > 0]], axis=1))  # of n mod p, x1 has none


def side_of(values: Float[Tensor, "n *rest"]) -> int:
    """Return the base p of values over all p² numbers; ValueError if there are not p² of them."""
    p = round(len(values) ** 0.5)
    if p * p != len(values):
        raise ValueError(f"{len(values)} rows were given; values over all inputs have p² of them")
    return p


def interaction(values: Float[Tensor, "n units"]) -> Float[Tensor, "n units"]:
    """Return what each unit does with both digits together, less all functions of one digit.

    Those, or a sum of two such, cannot tell n mod q apart: only this can. ValueError if there are
    not p² rows.
    """
    if values.ndim != 2:
        raise ValueError(f"values of shape {values.shape} were given; give axes (p² inputs, units)")
    p = side_of(values)
    grids = values.T.reshape(-1, p, p)  # axes unit, x1, x0
    rows = grids - grids.mean(axis=2, keepdims=True)
    return (rows - rows.mean(axis=1, keepdims=True)).reshape(-1, p * p).T


def class_means(
    values: Float[Tensor, "units n"], moduli: Sequence[int]
) -> Float[Tensor, "units n_classes"]:
    """Return the mean of each unit over all of 0..n-1 of each residue class, modulus by modulus.

    A modulus may be n at most.
    """
    modulus, residue = _classes(moduli)
    # Made from the numbers: as a constant it would be compiled in, 75 MB of it at p = 113.
    numbers = values.__array_namespace__().arange(values.shape[1], dtype=np.int32)
    member = (numbers[:, None] % modulus[None] == residue[None]).astype(values.dtype)
    return matmul(values, member) / member.sum(axis=0)[None]


def residue_shares(
    means: Float[Tensor, "units n_classes"], n: int, moduli: Sequence[int]
) -> Float[Tensor, "units moduli"]:
    r"""Return the variance between residue classes, $\mathrm{Var}(E[h | n \bmod q])$.

    Divided by the variance of h it is $\eta^2_q$, in [0, 1]; noise has (q - 1) / (n - 1) of it.
    The means are `class_means` over 0..n-1 of units whose mean over these is zero.
    """
    modulus, residue = _classes(moduli)
    weight = ((n - 1 - residue) // modulus + 1) / n
    return matmul(means**2, (modulus[:, None] == np.array(moduli)) * weight[:, None])


def wave_energy(
    means: Float[Tensor, "units n_classes"], moduli: Sequence[int]
) -> Float[Tensor, "units waves"]:
    r"""Return the mean square of each unit's projection on each wave, cos and sin added.

    From the class means $m_r$, $c_k = \frac1q \sum_r m_r e^{-2\pi i k r / q}$, and the energy is
    $2 |c_k|^2$ (q = 2: $|c_1|^2$), in the order of `waves_of`. Waves of one modulus are
    orthogonal up to the incomplete last period; of different moduli, nearly.
    """
    (modulus, residue), waves = _classes(moduli), waves_of(moduli)
    own = modulus[:, None] == waves.modulus[owners(waves)]
    met = matmul(means, np.where(own, columns(waves, residue), 0) / modulus[:, None])
    pairs = np.eye(len(waves.k))[owners(waves)] * np.where(2 * waves.k == waves.modulus, 1, 2)
    return matmul(met**2, pairs)


def gram(waves: Waves, n: int) -> Float[np.ndarray, "columns columns"]:
    """Return inner products over 0..n-1 of all `columns`, their means removed."""
    found = columns(waves, np.arange(n))
    found -= found.mean(axis=0)
    return found.T @ found


class Projection(NamedTuple):
    """The least-squares fit of each unit, its mean removed, by all waves together.

    Waves of two primes share a little, so that one hardly there may add less than nothing.
    """

    coefficients: Float[np.ndarray, "columns units"]  #: Of the `columns`, their means removed
    split: Float[np.ndarray, "waves units"]  #: What each wave adds to the explained variance
    variance: Float[np.ndarray, " units"]  #: Over all n


def project(values: Float[Tensor, "n units"], waves: Waves | Sequence[int]) -> Projection:
    """Fit each unit over 0..n-1 by some waves together, or by all waves of some moduli.

    ValueError for waves that so few numbers do not tell apart, such as one given twice.
    """
    chosen = waves if isinstance(waves, Waves) else waves_of(waves)
    rows, n = np.asarray(values, float), len(values)
    rows = rows - rows.mean(axis=0)
    met = np.empty((len(owners(chosen)), rows.shape[1]))
    for q, some, own in _by_modulus(chosen):
        periods = np.concatenate([rows, np.zeros((-n % q, rows.shape[1]))])
        sums = periods.reshape(-1, q, rows.shape[1]).sum(axis=0)
        met[own] = columns(some, np.arange(q)).T @ sums
    coefficients = _inverse(tuple(chosen.modulus.tolist()), tuple(chosen.k.tolist()), n) @ met
    split = np.zeros((len(chosen.k), rows.shape[1]))
    np.add.at(split, owners(chosen), coefficients * met / n)
    return Projection(coefficients, split, (rows**2).mean(axis=0))


def remove(values: Float[Tensor, "n units"], waves: Waves) -> Float[np.ndarray, "n units"]:
    """Return values over 0..n-1 without what some waves explain of them.

    The mean stays. For a table of digits, such as W_E[:p], give the waves of `one_digit`.
    """
    coefficients, fit = project(values, waves).coefficients, np.zeros(values.shape)
    for q, some, own in _by_modulus(waves):
        fit += (columns(some, np.arange(q)) @ coefficients[own])[np.arange(len(fit)) % q]
    return np.asarray(values, float) - (fit - fit.mean(axis=0))


@lru_cache(maxsize=4)
def _inverse(modulus: tuple[int, ...], k: tuple[int, ...], n: int) -> np.ndarray:
    """Return the inverse of the Gram matrix; ValueError if it is too ill-conditioned for one."""
    waves = Waves(np.array(modulus, int), np.array(k, int))
    products, apart = gram(waves, n), len(np.unique(waves.k / waves.modulus)) == len(k)
    if apart and len(products) < n:
        inverse = np.linalg.inv(products)
        if np.abs(products).max(initial=0) * np.abs(inverse).max(initial=0) < WORST_CONDITION:
            return inverse
    raise ValueError(
        f"{n} numbers do not tell {len(k)} waves apart; give others, fewer, or more numbers"
    )


def _by_modulus(waves: Waves) -> Iterator[tuple[int, Waves, Bool[np.ndarray, " columns"]]]:
    """Yield each modulus, its waves, and which columns of all are theirs."""
    for q in np.unique(waves.modulus):
        own = waves.modulus == q
        yield int(q), Waves(waves.modulus[own], waves.k[own]), own[owners(waves)]


def _there(waves: Waves) -> Bool[np.ndarray, " both"]:
    """Return which of a cosine and a sine for each wave are there: at half a cycle no sine is."""
    below_half = 2 * waves.k < waves.modulus
    return np.stack([np.full_like(below_half, True), below_half], axis=1).ravel()


def _classes(moduli: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the modulus and the remainder of each residue class, modulus after modulus."""
    residue = np.concatenate([np.arange(q, dtype=np.int32) for q in moduli])
    return np.repeat(np.array(moduli, np.int32), moduli), residue
