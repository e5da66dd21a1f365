"""Break one task and spare the others: by its neurons, or by its directions of the stream.

What is counted is accuracy above guessing, as a share of what the intact network has.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from miiii_core.losses import GENERALISED
from miiii_core.model import Activations
from miiii_core.runs import Run
from miiii_core.tasks import Task

from .rules import DRAWS, SAMPLE, Tensor, scoring_rows

Units = Int[np.ndarray, " _"]
Basis = Float[np.ndarray, "_ d_model"]  # orthonormal directions of the stream
Parts = Units | Basis  # to take out
Logits = Float[np.ndarray, "rows n_classes"]
PRICES = (0.0, 1.0, 2.0, 4.0)  # of the others' evidence, in units of their mean share
BROKEN = 0.1  # share of its accuracy above guessing up to which a task counts as broken
KEPT = 0.9  # share from which it counts as kept
DOSES = 64  # number of sizes of sets that are tried first, evenly spaced


class HeldOut(NamedTuple):
    """Inputs to choose or to score by, and how the intact network does there."""

    rows: Int[np.ndarray, " rows"]  #: Numbers of the inputs
    targets: Int[np.ndarray, "rows tasks"]  #: The right class of each task there
    columns: tuple[slice, ...]  #: Packed columns of each task
    guess: Float[np.ndarray, " tasks"]  #: Accuracy of the best constant answer there
    whole: Float[np.ndarray, " tasks"]  #: Accuracy of the intact network there

    @classmethod
    def of(cls, task: Task, logits: Float[Tensor, "n n_classes"], rows: Units) -> "HeldOut":
        """Score the intact network by its logits of all inputs."""
        targets, values = task.targets[rows], np.asarray(logits)[rows]
        guess = np.array([np.bincount(answers).max() / len(answers) for answers in targets.T])
        parts = zip(task.columns, targets.T, strict=True)
        whole = np.array([_accuracy(values[:, own], answers) for own, answers in parts])
        return cls(rows, targets, task.columns, guess, whole)

    def left(self, logits: Float[Tensor, "rows n_classes"]) -> Float[np.ndarray, " tasks"]:
        """Return each task's share of accuracy above guessing that is left; 1 if it had none."""
        values = np.asarray(logits)
        return np.array([self.left_of(i, values[:, own]) for i, own in enumerate(self.columns)])

    def left_of(self, i: int, own: Float[np.ndarray, "rows classes"]) -> float:
        """Return the same for task i alone, from the logits of its own classes."""
        above = self.whole[i] - self.guess[i]
        return (_accuracy(own, self.targets[:, i]) - self.guess[i]) / above if above > 0 else 1.0


class Selectivity(NamedTuple):
    """What is left of every task when parts are taken out to break each in turn."""

    parts: Sequence[Parts]  #: The parts taken out to break each task
    left: Float[np.ndarray, "broken tasks"]  #: Share of each task that is left
    controls: Float[np.ndarray, "draws broken tasks"]  #: The same for random parts, as many
    own: Float[np.ndarray, " broken"]  #: What is left of the task that was to be broken
    others: Float[np.ndarray, " broken"]  #: What is left of the other tasks, on average
    random_own: Float[np.ndarray, " broken"]  #: What random parts leave of it: the median draw


def others_of(left: Float[np.ndarray, "broken tasks"]) -> Float[np.ndarray, " broken"]:
    """Average each row but for its entry on the diagonal; 1 where there is no other task."""
    return (left.sum(axis=1) - np.diagonal(left)) / (len(left) - 1) if len(left) > 1 else np.ones(1)


def _accuracy(own: Float[np.ndarray, "rows classes"], targets: Int[np.ndarray, " rows"]) -> float:
    """Return how often the right class alone has the largest logit; quicker than an argmax."""
    right = own[np.arange(len(own)), targets]
    return float(((own >= right[:, None]).sum(axis=1) == 1).mean())


class Tail(NamedTuple):
    """A linear end of the network, on some inputs: from the neurons on, or from the stream."""

    swing: Float[np.ndarray, "rows units"]  #: Units less their means over all inputs: what goes
    writes: Float[np.ndarray, "units n_classes"]  #: What each adds to the logits, per activation
    logits: Logits  #: Logits of the intact network
    held: HeldOut  #: The inputs

    def without(self, parts: Parts, own: slice = slice(None)) -> Logits:
        """Return the logits, or some columns of them, without some units or directions of these."""
        if parts.ndim == 1:
            read, written = self.swing[:, parts], self.writes[parts, own]
        else:
            read, written = self.swing @ parts.T, parts @ self.writes[:, own]
        return self.logits[:, own] - read.astype(np.float32) @ written.astype(np.float32)

    def breaks(self, i: int, parts: Parts) -> bool:
        """Return whether task i is broken without some parts."""
        return self.held.left_of(i, self.without(parts, self.held.columns[i])) <= BROKEN


def random_like(parts: Parts, units: int, generator: np.random.Generator) -> Parts:
    """Draw as many neurons from so many, or directions, with none of these; half of all at most."""
    if parts.ndim == 1:
        return generator.permutation(np.setdiff1d(np.arange(units), parts))[: len(parts)]
    drawn = generator.normal(size=parts.T.shape)
    return np.linalg.qr(drawn - parts.T @ (parts @ drawn))[0].T


def selectivity(tail: Tail, chosen: Sequence[Parts]) -> Selectivity:
    """Measure what is left without the parts of each task, on inputs they were not chosen by."""
    generator, units = np.random.default_rng(0), tail.swing.shape[1]
    drawn = [[random_like(parts, units, generator) for _ in range(DRAWS)] for parts in chosen]
    left, *controls = (
        np.array([tail.held.left(tail.without(parts)) for parts in several])
        for several in (chosen, *zip(*drawn, strict=True))
    )
    random_own = np.median([np.diagonal(each) for each in controls], axis=0)
    own, others = np.diagonal(left), others_of(left)
    return Selectivity(chosen, left, np.stack(controls), own, others, random_own)


@dataclass(frozen=True, eq=False)
class Bench:
    """A run laid out for taking apart."""

    run: Run  #: The run
    activations: Activations  #: Activations over all inputs
    choosing: HeldOut  #: Inputs trained on, to choose parts by
    scoring: HeldOut  #: Inputs held out, to score by
    solved: Bool[np.ndarray, " tasks"]  #: Whether the intact network has solved each task, there

    def neurons(self, held: HeldOut) -> Tail:
        """Take the network from its neurons on, for some inputs."""
        writes = np.asarray(self.run.model.W_out) @ np.asarray(self.run.model.W_U)
        return self._tail(np.asarray(self.activations.neurons), writes, held)

    def stream(self, held: HeldOut) -> Tail:
        """Take the network from the residual stream on, for some inputs, in double precision."""
        reads = np.array(self.run.model.W_U, float)
        for own in held.columns:  # a mean over its classes moves all of them alike: it says nothing
            reads[:, own] -= reads[:, own].mean(axis=1, keepdims=True)
        return self._tail(np.asarray(self.activations.resid_post, float), reads, held)

    def _tail(self, units: np.ndarray, writes: np.ndarray, held: HeldOut) -> Tail:
        swing = units[held.rows] - units.mean(axis=0, keepdims=True)
        return Tail(swing, writes, np.asarray(self.activations.logits)[held.rows], held)


@lru_cache(maxsize=1)
def lay_out(run: Run) -> Bench:
    """Compute what taking a run apart starts from; that of the last run is kept."""
    activations, task = run.activations(), run.task
    choosing = HeldOut.of(task, activations.logits, task.train[:SAMPLE])
    scoring = HeldOut.of(task, activations.logits, scoring_rows(task))
    return Bench(run, activations, choosing, scoring, scoring.whole >= GENERALISED)


def evidence(tail: Tail) -> Float[np.ndarray, "neurons tasks"]:
    r"""Average over inputs what each neuron adds to each task's right logit, above the others.

    $$e_{jq} = \frac1N \sum_n (h_{nj} - \bar h_j)
    \left(w_{j, y_{nq}} - \frac1q \sum_c w_{jc}\right), \qquad w = W_{out} W_U$$
    """
    found = []
    for own, answers in zip(tail.held.columns, tail.held.targets.T, strict=True):
        writes = tail.writes[:, own]
        right = np.eye(writes.shape[1], dtype=tail.swing.dtype)[answers] - 1 / writes.shape[1]
        found.append(((tail.swing.T @ right) * writes).sum(axis=1) / len(answers))
    return np.stack(found, axis=1)


def smallest_set(tail: Tail, i: int, order: Units) -> Units:
    """Find the first few neurons of an order that break task i, or half of all if none do.

    Sizes are tried in even steps, and within the first step that breaks the task by halving it.
    """
    most = len(order) // 2
    sizes = np.unique(np.linspace(1, most, min(DOSES, most)).astype(int)).tolist()
    steps = ((low, high) for low, high in pairwise([0, *sizes]) if tail.breaks(i, order[:high]))
    low, high = next(steps, (most, most))
    stay = bisect_left(range(high - 1, low, -1), True, key=lambda n: not tail.breaks(i, order[:n]))
    return order[: high - stay]  # so many of the last step are not needed


def breaking_set(tail: Tail, found: Float[np.ndarray, "neurons tasks"], i: int) -> Units:
    """Choose neurons that break task i and harm the others least, by the `evidence` found.

    Neurons go by their share of the task's evidence, less a price for their mean share of others'.
    """
    share = found / np.maximum(np.abs(found).sum(axis=0), np.finfo(found.dtype).tiny)
    others = (share.sum(axis=1) - share[:, i]) / max(share.shape[1] - 1, 1)
    sets = [smallest_set(tail, i, np.argsort(-(share[:, i] - c * others))) for c in PRICES]

    def cost(removed: Units) -> tuple[float, float]:
        left = tail.held.left(tail.without(removed))
        return max(float(left[i]), BROKEN), -float(np.delete(left, i).sum())

    return min(sets, key=cost)


def break_by_neurons(bench: Bench) -> Selectivity:
    """Break each task by a `breaking_set` of neurons, set to their means, beside random sets."""
    tail = bench.neurons(bench.choosing)
    found = evidence(tail)
    sets = [breaking_set(tail, found, i) for i in range(found.shape[1])]
    return selectivity(bench.neurons(bench.scoring), sets)


def smallest_basis(tail: Tail, i: int) -> Basis:
    """Find the fewest directions of the stream that break task i; half of d_model at most.

    They are of what its columns of W_U read: those that its logits vary most along come first.
    """
    read = tail.writes[:, tail.held.columns[i]]
    said = tail.swing @ read
    energy, classes = np.linalg.eigh(said.T @ said)
    rank = int(np.linalg.matrix_rank(read, rtol=1e-5))
    basis = np.linalg.qr(read @ classes[:, np.argsort(-energy)[:rank]])[0].T
    most = min(rank, len(read) // 2)
    return basis[: next((size for size in range(1, most) if tail.breaks(i, basis[:size])), most)]


@lru_cache(maxsize=1)
def break_by_subspaces(bench: Bench) -> Selectivity:
    """Break each task by the fewest directions of the stream, beside random ones, as many."""
    tail = bench.stream(bench.choosing)
    bases = [smallest_basis(tail, i) for i in range(len(bench.run.task.columns))]
    return selectivity(bench.stream(bench.scoring), bases)


class Sieve(NamedTuple):
    """Which numbers below p² are prime, and which a run calls so, whole or with a task broken."""

    prime: Bool[np.ndarray, " n"]  #: Primes
    called: Bool[np.ndarray, " n"]  #: What the intact network calls prime
    broken: Bool[np.ndarray, "tasks n"]  #: What it calls prime with each task broken
    guarded: Bool[np.ndarray, "tasks n"]  #: Composites that no modulus but that of the task divides
    slipped: Bool[np.ndarray, "tasks n"]  #: Composites called prime only with the task broken

    def precision_recall(self, rows: Units) -> tuple[float, float]:
        """Return the share of primes in what is called prime, and the share of primes found."""
        called, prime = self.called[rows], self.prime[rows]
        found = (called & prime).sum()
        return float(found / max(called.sum(), 1)), float(found / max(prime.sum(), 1))


def sieve_numbers(bench: Bench, bases: Sequence[Basis]) -> Sieve:
    """Use a run as a sieve over all numbers, whole and with each task's directions taken out."""
    task, moduli = bench.run.task, np.array(bench.run.task.moduli)
    numbers = np.arange(task.p**2)
    tail = bench.stream(HeldOut.of(task, bench.activations.logits, numbers))
    divides = numbers[:, None] % moduli == 0

    def called_by(z: Logits) -> Bool[np.ndarray, " n"]:
        zero = [z[:, own.start] >= z[:, own].max(axis=1) for own in task.columns]
        return called_prime(np.stack(zero, axis=1), moduli)

    called, prime = called_by(tail.logits), called_prime(divides, moduli)
    broken = np.stack([called_by(tail.without(basis)) for basis in bases])
    guarded = np.stack([called_prime(divides & (moduli != q), moduli) & ~prime for q in moduli])
    return Sieve(prime, called, broken, guarded, broken & ~called & ~prime)


def called_prime(divides: Bool[np.ndarray, "n moduli"], moduli: Units) -> Bool[np.ndarray, " n"]:
    """Return which of 0, 1, 2, ... are prime, if just these moduli divide them."""
    numbers = np.arange(len(divides))
    return (numbers > 1) & ~(divides & (numbers[:, None] != moduli)).any(axis=1)
