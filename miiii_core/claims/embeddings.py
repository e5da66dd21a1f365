"""Claims about W_pos and W_E: places, singular values, and the Fourier basis."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..analysis.progress import fourier_gini
from ..analysis.spectral import (
    cosine_similarity,
    frequency_power,
    key_frequencies,
    pearson,
    ranks_for,
    singular_spectrum,
)
from ..storage.saved import Run
from .ledger import Claim, Measured, Values, Verdict, apart, decide

DRAWS = 50  # random orders of the digits to compare with

Embedding = Float[np.ndarray, "p d"]


def digits_embedding(run: Run) -> Embedding:
    """W_E without the read-out token's row."""
    return np.asarray(run.model.W_E)[: run.task.p]


def best_frequency_share(columns: Float[np.ndarray, "p columns"]) -> float:
    """Median over columns of the variance that a column's best frequency explains."""
    power = frequency_power(columns - columns.mean(axis=0))[1:]
    return float(np.median(power.max(axis=0) / power.sum(axis=0)))


def frequencies_for(embedding: Embedding, share: float = 0.9) -> float:
    """Fewest frequencies that hold a share of W_E's energy, as a share of all (p-1)/2."""
    energy = np.sort(key_frequencies(embedding).share)[::-1]
    return float((np.cumsum(energy) < share).sum() + 1) / (len(embedding) // 2)


def random_orders(
    measure: Callable[[np.ndarray], float], rows: Float[np.ndarray, "p columns"], seed: int = 0
) -> Float[np.ndarray, " draws"]:
    """What a measure of periodicity says when the digits stand in random order."""
    generator = np.random.default_rng(seed)
    return np.array([measure(generator.permutation(rows)) for _ in range(DRAWS)])


def half_of_left(run: Run) -> tuple[Float[np.ndarray, "p vectors"], int]:
    """The left singular vectors of W_E that hold half of σ², and p."""
    embedding = digits_embedding(run)
    spectrum = singular_spectrum(embedding)
    kept = int(ranks_for(spectrum.cumulative, 0.5))
    return np.asarray(spectrum.left)[:, :kept], len(embedding)


def _positions(run: Run, name: str) -> Measured:
    first, second = np.asarray(run.model.W_pos)[:2]
    return {
        f"Pearson, {name}": float(pearson(first, second)),
        f"cosine, {name}": float(cosine_similarity(first, second)),
    }


def _judge_positions(values: Values) -> Verdict:
    return decide(values["Pearson, T_nanda"] > 0.5, values["Pearson, T_miiii"] < 0)


def _ranks(run: Run, name: str) -> Measured:
    embedding = digits_embedding(run)
    cumulative = singular_spectrum(embedding).cumulative
    ranks = {percent: int(ranks_for(cumulative, percent / 100)) for percent in (50, 90)}
    return {f"ranks for {percent} %, {name}": many for percent, many in ranks.items()} | {
        f"the same over p, {percent} %, {name}": many / len(embedding)
        for percent, many in ranks.items()
    }


def _judge_ranks(values: Values) -> Verdict:
    return decide(
        *(
            values[f"the same over p, {percent} %, T_miiii"]
            > values[f"the same over p, {percent} %, T_nanda"]
            for percent in (50, 90)
        )
    )


def _vectors(run: Run, name: str) -> Measured:
    top, p = half_of_left(run)
    return {
        f"vectors over p, {name}": top.shape[1] / p,
        f"best frequency's share, {name}": best_frequency_share(top),
        f"largest in random order, {name}": random_orders(best_frequency_share, top).max(),
    }


def _judge_vectors(values: Values) -> Verdict:
    periodic = [
        values[f"best frequency's share, {name}"] > values[f"largest in random order, {name}"]
        for name in ("T_nanda", "T_miiii")
    ]
    return decide(*periodic, values["vectors over p, T_miiii"] > values["vectors over p, T_nanda"])


def _spectra(run: Run, name: str) -> Measured:
    embedding = digits_embedding(run)
    chance = random_orders(fourier_gini, embedding)
    return {
        f"key frequencies, {name}": int(key_frequencies(embedding).active.sum()),
        f"share for 90 %, {name}": frequencies_for(embedding),
        f"Gini, {name}": fourier_gini(embedding),
        f"mean Gini in random order, {name}": chance.mean(),
        f"largest Gini in random order, {name}": chance.max(),
    }


def _judge_spectra(values: Values) -> Verdict:
    floor = values["mean Gini in random order, T_basis"]
    few = values["share for 90 %, T_nanda"] <= 0.25
    more = values["share for 90 %, T_miiii"] > values["share for 90 %, T_nanda"]
    periodic = values["Gini, T_miiii"] > values["largest Gini in random order, T_miiii"]
    none = values["Gini, T_basis"] - floor < 0.25 * (values["Gini, T_miiii"] - floor)
    return decide(few, more and periodic, none)


CLAIMS = (
    Claim(
        key="positions",
        statement="the positional embeddings of the two digits are alike in T_nanda and opposed "
        "in T_miiii",
        source="Fig. 7",
        criterion="Pearson correlation over all dimensions above 0.5 in T_nanda, below 0 in "
        "T_miiii; partly: one of the two",
        judge=_judge_positions,
        measures=apart(_positions, "nanda", "miiii"),
        published={"Pearson, T_nanda": 0.95, "Pearson, T_miiii": -0.64},
        page="embeddings",
        figure="fig-positions",
    ),
    Claim(
        key="singular-values",
        statement="the singular values of W_E are more diffuse in T_miiii than in T_nanda",
        source="Fig. 8",
        criterion="more ranks for 50 % and for 90 % of σ², as shares of p; partly: one of the two",
        judge=_judge_ranks,
        measures=apart(_ranks, "nanda", "miiii"),
        published={},
        shown=tuple(
            f"the same over p, {percent} %, {name}"
            for percent in (50, 90)
            for name in ("T_nanda", "T_miiii")
        ),
        page="embeddings",
        figure="fig-singular-values",
    ),
    Claim(
        key="singular-vectors",
        statement="the leading left singular vectors of W_E are periodic in both, and T_miiii "
        "needs more of them",
        source="Figs. 9 and 10",
        criterion="of the vectors that hold half of σ²: the median share of a vector's best "
        f"frequency exceeds that of {DRAWS} random orders of the digits, in each; and T_miiii has "
        "more of them, as a share of p",
        judge=_judge_vectors,
        measures=apart(_vectors, "nanda", "miiii"),
        published={},
        shown=tuple(
            f"{what}, {name}"
            for what in ("best frequency's share", "largest in random order", "vectors over p")
            for name in ("T_nanda", "T_miiii")
        ),
        page="embeddings",
        figure="fig-vectors-miiii",
    ),
    Claim(
        key="embedding-spectra",
        statement="in the Fourier basis W_E has few dominant frequencies in T_nanda, far more in "
        "T_miiii, and none in T_basis",
        source="Figs. 11 to 13",
        criterion="few: a quarter of the frequencies or less holds 90 % of the energy; more: a "
        "larger share than that, and a Gini coefficient above all random orders; none: T_basis "
        "has less than a quarter of T_miiii's excess over random orders",
        judge=_judge_spectra,
        measures=apart(_spectra, "nanda", "miiii", "basis"),
        published={"key frequencies, T_nanda": 5},
        shown=(
            "share for 90 %, T_nanda",
            "share for 90 %, T_miiii",
            "Gini, T_miiii",
            "largest Gini in random order, T_miiii",
            "Gini, T_basis",
            "mean Gini in random order, T_basis",
        ),
        page="embeddings",
        figure="fig-fourier-embeddings",
    ),
)
