r"""Break one task and spare the others: by its neurons, or by its directions of the stream.

After the ReLU the network is linear: there sets of neurons, or of directions, are taken out by the
thousand without another pass. Parts are chosen on inputs trained on, and scored on inputs held out,
beside random ones. Accuracy alone says little of a task with two classes: guessing gives half of
it. What is counted is the accuracy above guessing, as a share of what the intact network has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from miiii_core.losses import GENERALISED
from miiii_core.model import Activations
from miiii_core.runs import Run
from miiii_core.tasks import Task

from .rules import DRAWS, SAMPLE, scoring_rows

Tensor = np.ndarray | Array
Units = Int[np.ndarray, " _"]
Basis = Float[np.ndarray, "_ d_model"]  # orthonormal directions of the stream
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
    def of(
        cls, task: Task, logits: Float[Tensor, "n n_classes"], rows: Int[Tensor, " rows"]
    ) -> "HeldOut":
        """Score the intact network by its logits of all inputs."""
        targets, own = task.targets[rows], np.asarray(logits)[rows]
        guess = np.array([np.bincount(answers).max() / len(answers) for answers in targets.T])
        columns = zip(task.columns, targets.T, strict=True)
        whole = np.array([_accuracy(own[:, classes], answers) for classes, answers in columns])
        return cls(np.asarray(rows), targets, task.columns, guess, whole)

    def left(self, logits: Float[Tensor, "rows n_classes"]) -> Float[np.ndarray, " tasks"]:
        """Return the share of each task's accuracy above guessing that logits keep.

        It is 1 for a task that had nothing to lose, and below 0 for worse than guessing.
        """
        values = np.asarray(logits)
        return np.array([self.left_of(i, values[:, own]) for i, own in enumerate(self.columns)])

    def left_of(self, i: int, own: Float[np.ndarray, "rows classes"]) -> float:
        """Return the same for task i alone, from the logits of its own classes."""
        above = self.whole[i] - self.guess[i]
        return (_accuracy(own, self.targets[:, i]) - self.guess[i]) / above if above > 0 else 1.0


class Selectivity(NamedTuple):
    """What is left of every task when parts are taken out to break each in turn."""

    parts: Sequence[Any]  #: The parts taken out to break each task
    #: Share of the task (second axis) that is left when the first is to be broken
    left: Float[np.ndarray, "broken tasks"]
    #: The same for random parts, as many; axes (draw, broken, task)
    controls: Float[np.ndarray, "draws broken tasks"]

    @property
    def sizes(self) -> Int[np.ndarray, " broken"]:
        """Number of parts taken out to break each task."""
        return np.array([len(parts) for parts in self.parts])

    @property
    def own(self) -> Float[np.ndarray, " broken"]:
        """What is left of the task that was to be broken."""
        return np.diagonal(self.left).copy()

    @property
    def others(self) -> Float[np.ndarray, " broken"]:
        """What is left of the other tasks, on average."""
        return others_of(self.left)

    @property
    def random_own(self) -> Float[np.ndarray, " broken"]:
        """What random parts leave of the task that was to be broken: the median draw."""
        return np.median(np.diagonal(self.controls, axis1=1, axis2=2), axis=0)


def others_of(left: Float[np.ndarray, "broken tasks"]) -> Float[np.ndarray, " broken"]:
    """Average each row but for its entry on the diagonal; 1 where there is no other task."""
    return (left.sum(axis=1) - np.diagonal(left)) / (len(left) - 1) if len(left) > 1 else np.ones(1)


def selectivity(
    without: Callable[[Any], Float[Tensor, "rows n_classes"]],
    held: HeldOut,
    chosen: Sequence[Any],
    controls: Sequence[Sequence[Any]],
) -> Selectivity:
    """Measure what taking out the parts of each task does to every task, beside random parts.

    ``without`` returns the logits without some parts, on inputs that these were not chosen by.
    Controls are random parts for each task, one entry a draw.
    """
    left = np.array([held.left(without(parts)) for parts in chosen])
    drawn = np.array([[held.left(without(parts)) for parts in each] for each in controls])
    return Selectivity(chosen, left, np.swapaxes(drawn, 0, 1))


def _accuracy(own: Float[np.ndarray, "rows classes"], targets: Int[np.ndarray, " rows"]) -> float:
    """Return how often the right class alone has the largest logit; quicker than an argmax."""
    right = own[np.arange(len(own)), targets]
    return float(((own >= right[:, None]).sum(axis=1) == 1).mean())


class Tail(NamedTuple):
    """A linear end of the network, on some inputs: from the neurons on, or from the stream."""

    #: What goes when a unit is taken out: it less its mean over all inputs
    swing: Float[np.ndarray, "rows units"]
    #: What each unit adds to the logits, per unit of activation
    writes: Float[np.ndarray, "units n_classes"]
    logits: Logits  #: Logits of the intact network

    def without(self, removed: Units) -> Logits:
        """Return the logits with some units, by number, taken out."""
        return self.logits - self.swing[:, removed] @ self.writes[removed]

    def projected(self, basis: Basis) -> Logits:
        """Return the logits with orthonormal directions of the units projected out."""
        read, written = self.swing @ basis.T, basis @ self.writes
        return self.logits - read.astype(np.float32) @ written.astype(np.float32)

    def of(self, own: slice) -> "Tail":
        """Return the tail of some columns of the logits alone."""
        return Tail(self.swing, self.writes[:, own], self.logits[:, own])


@dataclass(frozen=True, eq=False)
class Bench:
    """A run laid out for taking apart."""

    run: Run  #: The run
    activations: Activations  #: Activations over all inputs
    choosing: HeldOut  #: Inputs trained on, to choose parts by
    scoring: HeldOut  #: Inputs held out, to score by

    @property
    def solved(self) -> Bool[np.ndarray, " tasks"]:
        """Whether the intact network has solved each task, on inputs held out."""
        return self.scoring.whole >= GENERALISED

    def neurons(self, rows: Units) -> Tail:
        """Take the network from its neurons on, for some inputs."""
        writes = np.asarray(self.run.model.W_out) @ np.asarray(self.run.model.W_U)
        return self._tail(np.asarray(self.activations.neurons), writes, rows)

    def stream(self, rows: Units) -> Tail:
        """Take the network from the residual stream on, for some inputs, in double precision.

        The mean over the classes of each task is taken out of W_U: it moves all logits of a task
        alike, and changes nothing.
        """
        reads = np.array(self.run.model.W_U, float)
        for own in self.run.task.columns:
            reads[:, own] -= reads[:, own].mean(axis=1, keepdims=True)
        return self._tail(np.asarray(self.activations.resid_post, float), reads, rows)

    def _tail(self, units: np.ndarray, writes: np.ndarray, rows: Units) -> Tail:
        logits = np.asarray(self.activations.logits)
        return Tail(units[rows] - units.mean(axis=0, keepdims=True), writes, logits[rows])


@lru_cache(maxsize=1)
def lay_out(run: Run) -> Bench:
    """Compute what taking a run apart starts from; that of the last run is kept."""
    activations, task = run.activations(), run.task
    rows = task.train[:SAMPLE], scoring_rows(task)
    return Bench(run, activations, *(HeldOut.of(task, activations.logits, each) for each in rows))


def evidence(tail: Tail, held: HeldOut) -> Float[np.ndarray, "neurons tasks"]:
    r"""Average over inputs what each neuron adds to each task's right logit, above the others.

    $$e_{jq} = \frac1N \sum_n (h_{nj} - \bar h_j)
    \left(w_{j, y_{nq}} - \frac1q \sum_c w_{jc}\right), \qquad w = W_{out} W_U$$

    It is exact, and additive over neurons. Tail and answers are of the same inputs.
    """
    found = []
    for own, answers in zip(held.columns, held.targets.T, strict=True):
        writes = tail.writes[:, own]
        classes = np.eye(writes.shape[1], dtype=tail.swing.dtype)[answers]
        along = tail.swing.T @ (classes - 1 / writes.shape[1])
        found.append((along * writes).sum(axis=1) / len(answers))
    return np.stack(found, axis=1)


def smallest_set(tail: Tail, held: HeldOut, i: int, order: Units) -> Units:
    """Find the first few neurons of an order that break task i, or half of all if none do.

    Sizes are tried in even steps, and within the first step that breaks the task by halving it.
    """
    own, most = tail.of(held.columns[i]), len(order) // 2

    def breaks(size: int) -> bool:
        return held.left_of(i, own.without(order[:size])) <= BROKEN

    spared, sizes = 0, np.unique(np.linspace(1, most, min(DOSES, most)).astype(int)).tolist()
    for broken in sizes:
        if breaks(broken):
            break
        spared = broken
    else:
        return order[:most]
    while broken - spared > 1:
        middle = (spared + broken) // 2
        spared, broken = (spared, middle) if breaks(middle) else (middle, broken)
    return order[:broken]


def breaking_set(
    tail: Tail, held: HeldOut, found: Float[np.ndarray, "neurons tasks"], i: int
) -> Units:
    """Choose neurons that break task i and harm the others least, by the `evidence` found.

    Neurons go in the order of their share of the task's evidence, less a price for their mean
    share of the others'; of the sets for `PRICES` the one that harms the others least is chosen.
    """
    share = found / np.maximum(np.abs(found).sum(axis=0), np.finfo(found.dtype).tiny)
    others = (share.sum(axis=1) - share[:, i]) / max(share.shape[1] - 1, 1)
    sets = [smallest_set(tail, held, i, np.argsort(-(share[:, i] - c * others))) for c in PRICES]

    def cost(removed: Units) -> tuple[float, float]:
        left = held.left(tail.without(removed))
        return max(float(left[i]), BROKEN), -float(np.delete(left, i).sum())

    return min(sets, key=cost)


def random_sets(
    chosen: Units, units: int, draws: int, generator: np.random.Generator
) -> Int[np.ndarray, "draws chosen"]:
    """Draw sets as large as a chosen one from the units not in it; ValueError if too few are."""
    rest = np.setdiff1d(np.arange(units), chosen)
    if len(rest) < len(chosen):
        raise ValueError(f"{len(chosen)} of {units} units are chosen; choose half at most")
    return np.stack([generator.permutation(rest)[: len(chosen)] for _ in range(draws)])


def break_by_neurons(bench: Bench) -> Selectivity:
    """Break each task by a `breaking_set` of neurons, set to their means, beside random sets."""
    tail, held = bench.neurons(bench.choosing.rows), bench.choosing
    generator = np.random.default_rng(0)
    found = evidence(tail, held)
    sets = [breaking_set(tail, held, found, i) for i in range(found.shape[1])]
    controls = [list(random_sets(own, len(found), DRAWS, generator)) for own in sets]
    return selectivity(bench.neurons(bench.scoring.rows).without, bench.scoring, sets, controls)


def smallest_basis(tail: Tail, held: HeldOut, i: int) -> Basis:
    """Find the fewest directions of the stream that break task i; half of d_model at most.

    The task reads the stream through its columns of W_U. Directions along which its logits vary
    most over the inputs are projected out first.
    """
    swing, read, logits = tail.of(held.columns[i])
    energy, classes = np.linalg.eigh((swing @ read).T @ (swing @ read))
    rank = int(np.linalg.matrix_rank(read, rtol=1e-5))
    basis = np.linalg.qr(read @ classes[:, np.argsort(-energy)[:rank]])[0].T
    along, written, most = swing @ basis.T, basis @ read, min(rank, len(read) // 2)
    for size in range(1, most):
        if held.left_of(i, logits - along[:, :size] @ written[:size]) <= BROKEN:
            return basis[:size]
    return basis[:most]


def random_basis(basis: Basis, generator: np.random.Generator) -> Basis:
    """Draw as many orthonormal directions from what is orthogonal to some, half at most."""
    drawn = generator.normal(size=basis.T.shape)
    return np.linalg.qr(drawn - basis.T @ (basis @ drawn))[0].T


@lru_cache(maxsize=1)
def break_by_subspaces(bench: Bench) -> Selectivity:
    """Break each task by the fewest directions of the stream, beside random ones, as many."""
    tail, generator = bench.stream(bench.choosing.rows), np.random.default_rng(0)
    every = range(len(bench.choosing.columns))
    bases = [smallest_basis(tail, bench.choosing, i) for i in every]
    controls = [[random_basis(own, generator) for _ in range(DRAWS)] for own in bases]
    scoring = bench.stream(bench.scoring.rows)
    return selectivity(scoring.projected, bench.scoring, bases, controls)


class Sieve(NamedTuple):
    """What a run calls prime, whole and with each task broken.

    A number above 1 is called prime if no other modulus is said to divide it: every composite
    below p² has a prime factor below p.
    """

    prime: Bool[np.ndarray, " n"]  #: Whether each number below p² is prime
    called: Bool[np.ndarray, " n"]  #: Whether the intact network calls it prime
    broken: Bool[np.ndarray, "tasks n"]  #: Whether it does with each task broken
    #: Whether each task alone refuses it: composites that no other modulus divides
    guarded: Bool[np.ndarray, "tasks n"]

    @property
    def slipped(self) -> Bool[np.ndarray, "tasks n"]:
        """Composites that slip through once a task is broken, and did not before."""
        return self.broken & ~self.called & ~self.prime

    def precision_recall(self, rows: Units) -> tuple[float, float]:
        """Return the share of primes in what is called prime, and the share of primes found."""
        called, prime = self.called[rows], self.prime[rows]
        found = (called & prime).sum()
        return float(found / max(called.sum(), 1)), float(found / max(prime.sum(), 1))


def sieve_numbers(bench: Bench, bases: Sequence[Basis]) -> Sieve:
    """Use a run as a sieve over all numbers, whole and with each task's directions taken out."""
    task, moduli = bench.run.task, np.array(bench.run.task.moduli)
    numbers = np.arange(task.p**2)
    tail, divides = bench.stream(numbers), numbers[:, None] % moduli == 0

    def called(logits: Logits) -> Bool[np.ndarray, " n"]:
        own = [logits[:, columns] for columns in task.columns]
        return called_prime(np.stack([z[:, 0] >= z.max(axis=1) for z in own], axis=1), moduli)

    prime = called_prime(divides, moduli)
    guarded = [called_prime(divides & (moduli != q), moduli) & ~prime for q in moduli]
    broken = [called(tail.projected(basis)) for basis in bases]
    return Sieve(prime, called(tail.logits), np.stack(broken), np.stack(guarded))


def called_prime(
    divides: Bool[np.ndarray, "n moduli"], moduli: Int[np.ndarray, " moduli"]
) -> Bool[np.ndarray, " n"]:
    """Return which of 0, 1, 2, ... are prime, if just these moduli divide them."""
    numbers = np.arange(len(divides))
    return (numbers > 1) & ~(divides & (numbers[:, None] != moduli)).any(axis=1)
