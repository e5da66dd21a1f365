r"""How few waves a table of digits is made of, if they may be of any frequency.

From one digit, waves at $k/q$ of different primes are almost parallel, so a table such as W_E
does not say which of them it is made of. It can be asked how many it takes: waves are chosen
one after another from a dictionary of frequencies, each time the one that explains most of
what is left. A richer dictionary always needs fewer, so it is compared with others of its size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from .atoms import waves_of
from .spectral import ranks_for

Tensor = np.ndarray | Array
SPANNED = 1e-9  # of a wave's length squared, below which a direction is rounding


class Chosen(NamedTuple):
    """Frequencies in the order of their choice, and the share of variance explained so far."""

    frequencies: Float[np.ndarray, " steps"]
    explained: Float[np.ndarray, " steps"]


def dft_frequencies(p: int) -> Float[np.ndarray, " waves"]:
    """Those of the p-DFT: j/p cycles per digit step, j = 1..(p-1)/2."""
    return np.arange(1, (p + 1) // 2) / p


def remainder_frequencies(moduli: Sequence[int]) -> Float[np.ndarray, " waves"]:
    """Those of n mod q for all moduli: k/q cycles per digit step, k = 1..q//2."""
    q, k = waves_of(moduli)
    return k / q


def random_frequencies(
    count: int, p: int, generator: np.random.Generator
) -> Float[np.ndarray, " waves"]:
    """So many at random from 1/p to 1/2 cycles per digit step: the control.

    Raises:
        ValueError: for less than one, or fewer than three digits.
    """
    if count < 1 or p < 3:
        raise ValueError(
            f"count={count}, p={p} will not do; ask for one or more, of 3 digits or more"
        )
    return generator.uniform(1 / p, 0.5, count)


def choose_waves(
    table: Float[Tensor, "p d"], frequencies: Float[np.ndarray, " waves"], steps: int
) -> Chosen:
    """Pick waves from a dictionary, each with cos and sin, for all columns of a table at once.

    Orthogonal matching pursuit: of what the waves before left, the next explains most.

    Args:
        table: One row a digit; column means are removed.
        frequencies: To choose from, in cycles per digit step.
        steps: How many to choose; fewer if nothing is left to explain.

    Raises:
        ValueError: for a table that does not vary, or no steps.
    """
    digits = np.asarray(table, float)
    digits = digits - digits.mean(axis=0)
    whole = (digits**2).sum()
    if whole == 0 or steps < 1:
        raise ValueError(f"steps={steps} of a table of size {whole:g}; both must be above 0")
    waves = _columns(len(digits), frequencies)
    met = digits @ (digits.T @ waves)  # what each wave meets of what is left to explain
    picks, shares = [], [0.0]
    for _ in range(min(steps, (len(digits) - 1) // 2)):
        energy = _explained(waves, met)
        best = int(energy.argmax())
        waves, met = _without(best, waves, met)
        picks.append(frequencies[best])
        shares.append(shares[-1] + energy[best] / whole)
    return Chosen(np.array(picks), np.array(shares[1:]))


class Dictionaries(NamedTuple):
    """The same table by the waves of three kinds of dictionary.

    Attributes:
        grid: Those of the p-DFT.
        remainders: Those of n mod q.
        random: Share explained by as many at random, axes (draw, step).
    """

    grid: Chosen
    remainders: Chosen
    random: Float[np.ndarray, "draws steps"]


def compare_dictionaries(
    table: Float[Tensor, "p d"],
    moduli: Sequence[int],
    generator: np.random.Generator,
    draws: int = 20,
) -> Dictionaries:
    """Choose waves for a table from each dictionary, as many as the p-DFT has."""
    p = len(table)
    own, count = remainder_frequencies(moduli), (p - 1) // 2
    others = [random_frequencies(len(own), p, generator) for _ in range(draws)]
    return Dictionaries(
        choose_waves(table, dft_frequencies(p), count),
        choose_waves(table, own, count),
        np.array([choose_waves(table, other, count).explained for other in others]),
    )


def needed(explained: Float[np.ndarray, " steps"], share: float) -> int:
    """How many of the chosen waves explain a share, or all of them if they do not."""
    return int(ranks_for(explained, share))


def _columns(p: int, frequencies: np.ndarray) -> Float[np.ndarray, "2 p waves"]:
    """Cos and sin of each frequency, their means removed."""
    turns = 2 * np.pi * np.arange(p)[:, None] * frequencies[None, :]
    columns = np.stack([np.cos(turns), np.sin(turns)])
    return columns - columns.mean(axis=1, keepdims=True)


def _explained(
    waves: Float[np.ndarray, "2 p waves"], met: Float[np.ndarray, "2 p waves"]
) -> Float[np.ndarray, " waves"]:
    """Energy that cos and sin of each wave explain together, by 2 x 2 normal equations.

    Of a wave that those before it span, wholly or but for one direction, only that counts.
    """
    cos, sin = waves
    a, b, c = ((x * y).sum(axis=0) for x, y in ((cos, cos), (cos, sin), (sin, sin)))
    alpha, beta, gamma = (
        (x * y).sum(axis=0) for x, y in ((cos, met[0]), (cos, met[1]), (sin, met[1]))
    )
    area, floor = a * c - b * b, SPANNED * len(cos)
    two = area > floor * (a + c)
    both = (c * alpha - 2 * b * beta + a * gamma) / np.where(two, area, 1)
    one = [
        np.where(x > floor, y / np.where(x > floor, x, 1), 0) for x, y in ((a, alpha), (c, gamma))
    ]
    return np.where(two, both, np.maximum(*one))


def _without(
    best: int, waves: Float[np.ndarray, "2 p waves"], met: Float[np.ndarray, "2 p waves"]
) -> tuple[Float[np.ndarray, "2 p waves"], Float[np.ndarray, "2 p waves"]]:
    """Waves, and what they meet, with the directions of one wave taken out of both.

    With L what is left to explain and P = 1 - tᵀt, L becomes PLP. Nowhere is L needed
    itself: L t is as much of what the wave met as t is of the wave.
    """
    wave, own = waves[:, :, best], met[:, :, best]
    size, turn = np.linalg.eigh(wave @ wave.T)
    there = size > SPANNED * wave.shape[1]
    parts = turn[:, there].T / np.sqrt(size[there])[:, None]
    taken, seen = parts @ wave, parts @ own
    across = taken @ waves
    met = met - seen.T @ across
    return waves - taken.T @ across, met - taken.T @ (taken @ met)
