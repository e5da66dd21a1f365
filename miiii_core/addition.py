"""Modular addition by the measures of Nanda et al. (2023), from the embedding to the logits."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from . import fourier
from .fourier import Tensor
from .losses import cross_entropy
from .model import Transformer, logit_map
from .shares import TINY, unit_grids
from .stored import Run
from .tasks import Task
from .waves import Waves, columns

Frequencies = Sequence[int] | Int[np.ndarray, " _"]
EXPLAINED = 0.85  # share of variance from which a neuron counts as being of one frequency
FORMING, CLEANED = 0.9, 0.01  # shares of the largest loss, and of that of guessing; see `Phases`


def class_waves(p: int, frequencies: Frequencies) -> Float[np.ndarray, "classes waves"]:
    """Return orthonormal columns cos and sin of 2πkc/p over the classes, for k of 1..(p-1)/2."""
    return np.sqrt(2 / p) * columns(Waves.of([(int(k), p) for k in frequencies]), np.arange(p))


def sum_waves(p: int, frequencies: Frequencies) -> Float[np.ndarray, "n waves"]:
    """Return orthonormal columns cos and sin of 2πk(x0 + x1)/p over the p² inputs, likewise."""
    n = np.arange(p**2)
    return class_waves(p, frequencies)[(n + n // p) % p] / np.sqrt(p)


def parted(
    values: Float[Tensor, "n columns"], waves: Float[Tensor, "n waves"]
) -> tuple[Float[Tensor, "n columns"], Float[Tensor, "n columns"]]:
    """Return what orthonormal waves over the inputs explain of each column, and all but that.

    The mean of a column is in both. Of logits, their losses are the restricted and excluded loss.
    """
    explained = fourier.matmul(waves, fourier.matmul(waves.T, values))
    return values.mean(axis=0, keepdims=True) + explained, values - explained


def addition_shares(
    logits: Float[Tensor, "n p"], frequencies: Sequence[int]
) -> Float[np.ndarray, " frequencies"]:
    r"""Return the share of logits' variance over inputs in $\cos(w_k (x_0 + x_1 - c))$, by k."""
    p, values = logits.shape[1], np.asarray(logits, float)
    centred = values - values.mean(axis=0, keepdims=True)
    along = (sum_waves(p, frequencies).T @ centred) * class_waves(p, frequencies).T
    return along.reshape(-1, 2 * p).sum(axis=1) ** 2 / 2 / max((centred**2).sum(), TINY)


class Moment(NamedTuple):
    """Progress measures of a model, or of one snapshot after another along a first axis.

    Sets are of frequencies: the key ones, then random ones, as many others.
    """

    loss: Float[np.ndarray, "*epochs 2"]  #: By `split_loss`, as those that follow
    restricted: Float[np.ndarray, "*epochs sets 2"]  #: By waves of x0 + x1 of each set alone
    excluded: Float[np.ndarray, "*epochs sets 2"]  #: By all but these
    gini: Float[np.ndarray, "*epochs 2"]  #: Of the Fourier norms of W_E, and of W_L over classes
    squared_weights: Float[np.ndarray, "*epochs"]  #: Sum of squares of all weights


def moment(model: Transformer, task: Task, key: Frequencies, draws: int) -> Moment:
    """Compute the progress measures of a model by the key frequencies of the trained one.

    Beside them stand so many random sets of as many other frequencies.
    """
    logits = model.activations(jnp.asarray(task.digits)).logits
    tables = model.W_E[: task.p], logit_map(model).T
    generator, spare = np.random.default_rng(0), np.setdiff1d(np.arange(1, (task.p + 1) // 2), key)
    sets = [key, *(generator.permutation(spare)[: len(key)] for _ in range(draws))]
    parts = [parted(logits, sum_waves(task.p, frequencies)) for frequencies in sets]
    losses = np.array([[split_loss(part, task) for part in both] for both in parts])
    return Moment(
        loss=split_loss(logits, task),
        restricted=losses[:, 0],
        excluded=losses[:, 1],
        gini=np.array([fourier.fourier_gini(np.asarray(table)) for table in tables]),
        squared_weights=np.array(sum(float((w**2).sum()) for w in model.weights.values())),
    )


def split_loss(logits: Float[Tensor, "n p"], task: Task) -> Float[np.ndarray, "2"]:
    """Return the mean loss in nats over the training inputs, and over all others."""
    losses = np.asarray(cross_entropy(logits, task.targets[:, 0]), float)
    return np.array([losses[task.train].mean(), losses[task.held_out].mean()])


class Bracket(NamedTuple):
    """An epoch as far as it is known: after one record, and not after another."""

    low: float
    high: float


class Phases(NamedTuple):
    """Where the three phases end; NaN where that cannot be placed."""

    memorised: Bracket  #: Excluded loss on training inputs is at its least
    formed: Bracket  #: Unseen loss last has 90 % of its maximum
    cleaned: Bracket  #: Unseen loss stays below 1 % of that of guessing


def phases(
    snapshots: Sequence[int],
    excluded_loss: Float[np.ndarray, " snapshots"],
    epochs: Int[np.ndarray, " records"],
    unseen: Float[np.ndarray, " records"],
    guessing: float,
) -> Phases:
    """Place the phases by losses in nats: at snapshots, at all records, and that of guessing.

    The epochs ascend.
    """

    def bracket(ends: Sequence[int] | np.ndarray) -> Bracket:
        return Bracket(*map(float, ends)) if len(ends) == 2 else Bracket(np.nan, np.nan)

    def last(holds: np.ndarray) -> Bracket:
        return bracket(epochs[max(np.flatnonzero(holds), default=len(holds)) :][:2])

    lowest = int(np.argmin(excluded_loss))
    return Phases(
        bracket(snapshots[lowest - 1 : lowest + 2 : 2]),  # the first and the last lack a neighbour
        last(unseen >= FORMING * unseen.max()),
        last(unseen > CLEANED * guessing),
    )


def unseen_loss(run: Run) -> Float[np.ndarray, " records"]:
    """Return the recorded loss of a single task over all inputs not trained on, in nats."""
    sizes = np.array([len(run.task.validation), len(run.task.test)])
    return run.metrics["loss"][:, 1:, 0][:, sizes > 0] @ (sizes[sizes > 0] / sizes.sum())


class AdditionMeasures(NamedTuple):
    """All measures of a run of modular addition; shares are of energy or variance, 0 to 1."""

    key: tuple[int, ...]  #: Frequencies whose cos or sin stands out of the trained W_E
    embedding_share: Float[np.ndarray, " frequencies"]  #: Of W_E less its mean, at k = 1..(p-1)/2
    frequency: Int[np.ndarray, " neurons"]  #: Of each neuron after the ReLU; 0 if constant
    share: Float[np.ndarray, " neurons"]  #: Of each neuron, in the 3×3 block of its frequency
    head_share: Float[np.ndarray, " heads"]  #: Of each head's attention to x0, likewise
    map_share: Float[np.ndarray, " frequencies+1"]  #: Of W_L over the classes, at k = 0..(p-1)/2
    sums: Float[np.ndarray, " waves"]  #: Of the neurons along a wave of W_L, in that of x0 + x1
    logit_share: Float[np.ndarray, " frequencies"]  #: Of the logits, in cos(w(x0 + x1 - c))
    complement: Float[np.ndarray, "2"]  #: `split_loss` without the key directions of the classes
    epochs: Int[np.ndarray, " snapshots"]  #: Of the snapshots; the last are the trained weights
    history: Moment  #: Progress measures at these
    phases: Phases  #: Where the three phases end

    @property
    def circuit_forms(self) -> bool:
        """Whether restricted loss and weights fall and excluded loss rises in the second phase."""
        low, high = self.phases.memorised.low, self.phases.formed.low
        inside, past = np.flatnonzero((self.epochs > low) & (self.epochs <= high)), self.history
        falling = (past.squared_weights, past.restricted[:, 0, 0], -past.excluded[:, 0, 0])
        return len(inside) > 0 and all(x[inside[-1]] < x[inside[0]] for x in falling)

    @property
    def ours(self) -> dict[str, Bracket]:
        """Each number that Nanda et al. publish, as this run has it; a value is a bracket."""
        key, guessing = np.array(self.key, int), np.log(2 * len(self.embedding_share) + 1)
        some = 1.0 if len(key) else np.nan  # without key frequencies there is nothing to compare
        single = {
            "key_frequencies": len(key),
            "neurons_explained": (self.share > EXPLAINED).mean(),
            "heads_explained": self.head_share.min(),
            "map_residual": np.sqrt(max(0.0, 1 - self.map_share[key].sum())),
            "sums_explained": self.sums.min(initial=some),
            "logits_explained": self.logit_share[key - 1].sum(),
            "restricted_ratio": some * self.history.restricted[-1, 0, 1] / self.history.loss[-1, 1],
            "complement_ratio": some * self.complement[1] / guessing,
        }
        brackets = {name: Bracket(float(v), float(v)) for name, v in single.items()}
        return brackets | self.phases._asdict()


def measures(run: Run, draws: int = 20) -> AdditionMeasures:
    """Measure the trained weights of a run of modular addition, and each snapshot.

    Controls are so many random sets of frequencies. ValueError for another task, or no snapshots.
    """
    task, epochs = run.task, run.snapshot_epochs
    if task.config.name != "nanda" or not epochs:
        raise ValueError(
            f"{run.folder} is a run of {task.config.name!r} with {len(epochs)} snapshots; give a "
            "run of 'nanda' with one or more, such as runs.cached('nanda')"
        )
    digits = fourier.key_frequencies(np.asarray(run.model.W_E[: task.p], float))
    key = tuple(np.flatnonzero(digits.active).tolist())
    past = (moment(run.snapshot(epoch), task, key, draws) for epoch in epochs)
    history = Moment(*map(np.stack, zip(*past, strict=True)))
    courses = epochs, history.excluded[:, 0, 0], run.metrics["epoch"], unseen_loss(run)

    a, writes, classes = run.activations(), logit_map(run.model), class_waves(task.p, key)
    neurons, logits = np.asarray(a.neurons, float), np.asarray(a.logits, float)
    own = fourier.neuron_frequency(unit_grids(task, neurons))
    heads = fourier.neuron_frequency(unit_grids(task, np.asarray(a.attention[:, :, 0], float)))
    power = np.asarray(fourier.frequency_power(writes.T)).sum(axis=1)
    said = neurons @ (writes @ classes)
    along = (sum_waves(task.p, key) * said).sum(axis=0) ** 2
    return AdditionMeasures(
        key=key,
        embedding_share=digits.share[1:],
        frequency=own.frequency,
        share=own.share,
        head_share=heads.share,
        map_share=power / power.sum(),
        sums=along / np.maximum(len(said) * said.var(axis=0), TINY),
        logit_share=addition_shares(logits, range(1, (task.p + 1) // 2)),
        complement=split_loss(logits - logits @ classes @ classes.T, task),
        epochs=np.array(epochs),
        history=history,
        phases=phases(*courses, float(np.log(task.p))),
    )
