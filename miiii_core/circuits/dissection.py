"""One run dissected: its tasks broken by neurons and by subspaces, all its circuits, its sieve."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from ..milestones import GENERALISED
from ..network.model import Activations
from ..storage.saved import Run
from . import breaking, discovery, erasure, paths, primality
from .exam import Exam, Selectivity, Tensor, choosing_rows, make_exam, scoring_rows

DRAWS = 20  # random sets beside each chosen one
OUTSIDE = 2048  # inputs held out that circuits are judged on, at most


@dataclass(frozen=True, eq=False)
class Bench:
    """A run laid out for dissection.

    Attributes:
        run: The run.
        activations: Over all inputs.
        choosing: Inputs trained on, to choose parts by.
        scoring: Inputs held out, to score by.
        share: Each neuron's share of each task's evidence, on the inputs to choose by.
    """

    run: Run
    activations: Activations
    choosing: Exam
    scoring: Exam
    share: Float[np.ndarray, "neurons tasks"]

    @property
    def solved(self) -> Bool[np.ndarray, " tasks"]:
        """Tasks that the intact network has solved, on inputs held out."""
        return self.scoring.whole >= GENERALISED

    def tail(self, exam: Exam, fill: str = "mean") -> breaking.Tail:
        """What follows the ReLU, on the inputs of an exam."""
        return breaking.tail_of(self.activations, self.run.model, exam.rows, fill)

    def stream(self, exam: Exam, fill: str = "mean") -> tuple[erasure.Stream, Exam]:
        """The end of the residual stream on the inputs of an exam, and the exam."""
        model, sizes = self.run.model, exam.class_sizes
        return erasure.stream_of(self.activations, model, sizes, exam.rows, fill), exam


@dataclass(frozen=True)
class Search:
    """All circuits of a run.

    Attributes:
        parts: What they are made of.
        left: What each circuit keeps of each task, on the inputs to choose by.
        chosen: The smallest for each task, and what automated methods pick, on these inputs.
        found: The same with the smallest that keeps its task on inputs held out as well.
        held_out: What each of the chosen circuits keeps of its task on inputs held out, axes (way,
            task); NaN where there is none.
    """

    parts: paths.Parts
    left: Float[np.ndarray, "circuits tasks"]
    chosen: discovery.Found
    found: discovery.Found
    held_out: Float[np.ndarray, "ways tasks"]


@lru_cache(maxsize=1)
def lay_out(run: Run) -> Bench:
    """Compute all that the dissections of a run have in common; that of the last run is kept."""
    activations, task = run.activations(), run.task
    choosing, scoring = (
        make_exam(task, activations.logits, rows)
        for rows in (choosing_rows(task), scoring_rows(task))
    )
    tail = breaking.tail_of(activations, run.model, choosing.rows)
    found = breaking.evidence(tail, choosing.targets, task.class_sizes)
    return Bench(run, activations, choosing, scoring, breaking.shares(found))


@lru_cache(maxsize=1)
def neuron_sets(bench: Bench) -> list[Int[np.ndarray, " _"]]:
    """The neurons that break each task, chosen by evidence; those of the last run are kept."""
    tail, every = bench.tail(bench.choosing), range(bench.share.shape[1])
    return [breaking.breaking_set(tail, bench.choosing, bench.share, i) for i in every]


def break_by_neurons(bench: Bench, fill: str = "mean") -> Selectivity:
    """Break each task by the neurons of `neuron_sets`, set to their means, or to zero."""
    tail = bench.tail(bench.scoring, fill)
    return breaking.selectivity(tail, bench.scoring, neuron_sets(bench), draws=DRAWS)


@lru_cache(maxsize=1)
def break_by_subspaces(bench: Bench) -> erasure.Subspaces:
    """Break each task by directions of the residual stream; what became of the last is kept."""
    choosing, scoring = bench.stream(bench.choosing), bench.stream(bench.scoring)
    return erasure.break_each(choosing, scoring, draws=DRAWS)


def search_circuits(bench: Bench, groups: int = 3) -> Search:
    """Try all circuits of heads, paths and groups of neurons, and the best of them once more."""
    run, rows = bench.run, paths.search_rows(bench.run.task)
    members = paths.neuron_groups(bench.share, run.task.moduli, groups)
    choosing, judging = (
        make_exam(run.task, bench.activations.logits, some)
        for some in (rows, scoring_rows(run.task, OUTSIDE))
    )
    parts, others = (
        paths.take_apart(bench.activations, run.model, run.task.digits, members, exam.rows)
        for exam in (choosing, judging)
    )
    left = paths.try_all(parts, run.model, choosing)
    chosen = discovery.find_circuits(left, paths.attributions(parts, run.model, choosing))
    every = paths.all_circuits(len(parts.names)).astype(np.float32)

    @cache
    def outside(circuit: int) -> Float[np.ndarray, " tasks"]:
        return judging.left(paths.gated_logits(others, run.model, every[circuit]))

    smallest = discovery.confirmed(left, chosen, outside)
    held_out = [
        [outside(int(circuit))[i] if circuit >= 0 else np.nan for i, circuit in enumerate(way)]
        for way in chosen
    ]
    found = chosen._replace(smallest=smallest)
    return Search(parts, left, chosen, found, np.array(held_out))


@dataclass(frozen=True)
class Sieve:
    """What a run calls prime, whole and with each task broken.

    Attributes:
        numbers: All numbers below p².
        prime: Which are prime.
        called: Which the intact network calls prime.
        broken: Which it calls prime with each task broken.
        guarded: Composites that each task alone refuses.
    """

    numbers: np.ndarray
    prime: Bool[np.ndarray, " n"]
    called: Bool[np.ndarray, " n"]
    broken: Bool[np.ndarray, "tasks n"]
    guarded: Bool[np.ndarray, "tasks n"]

    @property
    def slipped(self) -> Bool[np.ndarray, "tasks n"]:
        """Composites that slip through once a task is broken, and did not before."""
        return self.broken & ~self.called & ~self.prime


def sieve_numbers(bench: Bench, erasures: Sequence[erasure.Erasure]) -> Sieve:
    """Use a run as a sieve over all numbers, whole and with each task's directions erased."""
    task, model = bench.run.task, bench.run.model
    numbers, moduli, sizes = np.arange(task.p**2), task.moduli, task.class_sizes
    every = erasure.stream_of(bench.activations, model, sizes, numbers)

    def called(logits: Float[Tensor, "n n_classes"]) -> Bool[np.ndarray, " n"]:
        return primality.called_prime(primality.said_to_divide(logits, sizes), numbers, moduli)

    broken = np.stack([called(every.without(erased)) for erased in erasures])
    truth, guarded = primality.sieve(numbers, moduli), primality.guarded_by(numbers, moduli)
    return Sieve(numbers, truth, called(every.logits), broken, guarded)
