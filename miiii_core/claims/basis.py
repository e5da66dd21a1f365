"""Claims of ours: what T_miiii looks like in the waves of n mod q, in place of the p-DFT's."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..analysis.anova import (
    Anova,
    Levels,
    active,
    chance,
    interaction_of,
    levels,
    prime_anova,
)
from ..analysis.blocks import unit_grids
from ..analysis.dictionaries import Dictionaries, compare_dictionaries, needed
from ..analysis.pairs import Purity, compare
from ..analysis.projections import project
from ..analysis.subspaces import TaskSpace, overlaps, pairs_of, random_overlaps, task_spaces
from ..circuits import history
from ..storage.saved import Run
from .ledger import OURS, Claim, Measure, Measured, Values, Verdict, decide, mostly
from .neurons import spiked

DRAWS = 20  # random controls
SHARE = 0.9


def purity_numbers(own: Purity, grid: Purity, wrong: list[Purity]) -> Measured:
    """The median neuron in its best block: of n mod q, of the p-DFT, and of wrong pairs."""
    numbers: dict[str, float] = {}
    for part in Purity._fields:
        numbers[f"pairs of n mod q, {part}"] = float(np.median(getattr(own, part)))
        numbers[f"pairs of the p-DFT, {part}"] = float(np.median(getattr(grid, part)))
        mixed = [float(np.median(getattr(draw, part))) for draw in wrong]
        numbers[f"largest with wrong partners, {part}"] = max(mixed)
    return numbers


def _purity(run: Run) -> Measured:
    grids = unit_grids(run.task, run.activations().neurons)
    found = compare(grids, run.task.moduli, np.random.default_rng(0), DRAWS)
    return purity_numbers(found.right, found.grid, found.wrong)


def _judge_purity(values: Values) -> Verdict:
    def purer(part: str) -> bool:
        own = values[f"pairs of n mod q, {part}"]
        other = values[f"pairs of the p-DFT, {part}"]
        return own > max(other, values[f"largest with wrong partners, {part}"])

    return decide(
        values["pairs of n mod q, whole"] >= 0.5,
        purer("whole"),
        values["pairs of n mod q, both"] >= 0.5,
        purer("both"),
    )


def embedding_numbers(found: Dictionaries) -> Measured:
    """How many waves W_E is made of, by each dictionary, and the least by random ones.

    Fewer than of the p-DFT is easily had: it has fewer waves to choose from than the others, so
    the draws of random frequencies that need fewer are counted.
    """
    grid = needed(found.grid.explained, SHARE)
    at_random = [needed(draw, SHARE) for draw in found.random]
    return {
        "waves of the p-DFT": grid,
        "waves of n mod q": needed(found.remainders.explained, SHARE),
        "least waves at random": min(at_random),
        "random dictionaries": len(at_random),
        "of these, fewer waves than the p-DFT": sum(waves < grid for waves in at_random),
    }


def _embedding(run: Run) -> Measured:
    table = np.asarray(run.model.W_E)[: run.task.p]
    generator = np.random.default_rng(0)
    return embedding_numbers(compare_dictionaries(table, run.task.moduli, generator, DRAWS))


def _judge_embedding(values: Values) -> Verdict:
    return decide(
        values["waves of n mod q"] < values["waves of the p-DFT"],
        values["waves of n mod q"] < values["least waves at random"],
    )


def count_numbers(
    active_waves: Float[np.ndarray, " moments"], by_rule: Float[np.ndarray, " moments"]
) -> Measured:
    """Whether waves per neuron rise and fall, by either count, in the course of training."""
    return {
        "waves above chance, last": float(active_waves[-1]),
        "waves above chance, most": float(active_waves.max()),
        "spike": spiked(active_waves),
        "waves above μ + 2σ, last": float(by_rule[-1]),
        "waves above μ + 2σ, most": float(by_rule.max()),
        "spike, μ + 2σ": spiked(by_rule),
    }


def _counts(run: Run) -> Measured:
    found = history.recall(run, "counts", history.known_epochs(run))
    return count_numbers(found["active"], found["by_rule"])


def _judge_counts(values: Values) -> Verdict:
    return decide(mostly(values["spike"]), mostly(values["spike, μ + 2σ"]))


def service_numbers(found: Anova, above: Levels) -> Measured:
    """How many primes a neuron has more of than chance, and how much the largest is of all."""
    primes = active(found, above).primes
    serving = primes.any(axis=1)
    largest = found.primes.max(axis=1) / found.primes.sum(axis=1)
    return {
        "neurons": len(found.numbers),
        "with a prime above chance": int(serving.sum()),
        "with exactly one": int((primes.sum(axis=1) == 1).sum()),
        "primes of the median one": float(np.median(primes[serving].sum(axis=1)))
        if serving.any()
        else 0.0,
        "largest prime over all": float(np.median(largest[serving])) if serving.any() else 0.0,
    }


def _service(run: Run) -> Measured:
    parts = np.asarray(interaction_of(run.activations().neurons))
    null = chance(parts, run.task.moduli, np.random.default_rng(0))
    return service_numbers(prime_anova(parts, run.task.moduli), levels(null))


def _judge_service(values: Values) -> Verdict:
    return decide(
        values["with exactly one"] >= 0.5 * values["with a prime above chance"],
        values["largest prime over all"] >= 0.5,
        given=values["with a prime above chance"] > 0,
    )


def space_numbers(spaces: list[TaskSpace]) -> Measured:
    """Directions and waves that tasks take, and how much their spaces share."""
    d, generator = spaces[0].directions.shape[1], np.random.default_rng(0)
    ranks = [len(space.directions) for space in spaces]
    chances = [np.median(pairs_of(random_overlaps(ranks, d, generator))) for _ in range(DRAWS)]
    return {
        "dimensions of the stream": d,
        "waves there are": sum(space.modulus - 1 for space in spaces),
        "directions of all tasks": sum(ranks),
        "median overlap": float(np.median(pairs_of(overlaps(spaces)))),
        "least overlap by chance": float(min(chances)),
    }


def _spaces(run: Run) -> Measured:
    stream = np.asarray(interaction_of(run.activations().resid_post))
    return space_numbers(task_spaces(project(stream, run.task.moduli), run.task.moduli))


def _judge_spaces(values: Values) -> Verdict:
    return decide(
        values["directions of all tasks"] <= values["dimensions of the stream"],
        values["median overlap"] < values["least overlap by chance"],
        given=values["waves there are"] > values["dimensions of the stream"],
    )


def ours(
    key: str,
    statement: str,
    criterion: str,
    judge: Callable[[Values], Verdict],
    of: Callable[[Run], Measured],
    figure: str,
    snapshots: bool = False,
) -> Claim:
    """A claim of ours about one run of T_miiii: the paper has no number for it."""
    measures = (Measure(needs=("miiii",), of=of, snapshots=snapshots),)
    return Claim(
        key=key, statement=statement, source=OURS, criterion=criterion, judge=judge,
        measures=measures, published={}, page="basis", figure=figure,
    )  # fmt: skip


CLAIMS = (
    ours(
        "remainder-blocks",
        "a neuron of T_miiii is a block of one wave of n mod q, and purer in these waves than in "
        "the p-DFT's",
        "the median neuron has half of its variance in its best block of a pair that n mod q "
        "asks for; more than in the best of the p-DFT and than in the best of as many with wrong "
        "partners, in each of 20 draws; and the same for the interaction part alone; partly: some",
        _judge_purity,
        _purity,
        "fig-purity",
    ),
    ours(
        "remainder-embedding",
        "that W_E of T_miiii needs many frequencies is leakage: waves at k/q describe it with "
        "fewer",
        "chosen one by one, fewer waves at k/q hold 90 % of the variance than waves at j/p, and "
        "fewer than from each of 20 dictionaries of as many random frequencies; partly: one, of "
        "which the first alone says little (the numbers count random dictionaries that do so too)",
        _judge_embedding,
        _embedding,
        "fig-dictionaries",
    ),
    ours(
        "spike-in-waves",
        "the ω-spike is there too when waves of n mod q are counted",
        "mean over all neurons of the waves in the interaction part: a peak above the first "
        "count and a quarter above the last, with waves above chance, found by random order of "
        "the digits, and with waves above μ + 2σ; partly: one of the two",
        _judge_counts,
        _counts,
        "fig-wave-counts",
        snapshots=True,
    ),
    ours(
        "one-task-neurons",
        "a neuron of T_miiii serves one task",
        "of the neurons with more of some n mod q than chance, half or more have exactly one "
        "such q; and in the median one the largest holds half of what all primes hold together; "
        "partly: one of the two",
        _judge_service,
        _service,
        "fig-prime-anova",
    ),
    ours(
        "few-frequencies",
        "more waves than dimensions fit into the stream of T_miiii by few frequencies for each "
        "task, at right angles, and not by superposition",
        "the directions that hold 90 % of each task's waves are no more, all tasks added, than "
        "the stream has dimensions; and the median pair of tasks overlaps less than in each of 20 "
        "sets of random spaces; not testable with fewer waves than dimensions",
        _judge_spaces,
        _spaces,
        "fig-overlaps",
    ),
)
