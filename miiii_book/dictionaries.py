r"""How few waves a table of digits is made of, if they may be of any frequency.

From one digit, waves at $k/q$ of different primes are almost parallel, so a table such as W_E
does not say which of them it is made of. It can be asked how many it takes: waves are chosen one
after another from a dictionary of frequencies, each time the one that explains most of what is
left. A richer dictionary always needs fewer, so it is compared with others of its size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from miiii_core.fourier import ranks_for
from miiii_core.waves import waves_of

Tensor = np.ndarray | Array
Frequencies = Float[np.ndarray, " _"]  # in cycles per digit step
SPANNED = 1e-9  # share of a column's length squared below which a direction is rounding


class Chosen(NamedTuple):
    """Frequencies in the order of their choice, and the share of variance explained so far."""

    frequencies: Frequencies
    explained: Float[np.ndarray, " steps"]


def choose_waves(table: Float[Tensor, "p d"], frequencies: Frequencies, steps: int) -> Chosen:
    """Pick waves by orthogonal matching pursuit, each with cos and sin, for all columns at once.

    Args:
        table: One row a digit; column means are removed.
        frequencies: Frequencies to choose from.
        steps: Number of waves to choose; (p - 1) / 2 at most leave anything to explain.
    """
    left = np.asarray(table, float) - np.asarray(table, float).mean(axis=0)
    p, whole = len(left), (left**2).sum()
    angles = 2 * np.pi * np.outer(frequencies, np.arange(p))
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    waves, picks, shares = waves - waves.mean(axis=2, keepdims=True), [], [0.0]
    for _ in range(min(steps, (p - 1) // 2)):
        rows = _orthonormal(waves)
        energy = ((rows.reshape(-1, p) @ left) ** 2).sum(axis=1).reshape(-1, 2).sum(axis=1)
        best = int(energy.argmax())
        taken = rows[best]
        waves = waves - waves @ taken.T @ taken
        left = left - taken.T @ (taken @ left)
        picks.append(frequencies[best])
        shares.append(shares[-1] + energy[best] / whole)
    return Chosen(np.array(picks), np.array(shares[1:]))


def _orthonormal(waves: Float[np.ndarray, "waves 2 p"]) -> Float[np.ndarray, "waves 2 p"]:
    """Turn both rows of each wave into orthonormal ones; zero for a direction of rounding."""
    size, turn = np.linalg.eigh(waves @ waves.transpose(0, 2, 1))
    there = size > SPANNED * waves.shape[2]
    scale = np.where(there, 1 / np.sqrt(np.where(there, size, 1)), 0)
    return scale[:, :, None] * (turn.transpose(0, 2, 1) @ waves)


class Dictionaries(NamedTuple):
    """The same table by the waves of three kinds of dictionary.

    Attributes:
        grid: Waves of the p-DFT, j/p cycles per digit step.
        remainders: Waves of n mod q, k/q cycles per digit step.
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
    """Choose waves for a table from each dictionary, as many as the p-DFT has.

    Random frequencies lie between 1/p and 1/2, and are as many as there are waves of n mod q.
    """
    p, waves = len(table), waves_of(moduli)
    own, count = waves.k / waves.modulus, (p - 1) // 2
    others = [generator.uniform(1 / p, 0.5, len(own)) for _ in range(draws)]
    return Dictionaries(
        choose_waves(table, np.arange(1, (p + 1) // 2) / p, count),
        choose_waves(table, own, count),
        np.array([choose_waves(table, other, count).explained for other in others]),
    )


def needed(explained: Float[np.ndarray, " steps"], share: float) -> int:
    """Count how many of the chosen waves explain a share; all of them if they do not."""
    return int(ranks_for(explained, share))
