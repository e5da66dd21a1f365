"""Claims of ours: what T_miiii looks like in the waves of n mod q, in place of the p-DFT's."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Array, Float, Int

from miiii_core.fourier import ranks_for
from miiii_core.losses import GENERALISED
from miiii_core.model import logit_map
from miiii_core.runs import Run
from miiii_core.shares import chance, compare, levels, prime_anova, unit_grids
from miiii_core.waves import Projection, interaction, owners, project, waves_of

from ..products import remainder_clusters
from ..rules import DRAWS, standing, standings, trial
from .claim import Measured, activations, beside, median, require_course
from .neurons import generalising, records_at
from .variations import order_of

EPOCHS, PREFIX = "snapshot_epoch", "counts/"  # what a run records: the epochs, and the counts
Pairs = Float[np.ndarray, " pairs"]
COUNTED = 256  # units in random order that tell chance
LARGE = 60  # primes above it are learned last
SHARE = 0.9  # share of the energy of a task's waves that counts as all of it


def wave_history(run: Run) -> tuple[Int[np.ndarray, " t"], dict[str, Float[np.ndarray, " t"]]]:
    """Return the epochs at which the waves of a run are known, and each of `count_waves` there.

    A shipped run brings the counts along, as its snapshots would take 57 MB. Of another the
    snapshots are measured now; `CannotTell` if there are fewer than two.
    """
    recorded = [name for name in run.metrics if name.startswith(PREFIX)]
    epochs = np.array(run.metrics[EPOCHS] if recorded else run.snapshot_epochs, int)
    require_course(run, len(epochs))
    if recorded:
        return epochs, {name.removeprefix(PREFIX): run.metrics[name] for name in recorded}
    found = []
    for epoch in run.snapshot_epochs:
        neurons = run.snapshot(epoch).activations(run.task.digits).neurons
        found.append(count_waves(neurons, run.task.moduli, np.random.default_rng(0)))
    return epochs, {name: np.array([each[name] for each in found]) for name in found[0]}


def count_waves(
    neurons: Float[np.ndarray | Array, "n neurons"],
    moduli: Sequence[int],
    draw: np.random.Generator,
) -> dict[str, float]:
    """Count the waves of n mod q in the interaction part of a neuron, mean over all neurons.

    Those above chance, ``active``; those above μ + 2σ of their neuron, ``by_rule``, which is the
    paper's (Fig. 16) with other waves; and those above chance in neurons in random order,
    ``by_chance``: what is meant by none, and near `shares.FALSE_FINDS` if the levels are right.
    Chance is known from `COUNTED` units in random order, and checked on as many others.
    """
    parts = np.asarray(interaction(neurons))
    found = prime_anova(parts, moduli)
    if not len(found.numbers):
        return dict.fromkeys(("active", "by_rule", "by_chance"), 0.0)
    alive, units = parts[:, found.numbers], parts.shape[1]
    above = levels(chance(alive, moduli, draw, COUNTED))
    fresh = chance(alive, moduli, draw, COUNTED).waves > above.waves
    mean, spread = (f(found.waves, axis=1, keepdims=True) for f in (np.mean, np.std))
    return {
        "active": float((found.waves > above.waves).sum() / units),
        "by_rule": float((found.waves > mean + 2 * spread).sum() / units),
        "by_chance": float(fresh.sum() / len(fresh)),
    }


def task_spaces(fit: Projection, moduli: Sequence[int]) -> list[Float[np.ndarray, "rank d"]]:
    """Return for each task orthonormal rows that hold `SHARE` of its waves in a stream.

    The fit is that of all coordinates by all waves together: those of two primes share a little.
    """
    spaces, waves = [], waves_of(moduli)
    for q in moduli:
        own = fit.coefficients[waves.modulus[owners(waves)] == q]
        _, size, right = np.linalg.svd(own, full_matrices=False)
        spaces.append(right[: counted(size**2)])
    return spaces


def counted(energy: Float[np.ndarray, " parts"]) -> int:
    """Count how many of the largest parts hold `SHARE` of the sum; 0 if there is nothing."""
    total = energy.sum()
    return ranks_for(np.cumsum(np.sort(energy)[::-1]) / total, SHARE) if total > 0 else 0


def overlaps(bases: Sequence[Float[np.ndarray, "_ d"]]) -> Pairs:
    r"""Return $d \, \mathrm{tr}(P_q P_r) / (\mathrm{rank}_q \mathrm{rank}_r)$ of pairs of spaces.

    It is 0 at right angles, 1 as by chance, and d over the larger rank if one lies in the other.
    A space is given by orthonormal rows.
    """
    common = [((a @ b.T) ** 2).sum() / max(1, len(a) * len(b)) for a, b in combinations(bases, 2)]
    return bases[0].shape[1] * np.array(common)


def random_overlaps(ranks: Sequence[int], d: int, draw: np.random.Generator) -> Pairs:
    """Return the same for spaces of these ranks, d at most, in random position: the control."""
    return overlaps([np.linalg.qr(draw.normal(size=(d, rank)))[0].T for rank in ranks])


def _purity(run: Run) -> Measured:
    grids = unit_grids(run.task, activations(run).neurons)
    found = compare(grids, run.task.moduli, np.random.default_rng(0), DRAWS)
    numbers = {}
    for part in ("whole", "both"):
        families = found.right, found.grid, *found.wrong
        right, grid, *wrong = (np.median(getattr(family, part)) for family in families)
        numbers[f"pairs of n mod q, {part}"] = right
        numbers[f"pairs of the p-DFT, {part}"] = grid
        numbers[f"largest with wrong partners, {part}"] = max(wrong)
    return numbers


def _counts(run: Run) -> Measured:
    epochs, found = wave_history(run)
    waves, early = found["active"], records_at(epochs)[2]
    return {
        "waves above chance, first": waves[0],
        "waves above chance, most": waves.max(),
        "waves above chance, last": waves[-1],
        "early over last": waves[early] / max(waves[-1], 1e-9),
        "peak (epoch)": epochs[waves.argmax()],
        **generalising(run),
    }


def _service(run: Run) -> Measured:
    parts = np.asarray(interaction(activations(run).neurons))
    found = prime_anova(parts, run.task.moduli)
    above = levels(chance(parts, run.task.moduli, np.random.default_rng(0)))
    many = (found.primes > above.primes).sum(axis=1)
    serving, largest = many > 0, found.primes.max(axis=1) / found.primes.sum(axis=1)
    return {
        "neurons with a prime above chance": serving.sum(),
        "neurons with exactly one prime": (many == 1).sum(),
        "largest prime over all": median(largest[serving]),
    }


def _spaces(run: Run) -> Measured:
    moduli, generator = run.task.moduli, np.random.default_rng(0)
    stream = np.asarray(interaction(activations(run).resid_post))
    bases = task_spaces(project(stream, moduli), moduli)
    d, ranks = stream.shape[1], [len(basis) for basis in bases]
    drawn = [np.median(random_overlaps(ranks, d, generator)) for _ in range(DRAWS)]
    return {
        "dimensions of the stream": d,
        "waves there are": sum(moduli) - len(moduli),
        "directions of all tasks": sum(ranks),
        "median overlap": np.median(overlaps(bases)),
        "least overlap by chance": min(drawn),
    }


def _formula(run: Run) -> Measured:
    found = trial(activations(run).logits, run.task)
    solved = run.metrics.split("accuracy", "validation")[-1] >= GENERALISED
    weakest = int(np.argmin(found.network))
    return {
        "tasks generalised": solved.sum(),
        "logits explained by the formula": median(found.explained[solved]),
        "weakest task, mod": run.task.moduli[weakest],
        "weakest task, accuracy": found.network[weakest],
        "weakest task, by its cosines": found.formula[weakest],
        "weakest task, explained by its cosines": found.explained[weakest],
    }


def _standing(run: Run) -> Measured:
    found, large = standing(activations(run).logits, run.task), np.array(run.task.moduli) > LARGE
    accuracy = run.metrics.split("accuracy", "validation")[-1][large]
    return {
        "large primes": len(accuracy),
        "rank correlation with accuracy": order_of(accuracy, found.margin[large])[0],
        "least accuracy of large primes": accuracy.min(initial=1.0),
    }


def _memory(run: Run) -> Measured:
    require_course(run, len(run.snapshot_epochs))
    large, (_, found) = np.array(run.task.moduli) > LARGE, standings(run)
    by_heart = [median(each[large]) for each in found.by_heart]
    return {
        "large primes": large.sum(),
        "nats by heart, most": max(by_heart),
        "nats by heart, last": by_heart[-1],
        "margin of the rule, last": median(found.margin[-1, large]),
        "mean validation accuracy": run.metrics.split("accuracy", "validation")[-1].mean(),
    }


def _products(run: Run) -> Measured:
    neurons = activations(run).neurons
    clusters = remainder_clusters(run.task, neurons, logit_map(run.model))
    sizes = [len(cluster.neurons) for cluster in clusters]
    # Without a cluster nothing is aligned and nothing wanted is written.
    own, other = (
        np.average([c.aligned(shift) for c in clusters], weights=sizes) if clusters else 0.0
        for shift in (0, 1)
    )
    alone, together = (
        median([c.patterns(together=all_).wanted for c in clusters]) for all_ in (False, True)
    )
    return {
        "share of neurons in clusters": sum(sizes) / neurons.shape[1],
        "phases written as computed": own,
        "phases written as another neuron computes": other,
        "wanted wave, single neurons": alone,
        "wanted wave, clusters": together,
    }


MEASURES = {
    "remainder-blocks": beside(_purity, "miiii"),
    "wave-counts": beside(_counts, "miiii"),
    "prime-neurons": beside(_service, "miiii"),
    "few-frequencies": beside(_spaces, "miiii"),
    "cosine-formula": beside(_formula, "miiii"),
    "standing": beside(_standing, "miiii"),
    "memory": beside(_memory, "miiii-fast"),
    "wave-products": beside(_products, "miiii"),
}
