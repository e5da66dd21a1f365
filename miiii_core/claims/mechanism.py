"""Claims of ours: how T_miiii computes, in formulas for its logits and products in its neurons."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from ..addition.formation import logit_map
from ..addition.trigonometry import Cluster
from ..circuits.formula import Trial, trial
from ..circuits.products import remainder_clusters
from ..milestones import GENERALISED
from ..storage.saved import Run
from .basis import ours
from .ledger import Measured, Values, Verdict, decide


def trial_numbers(found: Trial, generalised: Bool[np.ndarray, " tasks"]) -> Measured:
    """Over the tasks that generalised: what the formula explains, and what it is good for.

    What is left without others' waves, those that a task does not use, is the median over tasks
    with enough of them; 0 if there is none.
    """
    blank = not generalised.any()
    chosen = np.ones_like(generalised) if blank else generalised
    shares = found.explained[chosen]
    above = (found.network - found.guess)[chosen]
    above = np.where(above > 0, above, np.inf)
    unused = np.median(found.unused, axis=0)  # NaN for a task without a control
    left, others = ((x - found.guess)[chosen] / above for x in (found.left, unused))
    others = others[np.isfinite(others)]
    return {
        "tasks generalised": int(generalised.sum()),
        "logits explained by the formula": float(np.median(shares)),
        "the same, least": float(shares.min()),
        "least accuracy of the formula": float(found.formula[chosen].min()),
        "accuracy left without own waves": float(np.median(left)),
        "accuracy left without others' waves": float(np.median(others)) if len(others) else 0.0,
    }


def _formula(run: Run) -> Measured:
    solved = run.metrics.split("accuracy", "validation")[-1] >= GENERALISED
    found = trial(run.activations().logits, run.task, np.random.default_rng(0))
    return trial_numbers(found, solved)


def _judge_formula(values: Values) -> Verdict:
    needed_by_network = values["accuracy left without own waves"] <= 0.5
    spared = values["accuracy left without others' waves"] >= 0.9
    return decide(
        values["logits explained by the formula"] >= 0.9,
        values["least accuracy of the formula"] >= 0.99,
        needed_by_network and spared,
        given=values["tasks generalised"] > 0,
    )


def product_numbers(clusters: Sequence[Cluster], neurons: int) -> Measured:
    """Over the neurons that multiply two waves of one n mod q: phases, and what they add up to.

    Args:
        clusters: Of these neurons.
        neurons: Of the model.
    """
    sizes = [len(cluster.neurons) for cluster in clusters]
    # Without a cluster nothing is aligned and nothing wanted is written.
    return {
        "share of neurons in clusters": sum(sizes) / neurons,
        "clusters": len(clusters),
        "phases written as computed": _mean([c.written_aligned for c in clusters], sizes),
        "as computed by another neuron": _mean(
            [c.written_aligned_control for c in clusters], sizes
        ),
        "wanted wave, single neurons": float(np.median([c.alone.wanted for c in clusters] or 0)),
        "wanted wave, clusters": float(np.median([c.together.wanted for c in clusters] or 0)),
    }


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights)) if values else 0.0


def _products(run: Run) -> Measured:
    neurons = run.activations().neurons
    clusters = remainder_clusters(run.task, neurons, logit_map(run.model))
    return product_numbers(clusters, neurons.shape[1])


def _judge_products(values: Values) -> Verdict:
    written = values["phases written as computed"] >= 0.9
    own = values["as computed by another neuron"] <= 0.5
    crowd = values["wanted wave, clusters"] >= 0.9
    return decide(
        values["share of neurons in clusters"] >= 0.5,
        written and own,
        crowd and values["wanted wave, single neurons"] <= 0.5,
    )


CLAIMS = (
    ours(
        "cosine-formula",
        "T_miiii answers n mod q by sums of cosines of 2πk(n - c)/q, as the mechanism of Nanda et "
        "al. would",
        "over the tasks that generalised: the cosines used make up 90 % of the variance of the "
        "median task's logits; alone they answer every task with accuracy 0.99 (which holds by "
        "construction where amplitudes are above 0); and the median task loses half of its "
        "accuracy above guessing without its waves, and less than a tenth without as many that it "
        "does not use (at first: of other tasks, which could not fail); partly: some",
        _judge_formula,
        _formula,
        "fig-formula",
    ),
    ours(
        "wave-products",
        "T_miiii does with waves of n mod q the trigonometry that Nanda et al. found with waves of "
        "n mod p: a neuron multiplies two and writes the phase of their sum, and the neurons of "
        "one wave together cancel what is not wanted",
        "half of the neurons have half of their interaction part in the products of one pair of "
        "waves that n mod q asks for; over these, the mean cosine between the phase computed and "
        "the phase written is at least 0.9, and at most 0.5 with the phase that the next neuron of "
        "the same wave writes; and of what the products of the median wave's neurons write, 90 % "
        "is the wanted wave, where of single neurons it is half at most; partly: some (written "
        "after the numbers of seed 0 were seen)",
        _judge_products,
        _products,
        "fig-products",
    ),
)
