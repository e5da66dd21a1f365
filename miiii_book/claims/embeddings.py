"""Claims about W_pos and W_E: places, singular values, and the Fourier basis."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from miiii_core import fourier
from miiii_core.runs import Run

from .claim import Measured, each

DRAWS = 50  # random orders of the digits to compare with


def digits_embedding(run: Run) -> Float[np.ndarray, "p d"]:
    """Return W_E without the read-out token's row."""
    return np.asarray(run.model.W_E)[: run.task.p]


def best_frequency_share(columns: Float[np.ndarray, "p columns"]) -> float:
    """Return the median over columns of the variance that a column's best frequency explains."""
    power = fourier.frequency_power(columns - columns.mean(axis=0))[1:]
    return float(np.median(power.max(axis=0) / power.sum(axis=0)))


def frequencies_for(embedding: Float[np.ndarray, "p d"]) -> float:
    """Return the fewest frequencies that hold 90 % of W_E's energy, over all (p-1)/2."""
    energy = np.sort(fourier.key_frequencies(embedding).share)[::-1]
    return float((np.cumsum(energy) < 0.9).sum() + 1) / (len(embedding) // 2)


def random_orders(
    measure: Callable[[np.ndarray], float], rows: Float[np.ndarray, "p columns"]
) -> Float[np.ndarray, " draws"]:
    """Measure a table with its digits in one random order after another."""
    generator = np.random.default_rng(0)
    return np.array([measure(generator.permutation(rows)) for _ in range(DRAWS)])


def half_of_left(run: Run) -> Float[np.ndarray, "p vectors"]:
    """Return the left singular vectors of W_E that hold half of σ²."""
    spectrum = fourier.singular_spectrum(digits_embedding(run))
    return spectrum.left[:, : fourier.ranks_for(spectrum.cumulative, 0.5)]


def _positions(run: Run) -> Measured:
    first, second = np.asarray(run.model.W_pos)[:2]
    return {"Pearson": fourier.pearson(first, second)}


def _ranks(run: Run) -> Measured:
    energy, p = fourier.singular_spectrum(digits_embedding(run)).cumulative, run.task.p
    return {f"ranks for {n} %, over p": fourier.ranks_for(energy, n / 100) / p for n in (50, 90)}


def _vectors(run: Run) -> Measured:
    top = half_of_left(run)
    return {
        "vectors over p": top.shape[1] / len(top),
        "best frequency's share": best_frequency_share(top),
        "largest in random order": random_orders(best_frequency_share, top).max(),
    }


def _spectra(run: Run) -> Measured:
    embedding = digits_embedding(run)
    gini, chance = fourier.fourier_gini(embedding), random_orders(fourier.fourier_gini, embedding)
    return {
        "key frequencies": fourier.key_frequencies(embedding).active.sum(),
        "share for 90 %": frequencies_for(embedding),
        "Gini": gini,
        "Gini above random orders": gini - chance.mean(),
        "largest Gini in random order": chance.max(),
    }


MEASURES = {
    "positions": each(_positions, "nanda", "miiii", "nanda-as-miiii"),
    "singular-values": each(_ranks, "nanda", "miiii"),
    "singular-vectors": each(_vectors, "nanda", "miiii"),
    "embedding-spectra": each(_spectra, "nanda", "miiii", "basis"),
}
