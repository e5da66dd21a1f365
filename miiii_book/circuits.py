r"""Break one task and spare the others: by neurons, by directions of the stream, by waves.

After the ReLU the network is linear: there sets of neurons, or of directions, are taken out by the
thousand without another pass. Parts are chosen on inputs trained on, and scored on inputs held out,
beside random ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from miiii_core.chance import random_sets
from miiii_core.interventions import fill_of, logits_with, without_waves
from miiii_core.model import Activations, with_weights
from miiii_core.runs import Run
from miiii_core.schedule import GENERALISED
from miiii_core.waves import Waves, one_digit, remove

from .held_out import BROKEN, HeldOut, Selectivity, choosing_rows, scoring_rows, selectivity
from .rules import DRAWS, Formula

Units = Int[np.ndarray, " _"]
Basis = Float[np.ndarray, "_ d_model"]  # orthonormal directions of the stream
Logits = Float[np.ndarray, "rows n_classes"]
PRICES = (0.0, 1.0, 2.0, 4.0)  # of the others' evidence, in units of their mean share
DOSES = 64  # number of sizes of sets that are tried first, evenly spaced


class Tail(NamedTuple):
    """A linear end of the network, on some inputs: from the neurons on, or from the stream.

    Attributes:
        swing: What goes when a unit is taken out: it less its mean over all inputs, or all of it.
        writes: What each unit adds to the logits, per unit of activation.
        logits: Logits of the intact network.
    """

    swing: Float[np.ndarray, "rows units"]
    writes: Float[np.ndarray, "units n_classes"]
    logits: Logits

    def without(self, removed: Units) -> Logits:
        """Return the logits with some units, by number, taken out."""
        return self.logits - self.swing[:, removed] @ self.writes[removed]

    def projected(self, basis: Basis) -> Logits:
        """Return the logits with orthonormal directions of the units projected out."""
        read, written = self.swing @ basis.T, basis @ self.writes
        return self.logits - read.astype(np.float32) @ written.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Bench:
    """A run laid out for taking apart.

    Attributes:
        run: The run.
        activations: Activations over all inputs.
        choosing: Inputs trained on, to choose parts by.
        scoring: Inputs held out, to score by.
    """

    run: Run
    activations: Activations
    choosing: HeldOut
    scoring: HeldOut

    @property
    def solved(self) -> Bool[np.ndarray, " tasks"]:
        """Whether the intact network has solved each task, on inputs held out."""
        return self.scoring.whole >= GENERALISED

    def neurons(self, rows: Units, fill: str = "mean") -> Tail:
        """Take the network from its neurons on.

        Args:
            rows: The inputs to keep.
            fill: What is left of a neuron that is taken out: its mean over all inputs, or zero.
        """
        neurons, model = np.asarray(self.activations.neurons), self.run.model
        writes = np.asarray(model.W_out) @ np.asarray(model.W_U)
        swing = neurons[rows] - fill_of(neurons, fill)
        return Tail(swing, writes, np.asarray(self.activations.logits)[rows])

    def stream(self, rows: Units, fill: str = "mean") -> Tail:
        """Take the network from the residual stream on, in double precision; see `neurons`.

        The mean over the classes of each task is taken out of W_U: it moves all logits of a task
        alike, and changes nothing.
        """
        reads = np.array(self.run.model.W_U, float)
        for own in self.run.task.columns:
            reads[:, own] -= reads[:, own].mean(axis=1, keepdims=True)
        stream = np.asarray(self.activations.resid_post, float)
        swing = stream[rows] - fill_of(stream, fill)
        return Tail(swing, reads, np.asarray(self.activations.logits)[rows])


@lru_cache(maxsize=1)
def lay_out(run: Run) -> Bench:
    """Compute what taking a run apart starts from; that of the last run is kept."""
    activations, task = run.activations(), run.task
    rows = choosing_rows(task), scoring_rows(task)
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

    Args:
        tail: The network from its neurons on, on the inputs of `held`.
        held: Inputs to choose by.
        i: Number of the task to break.
        order: All neurons, two or more, the first to go first.
    """
    own, most = held.columns[i], tail.swing.shape[1] // 2

    def taken(left: np.ndarray, more: Units) -> np.ndarray:
        return left - tail.swing[:, more] @ tail.writes[more, own]

    spared, left = 0, tail.logits[:, own]  # of the largest set known not to break the task
    for broken in np.unique(np.linspace(1, most, min(DOSES, most)).astype(int)).tolist():
        after = taken(left, order[spared:broken])
        if held.left_of(i, after) <= BROKEN:
            break
        spared, left = broken, after
    else:
        return order[:most]
    while broken - spared > 1:
        middle = (spared + broken) // 2
        after = taken(left, order[spared:middle])
        if held.left_of(i, after) <= BROKEN:
            broken = middle
        else:
            spared, left = middle, after
    return order[:broken]


def breaking_set(
    tail: Tail, held: HeldOut, found: Float[np.ndarray, "neurons tasks"], i: int
) -> Units:
    """Choose neurons that break task i and harm the others least.

    Neurons go in the order of their share of the task's evidence, less a price for their mean
    share of the others'; of the sets for `PRICES` the one that harms the others least is chosen.

    Args:
        tail: The network from its neurons on, on the inputs of `held`.
        held: Inputs to choose by.
        found: Evidence of each neuron for each task.
        i: Number of the task to break.
    """
    share = found / np.maximum(np.abs(found).sum(axis=0), np.finfo(found.dtype).tiny)
    others = (share.sum(axis=1) - share[:, i]) / max(share.shape[1] - 1, 1)
    sets = [smallest_set(tail, held, i, np.argsort(-(share[:, i] - c * others))) for c in PRICES]

    def cost(removed: Units) -> tuple[float, float]:
        left = held.left(tail.without(removed))
        return max(float(left[i]), BROKEN), -float(np.delete(left, i).sum())

    return min(sets, key=cost)


@lru_cache(maxsize=1)
def neuron_sets(bench: Bench) -> list[Units]:
    """Choose the neurons that break each task; those of the last run are kept."""
    tail, held = bench.neurons(bench.choosing.rows), bench.choosing
    found = evidence(tail, held)
    return [breaking_set(tail, held, found, i) for i in range(found.shape[1])]


def break_by_neurons(bench: Bench, fill: str = "mean") -> Selectivity:
    """Break each task by its `neuron_sets`, set to their means or to zero, beside random sets."""
    tail, generator = bench.neurons(bench.scoring.rows, fill), np.random.default_rng(0)
    sets, units = neuron_sets(bench), tail.swing.shape[1]
    controls = [list(random_sets(own, units, DRAWS, generator)) for own in sets]
    return selectivity(tail.without, bench.scoring, sets, controls)


def smallest_basis(tail: Tail, held: HeldOut, i: int) -> Basis:
    """Find the fewest directions of the stream that break task i; half of d_model at most.

    The task reads the stream through its columns of W_U. Directions along which its logits vary
    most over the inputs are projected out first.

    Args:
        tail: The network from the stream on, on the inputs of `held`.
        held: Inputs to choose by.
        i: Number of the task to break.
    """
    own = held.columns[i]
    read, left = tail.writes[:, own], tail.logits[:, own]
    energy, classes = np.linalg.eigh((tail.swing @ read).T @ (tail.swing @ read))
    there = np.linalg.eigvalsh(read.T @ read)
    rank = int((there > 1e-10 * there.max()).sum())
    basis = np.linalg.qr(read @ classes[:, np.argsort(-energy)[:rank]])[0].T
    most = min(rank, basis.shape[1] // 2)
    along, written = tail.swing @ basis.T, basis @ read
    for rank in range(most):
        left = left - along[:, rank, None] * written[rank]
        if held.left_of(i, left) <= BROKEN:
            return basis[: rank + 1]
    return basis[:most]


def random_basis(basis: Basis, generator: np.random.Generator) -> Basis:
    """Draw as many orthonormal directions from what is orthogonal to some, half at most."""
    drawn = generator.normal(size=basis.T.shape)
    return np.linalg.qr(drawn - basis.T @ (basis @ drawn))[0].T


class Subspaces(NamedTuple):
    """Tasks broken by orthogonal projections of the stream, and the directions of each."""

    projected: Selectivity
    bases: tuple[Basis, ...]


@lru_cache(maxsize=1)
def break_by_subspaces(bench: Bench) -> Subspaces:
    """Break each task by the fewest directions of the stream, beside random ones, as many."""
    tail, generator = bench.stream(bench.choosing.rows), np.random.default_rng(0)
    every = range(len(bench.choosing.class_sizes))
    bases = tuple(smallest_basis(tail, bench.choosing, i) for i in every)
    controls = [[random_basis(own, generator) for _ in range(DRAWS)] for own in bases]
    scoring = bench.stream(bench.scoring.rows)
    return Subspaces(selectivity(scoring.projected, bench.scoring, bases, controls), bases)


def break_by_waves(
    bench: Bench, held: HeldOut, formulas: Sequence[Formula], generator: np.random.Generator
) -> dict[str, Selectivity]:
    """Take the waves that each task uses out in three places, beside as many that it does not use.

    These are three experiments. Both digits read the embedding, so a wave goes from it as both
    have it, and waves of other primes are nearly parallel to it. In the neurons, and at the end of
    the stream, it is one function of both digits, and what follows is linear.

    Args:
        bench: The run laid out.
        held: Inputs to score by.
        formulas: What each task uses, fitted on other inputs.
        generator: Source of the controls, the same in each place.

    Returns:
        Results by place; sizes are numbers of waves, and controls are NaN for a task that uses
        more than half of its waves.
    """
    model, task = bench.run.model, bench.run.task
    used = [[(int(k), one.modulus) for k in one.used] for one in formulas]
    drawn = [[one.unused(generator) for one in formulas] for _ in range(DRAWS)]
    controls = [
        [None if ks is None else [(int(k), one.modulus) for k in ks] for ks in own]
        for one, own in zip(formulas, zip(*drawn, strict=True), strict=True)
    ]

    def without(site: str, chosen: Sequence[tuple[int, int]]) -> Array:
        waves, table = Waves.of(chosen), np.array(model.W_E, float)
        if site == "embedding":
            table[: task.p] = remove(table[: task.p], one_digit(waves, task.p))
            return logits_with(with_weights(model, W_E=table), task, {}, held.rows)
        edit = without_waves(bench.activations, waves, site, held.rows)
        return logits_with(model, task, edit, held.rows)

    sites = {"embedding": "embedding", "neurons": "neurons", "stream": "resid_post"}
    return {
        place: selectivity(partial(without, site), held, used, controls)
        for place, site in sites.items()
    }


class Sieve(NamedTuple):
    """What a run calls prime, whole and with each task broken.

    A number above 1 is called prime if no other modulus is said to divide it: every composite
    below p² has a prime factor below p.

    Attributes:
        prime: Whether each number below p² is prime.
        called: Whether the intact network calls it prime.
        broken: Whether it does with each task broken.
        guarded: Whether each task alone refuses it: composites that no other modulus divides.
    """

    prime: Bool[np.ndarray, " n"]
    called: Bool[np.ndarray, " n"]
    broken: Bool[np.ndarray, "tasks n"]
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
