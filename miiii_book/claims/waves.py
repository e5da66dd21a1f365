"""Claims of ours: what T_miiii looks like in the waves of n mod q, in place of the p-DFT's."""

import numpy as np

from miiii_core.chance import active, chance, levels
from miiii_core.model import logit_map
from miiii_core.runs import Run
from miiii_core.schedule import GENERALISED
from miiii_core.shares import Purity, compare, interaction_of, prime_anova, unit_grids
from miiii_core.waves import project

from ..dictionaries import compare_dictionaries, needed
from ..history import known_epochs, recall
from ..products import remainder_clusters
from ..rules import trial
from ..subspaces import overlaps, pairs_of, random_overlaps, task_spaces
from .claim import Measured, Rules, Values, activations, decide, measure, mostly, require_course
from .neurons import spiked

DRAWS = 20  # random controls
SHARE = 0.9  # of the variance of W_E that waves shall hold


def _purity(run: Run) -> Measured:
    grids = unit_grids(run.task, activations(run).neurons)
    found = compare(grids, run.task.moduli, np.random.default_rng(0), DRAWS)
    numbers = {}
    for part in Purity._fields:
        right, grid, *wrong = (
            float(np.median(getattr(one, part))) for one in (found.right, found.grid, *found.wrong)
        )
        numbers[f"pairs of n mod q, {part}"] = right
        numbers[f"pairs of the p-DFT, {part}"] = grid
        numbers[f"largest with wrong partners, {part}"] = max(wrong)
    return numbers


def _purer(v: Values, part: str) -> bool:
    others = v[f"pairs of the p-DFT, {part}"], v[f"largest with wrong partners, {part}"]
    return v[f"pairs of n mod q, {part}"] > max(others)


def _embedding(run: Run) -> Measured:
    table, generator = np.asarray(run.model.W_E)[: run.task.p], np.random.default_rng(0)
    found = compare_dictionaries(table, run.task.moduli, generator, DRAWS)
    grid, at_random = needed(found.grid.explained, SHARE), [needed(x, SHARE) for x in found.random]
    return {
        "waves of the p-DFT": grid,
        "waves of n mod q": needed(found.remainders.explained, SHARE),
        "least waves at random": min(at_random),
        "random dictionaries": len(at_random),
        "of these, fewer waves than the p-DFT": sum(waves < grid for waves in at_random),
    }


def _counts(run: Run) -> Measured:
    require_course(run, len(known_epochs(run, "counts")))
    found = recall(run, "counts")
    above, by_rule = found["active"], found["by_rule"]
    return {
        "waves above chance, last": above[-1],
        "waves above chance, most": above.max(),
        "spike": spiked(above),
        "waves above μ + 2σ, last": by_rule[-1],
        "waves above μ + 2σ, most": by_rule.max(),
        "spike, μ + 2σ": spiked(by_rule),
    }


def _service(run: Run) -> Measured:
    parts = np.asarray(interaction_of(activations(run).neurons))
    found = prime_anova(parts, run.task.moduli)
    above = levels(chance(parts, run.task.moduli, np.random.default_rng(0)))
    many = active(found, above).primes.sum(axis=1)
    serving, largest = many > 0, found.primes.max(axis=1) / found.primes.sum(axis=1)
    some = serving.any()
    return {
        "neurons": len(found.numbers),
        "with a prime above chance": int(serving.sum()),
        "with exactly one": int((many == 1).sum()),
        "primes of the median one": float(np.median(many[serving])) if some else 0.0,
        "largest prime over all": float(np.median(largest[serving])) if some else 0.0,
    }


def _spaces(run: Run) -> Measured:
    moduli, generator = run.task.moduli, np.random.default_rng(0)
    stream = np.asarray(interaction_of(activations(run).resid_post))
    bases = [space.directions for space in task_spaces(project(stream, moduli), moduli)]
    d, ranks = stream.shape[1], [len(basis) for basis in bases]
    drawn = [np.median(pairs_of(random_overlaps(ranks, d, generator))) for _ in range(DRAWS)]
    return {
        "dimensions of the stream": d,
        "waves there are": sum(moduli) - len(moduli),
        "directions of all tasks": sum(ranks),
        "median overlap": float(np.median(pairs_of(overlaps(bases)))),
        "least overlap by chance": min(drawn),
    }


def _formula(run: Run) -> Measured:
    solved = run.metrics.split("accuracy", "validation")[-1] >= GENERALISED
    found = trial(activations(run).logits, run.task, np.random.default_rng(0))
    chosen = solved if solved.any() else np.ones_like(solved)
    above = found.network - found.guess
    above = np.where(above > 0, above, np.inf)
    left, others = (
        ((accuracy - found.guess) / above)[chosen]
        for accuracy in (found.left, np.median(found.unused, axis=0))
    )
    others = others[np.isfinite(others)]  # a task that uses most of its waves has no control
    return {
        "tasks generalised": int(solved.sum()),
        "logits explained by the formula": float(np.median(found.explained[chosen])),
        "the same, least": found.explained[chosen].min(),
        "least accuracy of the formula": found.formula[chosen].min(),
        "accuracy left without own waves": float(np.median(left)),
        "accuracy left without others' waves": float(np.median(others)) if len(others) else 0.0,
    }


def _products(run: Run) -> Measured:
    neurons = activations(run).neurons
    clusters = remainder_clusters(run.task, neurons, logit_map(run.model))
    sizes = [len(cluster.neurons) for cluster in clusters]
    # Without a cluster nothing is aligned and nothing wanted is written.
    own, other = (
        float(np.average([c.aligned(shift) for c in clusters], weights=sizes)) if clusters else 0.0
        for shift in (0, 1)
    )
    alone, together = (
        float(np.median([c.patterns(together=all_).wanted for c in clusters] or 0))
        for all_ in (False, True)
    )
    return {
        "share of neurons in clusters": sum(sizes) / neurons.shape[1],
        "clusters": len(clusters),
        "phases written as computed": own,
        "as computed by another neuron": other,
        "wanted wave, single neurons": alone,
        "wanted wave, clusters": together,
    }


RULES: Rules = {
    "remainder-blocks": (
        measure(_purity, "miiii"),
        lambda v: decide(
            v["pairs of n mod q, whole"] >= 0.5,
            _purer(v, "whole"),
            v["pairs of n mod q, both"] >= 0.5,
            _purer(v, "both"),
        ),
    ),
    "remainder-embedding": (
        measure(_embedding, "miiii"),
        lambda v: decide(
            v["waves of n mod q"] < v["waves of the p-DFT"],
            v["waves of n mod q"] < v["least waves at random"],
        ),
    ),
    "spike-in-waves": (
        measure(_counts, "miiii"),
        lambda v: decide(mostly(v["spike"]), mostly(v["spike, μ + 2σ"])),
    ),
    "one-task-neurons": (
        measure(_service, "miiii"),
        lambda v: decide(
            v["with exactly one"] >= 0.5 * v["with a prime above chance"],
            v["largest prime over all"] >= 0.5,
            given=v["with a prime above chance"] > 0,
        ),
    ),
    "few-frequencies": (
        measure(_spaces, "miiii"),
        lambda v: decide(
            v["directions of all tasks"] <= v["dimensions of the stream"],
            v["median overlap"] < v["least overlap by chance"],
            given=v["waves there are"] > v["dimensions of the stream"],
        ),
    ),
    "cosine-formula": (
        measure(_formula, "miiii"),
        lambda v: decide(
            v["logits explained by the formula"] >= 0.9,
            v["least accuracy of the formula"] >= 0.99,
            v["accuracy left without own waves"] <= 0.5
            and v["accuracy left without others' waves"] >= 0.9,
            given=v["tasks generalised"] > 0,
        ),
    ),
    "wave-products": (
        measure(_products, "miiii"),
        lambda v: decide(
            v["share of neurons in clusters"] >= 0.5,
            v["phases written as computed"] >= 0.9 and v["as computed by another neuron"] <= 0.5,
            v["wanted wave, clusters"] >= 0.9 and v["wanted wave, single neurons"] <= 0.5,
        ),
    ),
}
