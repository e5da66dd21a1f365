"""Claims about W_pos and W_E: places, singular values, and the Fourier basis."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from miiii_core import fourier
from miiii_core.chance import DRAWS
from miiii_core.runs import Run

from .claim import Measured, each

Embedding = Float[np.ndarray, "p d"]


def digits_embedding(run: Run) -> Embedding:
    """Return W_E without the read-out token's row."""
    return np.asarray(run.model.W_E)[: run.task.p]


def best_frequency_share(columns: Float[np.ndarray, "p columns"]) -> float:
    """Return the median over columns of the variance that a column's best frequency explains."""
    power = fourier.frequency_power(columns - columns.mean(axis=0))[1:]
    return float(np.median(power.max(axis=0) / power.sum(axis=0)))


def frequencies_for(embedding: Embedding, share: float = 0.9) -> float:
    """Return the fewest frequencies that hold a share of W_E's energy, over all (p-1)/2."""
    energy = np.sort(fourier.key_frequencies(embedding).share)[::-1]
    return float((np.cumsum(energy) < share).sum() + 1) / (len(embedding) // 2)


def random_orders(
    measure: Callable[[np.ndarray], float], rows: Float[np.ndarray, "p columns"]
) -> Float[np.ndarray, " draws"]:
    """Measure a table with its digits in one random order after another."""
    generator = np.random.default_rng(0)
    return np.array([measure(generator.permutation(rows)) for _ in range(DRAWS)])


def half_of_left(run: Run) -> Float[np.ndarray, "p vectors"]:
    """Return the left singular vectors of W_E that hold half of σ²."""
    spectrum = fourier.singular_spectrum(digits_embedding(run))
    return np.asarray(spectrum.left)[:, : int(fourier.ranks_for(spectrum.cumulative, 0.5))]


def _positions(run: Run, name: str) -> Measured:
    first, second = np.asarray(run.model.W_pos)[:2]
    return {
        f"Pearson, {name}": float(fourier.pearson(first, second)),
        f"cosine, {name}": float(fourier.cosine_similarity(first, second)),
    }


def _ranks(run: Run, name: str) -> Measured:
    embedding = digits_embedding(run)
    cumulative = fourier.singular_spectrum(embedding).cumulative
    ranks = {percent: int(fourier.ranks_for(cumulative, percent / 100)) for percent in (50, 90)}
    return {f"ranks for {percent} %, {name}": many for percent, many in ranks.items()} | {
        f"the same over p, {percent} %, {name}": many / len(embedding)
        for percent, many in ranks.items()
    }


def _vectors(run: Run, name: str) -> Measured:
    top = half_of_left(run)
    return {
        f"vectors over p, {name}": top.shape[1] / len(top),
        f"best frequency's share, {name}": best_frequency_share(top),
        f"largest in random order, {name}": random_orders(best_frequency_share, top).max(),
    }


def _spectra(run: Run, name: str) -> Measured:
    embedding = digits_embedding(run)
    chance = random_orders(fourier.fourier_gini, embedding)
    return {
        f"key frequencies, {name}": int(fourier.key_frequencies(embedding).active.sum()),
        f"share for 90 %, {name}": frequencies_for(embedding),
        f"Gini, {name}": fourier.fourier_gini(embedding),
        f"Gini above random orders, {name}": fourier.fourier_gini(embedding) - chance.mean(),
        f"mean Gini in random order, {name}": chance.mean(),
        f"largest Gini in random order, {name}": chance.max(),
    }


MEASURES = {
    "positions": each(_positions, "nanda", "miiii", "nanda-as-miiii"),
    "singular-values": each(_ranks, "nanda", "miiii"),
    "singular-vectors": each(_vectors, "nanda", "miiii"),
    "embedding-spectra": each(_spectra, "nanda", "miiii", "basis"),
}
