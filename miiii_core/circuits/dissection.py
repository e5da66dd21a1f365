"""One run dissected: its tasks broken by neurons and by subspaces, all its circuits, its sieve."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from ..milestones import GENERALISED
from ..network.model import Activations
from ..storage.saved import Run
from . import breaking, discovery, erasure, paths, primality
from .exam import Exam, Selectivity, Tensor, choosing_rows, make_exam, scoring_rows

DRAWS = 20  # random sets beside each chosen one


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

    def tail(self, exam: Exam) -> breaking.Tail:
        """What follows the ReLU, on the inputs of an exam."""
        return breaking.tail_of(self.activations, self.run.model, exam.rows)

    def stream(self, exam: Exam) -> tuple[erasure.Stream, Exam]:
        """The end of the residual stream on the inputs of an exam, and the exam."""
        model, sizes = self.run.model, exam.class_sizes
        return erasure.stream_of(self.activations, model, sizes, exam.rows), exam


@dataclass(frozen=True)
class Search:
    """All circuits of a run.

    Attributes:
        parts: What they are made of.
        left: What each circuit keeps of each task, on the inputs to choose by.
        found: The smallest for each task, and what automated methods pick.
        held_out: What each task's smallest circuit keeps of it on the inputs to score by; NaN
            for a task that no circuit keeps.
    """

    parts: paths.Parts
    left: Float[np.ndarray, "circuits tasks"]
    found: discovery.Found
    held_out: Float[np.ndarray, " tasks"]


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


def break_by_neurons(bench: Bench) -> Selectivity:
    """Break each task by neurons, chosen by evidence."""
    tail, every = bench.tail(bench.choosing), range(bench.share.shape[1])
    sets = [breaking.breaking_set(tail, bench.choosing, bench.share, i) for i in every]
    return breaking.selectivity(bench.tail(bench.scoring), bench.scoring, sets, draws=DRAWS)


@lru_cache(maxsize=1)
def break_by_subspaces(bench: Bench) -> erasure.Subspaces:
    """Break each task by directions of the residual stream; what became of the last is kept."""
    choosing, scoring = bench.stream(bench.choosing), bench.stream(bench.scoring)
    return erasure.break_each(choosing, scoring, draws=DRAWS)


def search_circuits(bench: Bench, groups: int = 3) -> Search:
    """Try all circuits of heads, paths and groups of neurons."""
    run, rows = bench.run, paths.search_rows(bench.run.task)
    exam = make_exam(run.task, bench.activations.logits, rows)
    members = paths.neuron_groups(bench.share, run.task.moduli, groups)

    def apart(rows: Tensor) -> paths.Parts:
        return paths.take_apart(bench.activations, run.model, run.task.digits, members, rows)

    parts, scored = apart(rows), apart(bench.scoring.rows)
    left = paths.try_all(parts, run.model, exam)
    found = discovery.find_circuits(left, paths.attributions(parts, run.model, exam))
    every = paths.all_circuits(len(parts.names)).astype(np.float32)
    held_out = np.full(len(exam.guess), np.nan)
    for i in np.flatnonzero(found.smallest >= 0):
        logits = paths.gated_logits(scored, run.model, every[found.smallest[i]])
        held_out[i] = bench.scoring.left(logits)[i]
    return Search(parts, left, found, held_out)


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
