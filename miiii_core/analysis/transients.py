"""Waves of n mod q that come and stay in the neurons, and waves that come and go.

What counts was fixed on one run, the small one of T_miiii that the book embeds, before any
other was looked at and before any wave was clamped, but for `ORDERS`. Neurons read one stream and
are alike, so that chance alone gives a wave to many at once; what chance gives is found with all
of them in one random order. That was seen when all seeds had been.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..milestones import GENERALISED
from .anova import interaction_of, prime_anova, side_of
from .atoms import Waves, waves_of

Tensor = np.ndarray | Array
PRESENT = 1.5  # times the level of chance, from which a wave may count as there
ORDERS = 100  # random ones of the digits, whose strongest wave is what chance can do
WHOLE = 0.99  # of the energy, which the leading directions of the neurons hold together
FALLEN = 0.25  # of its peak, below which a wave that is gone was transient
KEPT = 0.5  # of its peak, above which a wave that is there has stayed


class Strengths(NamedTuple):
    """What the neurons of one moment have of each wave.

    Attributes:
        energy: Mean square of the interaction part along each wave, summed over neurons.
        total: Mean square of the interaction part, summed over neurons.
        chance: The most that any wave has in any of `ORDERS` random orders of the digits, as a
            multiple of its `chance_share`.
    """

    energy: Float[np.ndarray, " waves"]
    total: float
    chance: float


class Split(NamedTuple):
    """Waves by what becomes of them; those of neither kind were never there or did both.

    Attributes:
        waves: Which there are.
        present: Whether each is there, moment by moment: stronger than `PRESENT` times its
            share by chance, and than any was in a random order.
        transient: Present at some moment, gone at the last, with less than `FALLEN` of the peak.
        persistent: Present at the last moment with more than `KEPT` of the peak.
    """

    waves: Waves
    present: Bool[np.ndarray, "moments waves"]
    transient: Bool[np.ndarray, " waves"]
    persistent: Bool[np.ndarray, " waves"]


def strengths(neurons: Float[Tensor, "n units"], moduli: Sequence[int]) -> Strengths:
    """How strong each wave is in the interaction part of the neurons.

    Args:
        neurons: After the ReLU, one row for each number 0..p²-1.
        moduli: What to divide by.
    """
    both = interaction_of(neurons)
    found = prime_anova(both, moduli)
    total = float(found.variance.sum())
    chance = strongest_by_chance(both, moduli) if total else 0.0
    return Strengths(found.variance @ found.waves, total, chance)


def chance_share(moduli: Sequence[int], p: int) -> Float[np.ndarray, " waves"]:
    """Share of the interaction that a wave has if each neuron's digits are in random order.

    The interaction part has (p - 1)² dimensions, of which a wave has two (q = 2: one), but for
    what a wave has of one digit alone.
    """
    return np.where(waves_of(moduli).modulus == 2, 1, 2) / (p - 1) ** 2


def strongest_by_chance(both: Float[Tensor, "n units"], moduli: Sequence[int]) -> float:
    """The most that any wave has of the interaction in any of `ORDERS` random orders of the digits.

    All units are put in the same order, a random one for each digit, as they read one stream and
    have much in common. The same orders are taken each time.

    Args:
        both: The `interaction_of` some units, which must not all be zero.
        moduli: What to divide by.

    Returns:
        A multiple of `chance_share`.
    """
    p, waves, generator = side_of(both), waves_of(moduli), np.random.default_rng(0)
    turns = 2 * np.pi * (np.outer(waves.k, np.arange(p * p)) % waves.modulus[:, None])
    turns /= waves.modulus[:, None]
    columns = np.concatenate([np.cos(turns), np.sin(turns)]).astype(np.float32)
    parts = _leading(np.asarray(both, np.float32))
    size = np.where(waves.modulus == 2, 1, 2) / chance_share(moduli, p) / len(parts) ** 2
    most = 0.0
    for _ in range(ORDERS):
        high, low = generator.permutation(p), generator.permutation(p)
        along = columns @ parts[(high[:, None] * p + low).reshape(-1)]
        energy = (along**2).sum(axis=1, dtype=float).reshape(2, -1).sum(axis=0)
        most = max(most, float((energy * size).max()))
    return most / float((parts**2).mean(axis=0, dtype=float).sum())


def _leading(both: Float[np.ndarray, "n units"]) -> Float[np.ndarray, "n directions"]:
    """Units turned into directions of falling energy, as many as hold `WHOLE` of it."""
    energy, directions = np.linalg.eigh(np.asarray(both.T @ both, float))
    held = np.cumsum(energy[::-1]) / energy.sum()
    count = int(np.searchsorted(held, WHOLE)) + 1
    return both @ directions[:, : -count - 1 : -1].astype(np.float32)


def split_waves(
    energy: Float[np.ndarray, "moments waves"],
    total: Float[np.ndarray, " moments"],
    chance: Float[np.ndarray, " moments"],
    moduli: Sequence[int],
    p: int,
) -> Split:
    """Split waves into transient and persistent ones by their strengths through training.

    Args:
        energy: `Strengths.energy` of each moment, in order of time.
        total: `Strengths.total` of each moment.
        chance: `Strengths.chance` of each moment.
        moduli: As given to `strengths`.
        p: Base of the digits.

    Raises:
        ValueError: if there are no moments, or not one column for each wave.
    """
    level, found = chance_share(moduli, p), np.asarray(energy, float)
    if found.shape != (len(total), len(level)) or not len(total):
        raise ValueError(
            f"energy of shape {found.shape} and {len(total)} totals were given; these moduli take "
            f"(moments, {len(level)}) and one total for each of one or more moments"
        )
    needed = np.maximum(PRESENT, chance) * np.asarray(total)
    present = found > needed[:, None] * level
    peak = np.where(present, found, 0).max(axis=0)
    gone = present.any(axis=0) & ~present[-1] & (found[-1] < FALLEN * peak)
    return Split(waves_of(moduli), present, gone, present[-1] & (found[-1] > KEPT * peak))


def spike_of(split: Split, accuracy: Float[np.ndarray, "moments tasks"]) -> int:
    """The moment to look at: first with most transient waves while some task is not learned.

    Args:
        split: Of the waves.
        accuracy: On validation inputs at each moment.

    Raises:
        ValueError: if there was no such moment: no transient wave, or all learned before.
    """
    count = split.present[:, split.transient].sum(axis=1)
    count = np.where((accuracy < GENERALISED).any(axis=1), count, 0)
    if not count.any():
        raise ValueError("no transient wave was present while a task was left to learn")
    return int(count.argmax())


def matched(
    chosen: Bool[np.ndarray, " waves"],
    pool: Bool[np.ndarray, " waves"],
    waves: Waves,
    generator: np.random.Generator,
) -> Int[np.ndarray, " drawn"]:
    """As many waves from a pool, of the same moduli where it has enough of them.

    A task with few waves misses each of them more: so that sets are comparable, a wave of q is
    matched by one of q. What a modulus has not got is drawn from the rest of the pool.

    Args:
        chosen: The set to match.
        pool: Where to draw; what is chosen is left out.
        waves: Which there are.
        generator: Of the draw.

    Returns:
        Indices, ascending; fewer than chosen if the pool is too small.
    """
    left = set(np.flatnonzero(pool & ~chosen).tolist())
    drawn: list[int] = []
    for q in np.unique(waves.modulus[chosen]):
        own = [i for i in sorted(left) if waves.modulus[i] == q]
        wanted = min(len(own), int((waves.modulus[chosen] == q).sum()))
        drawn += generator.choice(own, wanted, replace=False).tolist() if wanted else []
    left -= set(drawn)
    missing = min(int(chosen.sum()) - len(drawn), len(left))
    drawn += generator.choice(sorted(left), missing, replace=False).tolist() if missing else []
    return np.sort(np.array(drawn, int))


def fractions(
    waves: Waves, indices: Sequence[int] | Int[np.ndarray, " some"]
) -> list[tuple[int, int]]:
    """The waves of some indices as pairs (k, q)."""
    return [(int(waves.k[i]), int(waves.modulus[i])) for i in indices]
