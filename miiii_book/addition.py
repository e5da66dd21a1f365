r"""Modular addition by the measures of Nanda et al. (2023), from the embedding to the logits.

Digits are embedded as waves of a few key frequencies w; neurons, one frequency each, multiply
waves of the two digits; W_L = W_out·W_U reads waves of the sum off them, and the logits add up
$\cos(w(x_0 + x_1 - c))$. Three phases of training show in losses with and without these waves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from miiii_core.fourier import (
    fourier_basis,
    fourier_gini,
    frequency_power,
    key_frequencies,
    matmul,
    neuron_frequency,
)
from miiii_core.losses import cross_entropy
from miiii_core.model import Transformer, logit_map
from miiii_core.runs import Run
from miiii_core.shares import TINY, unit_grids
from miiii_core.tasks import Task
from miiii_core.waves import Waves, columns

Tensor = np.ndarray | Array
EXPLAINED = 0.85  # share of variance from which a neuron counts as being of one frequency
FORMING, SETTLED = 0.9, 0.01  # shares of the largest loss, and of that of guessing; see `Phases`


def sum_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "n waves"]:
    """Return orthonormal columns cos and sin of 2πk(x0 + x1)/p over the p² inputs, for each k.

    ValueError for a frequency outside 1..(p-1)/2.
    """
    numbers = np.arange(p**2)
    waves = Waves.of([(int(k), p) for k in frequencies])
    return np.sqrt(2) / p * columns(waves, numbers % p + numbers // p)


def parted(
    values: Float[Tensor, "n columns"], waves: Float[Tensor, "n waves"]
) -> tuple[Float[Tensor, "n columns"], Float[Tensor, "n columns"]]:
    """Return what orthonormal waves over the inputs explain of each column, and all but that.

    The mean of a column is in both. Of logits, their losses are the restricted and the excluded
    loss of Nanda et al. (2023).
    """
    explained = matmul(waves, matmul(waves.T, values))
    return values.mean(axis=0, keepdims=True) + explained, values - explained


def addition_shares(
    logits: Float[Tensor, "n p"], frequencies: Sequence[int]
) -> Float[np.ndarray, " frequencies"]:
    r"""Return the share of the logits' variance along $\cos(w_k (x_0 + x_1 - c))$, for each k.

    Variance is over inputs, the mean of each class removed.
    """
    p, values = logits.shape[1], np.asarray(logits, float)
    centred = values - values.mean(axis=0, keepdims=True)
    along = (sum_waves(p, frequencies).T @ centred).reshape(-1, 2, p)
    classes = np.stack([_class_waves(p, [k]) for k in frequencies])
    return (along * classes).sum(axis=(1, 2)) ** 2 / 2 / max((centred**2).sum(), TINY)


class Parts(NamedTuple):
    """Losses (nats) with some frequencies alone, and with all but them.

    Axes: a set of frequencies, then the means over training inputs and over all others.
    """

    restricted: Float[np.ndarray, "*epochs sets 2"]
    excluded: Float[np.ndarray, "*epochs sets 2"]


class Moment(NamedTuple):
    """Progress measures of a model, or of one snapshot after another along a first axis."""

    loss: Float[np.ndarray, "*epochs 2"]  #: Loss on training inputs and on all others, in nats
    logits: Parts  #: By waves of x0 + x1 in the logits: all key frequencies, then each alone
    random: Parts  #: As `logits`, for random sets of as many other frequencies
    gini: Float[np.ndarray, "*epochs 2"]  #: Of the Fourier norms of W_E, and of W_L over classes
    squared_weights: Float[np.ndarray, "*epochs"]  #: Sum of squares of all weights


def moment(
    model: Transformer, task: Task, key: Sequence[int], *, draws: int = 20, seed: int = 0
) -> Moment:
    """Compute the progress measures of a model of any epoch.

    The key frequencies are those of the trained model. Controls are so many random sets of as
    many other frequencies.
    """
    a, writes = model.activations(jnp.asarray(task.digits)), logit_map(model)
    generator, sets = np.random.default_rng(seed), [list(key), *([k] for k in key)]
    spare = [k for k in range(1, (task.p + 1) // 2) if k not in key]
    others = [generator.permutation(spare)[: len(key)].astype(int).tolist() for _ in range(draws)]
    return Moment(
        loss=split_loss(a.logits, task),
        logits=_parts(a.logits, sets, task),
        random=_parts(a.logits, others, task),
        gini=np.array([fourier_gini(np.asarray(x)) for x in (model.W_E[: task.p], writes.T)]),
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
    """Place the three phases by losses alone, in nats: those at snapshots, and at all records.

    The epochs ascend; ``guessing`` is the loss of answering all classes alike.
    """
    never, lowest = Bracket(np.nan, np.nan), int(np.argmin(excluded_loss))

    def last(holds: np.ndarray) -> Bracket:
        place = int(np.flatnonzero(holds)[-1]) if holds.any() else len(holds)
        return Bracket(*map(float, epochs[place : place + 2])) if place + 1 < len(epochs) else never

    inside = 0 < lowest < len(snapshots) - 1
    return Phases(
        Bracket(*map(float, snapshots[lowest - 1 : lowest + 2 : 2])) if inside else never,
        last(unseen >= FORMING * unseen.max()),
        last(unseen > SETTLED * guessing),
    )


def unseen_loss(run: Run) -> Float[np.ndarray, " records"]:
    """Return the recorded loss of a single task over all inputs not trained on, in nats."""
    sizes = np.array([len(run.task.validation), len(run.task.test)])
    recorded = run.metrics["loss"][:, 1:, 0]
    return recorded[:, sizes > 0] @ (sizes[sizes > 0] / sizes.sum())


@dataclass(frozen=True, kw_only=True)
class AdditionMeasures:
    """All measures of a run of modular addition; shares are of energy or variance, 0 to 1."""

    key: tuple[int, ...]  #: Frequencies whose cos or sin stands out of the trained W_E
    embedding_share: Float[np.ndarray, " frequencies"]  #: Of W_E less its mean, at k = 1..(p-1)/2
    frequency: Int[np.ndarray, " neurons"]  #: Of each neuron after the ReLU; 0 if constant
    share: Float[np.ndarray, " neurons"]  #: Of each neuron, in the 3×3 block of its frequency
    head_share: Float[np.ndarray, " heads"]  #: Of each head's attention to x0, likewise
    map_share: Float[np.ndarray, " frequencies+1"]  #: Of W_L over the classes, at k = 0..(p-1)/2
    #: Of what neurons say along each key cos and sin of W_L, in that wave of x0 + x1
    sums: Float[np.ndarray, "keys 2"]
    logit_share: Float[np.ndarray, " frequencies"]  #: Of the logits, in cos(w(x0 + x1 - c))
    #: Loss on training and other inputs without the key directions of the classes, in nats
    complement: Float[np.ndarray, "2"]
    epochs: Int[np.ndarray, " snapshots"]  #: Of the snapshots; the last are the trained weights
    history: Moment  #: Progress measures at these
    phases: Phases  #: Where the three phases end

    @property
    def circuit_forms(self) -> bool:
        """Whether restricted loss and weights fall and excluded loss rises in the second phase."""
        low, high = self.phases.memorised.low, self.phases.formed.low
        inside = (self.epochs > low) & (self.epochs <= high)
        past, logits = self.history, self.history.logits
        falling = (past.squared_weights, logits.restricted[:, 0, 0], -logits.excluded[:, 0, 0])
        changes = [values[inside][-1] - values[inside][0] for values in falling if inside.any()]
        return bool(changes and max(changes) < 0)

    @property
    def ours(self) -> dict[str, Bracket]:
        """Each number that Nanda et al. publish, as this run has it; a value is a bracket."""
        key, guessing = np.array(self.key, int), np.log(2 * len(self.embedding_share) + 1)
        some = 1.0 if len(key) else np.nan  # without key frequencies there is nothing to compare
        kept = self.history.logits.restricted[-1, 0, 1]
        single = {
            "key_frequencies": len(key),
            "neurons_explained": (self.share > EXPLAINED).mean(),
            "heads_explained": self.head_share.min(),
            "map_residual": np.sqrt(max(0.0, 1 - self.map_share[key].sum())),
            "sums_explained": self.sums.min(initial=some),
            "logits_explained": self.logit_share[key - 1].sum(),
            "restricted_ratio": some * kept / self.history.loss[-1, 1],
            "complement_ratio": some * self.complement[1] / guessing,
        }
        brackets = {name: Bracket(float(v), float(v)) for name, v in single.items()}
        return brackets | self.phases._asdict()


def measures(run: Run, *, draws: int = 20, seed: int = 0) -> AdditionMeasures:
    """Measure a finished run of modular addition: its trained weights, and each snapshot.

    Controls are so many random sets of frequencies. ValueError for a run of another task, or
    one without snapshots.
    """
    task, epochs = run.task, run.snapshot_epochs
    if task.config.name != "nanda" or not epochs:
        raise ValueError(
            f"{run.folder} is a run of {task.config.name!r} with {len(epochs)} snapshots; give a "
            "run of 'nanda' with one or more, such as runs.cached('nanda')"
        )
    digits = key_frequencies(np.asarray(run.model.W_E[: task.p], float))
    key = tuple(np.flatnonzero(digits.active).tolist())
    past = [moment(run.snapshot(each), task, key, draws=draws, seed=seed) for each in epochs]
    history = jax.tree.map(lambda *values: np.stack(values), *past)
    lost, unseen = history.logits.excluded[:, 0, 0], unseen_loss(run)
    return AdditionMeasures(
        key=key,
        embedding_share=np.asarray(digits.share)[1:],
        epochs=np.array(epochs),
        history=history,
        phases=phases(epochs, lost, run.metrics["epoch"], unseen, float(np.log(task.p))),
        **_stations(run.model, task, key),
    )


def _stations(model: Transformer, task: Task, key: Sequence[int]) -> dict[str, Any]:
    """Measure what heads, neurons, W_L and logits do over all inputs."""
    a, writes = model.activations(jnp.asarray(task.digits)), logit_map(model)
    neurons, logits = np.asarray(a.neurons, float), np.asarray(a.logits, float)
    looks = unit_grids(task, np.asarray(a.attention[:, :, 0], float))
    own, heads = neuron_frequency(unit_grids(task, neurons)), neuron_frequency(looks)
    power = frequency_power(writes.T).sum(axis=1)
    classes = _class_waves(task.p, key)
    said = neurons @ (writes @ classes.T)
    along = (sum_waves(task.p, key) * said).sum(axis=0) ** 2 / np.maximum(_energy(said), TINY)
    return {
        "frequency": np.asarray(own.frequency),
        "share": np.asarray(own.share),
        "head_share": np.asarray(heads.share),
        "map_share": power / power.sum(),
        "sums": along.reshape(-1, 2),
        "logit_share": addition_shares(logits, range(1, (task.p + 1) // 2)),
        "complement": split_loss(logits - logits @ classes.T @ classes, task),
    }


def _parts(logits: Array, sets: Sequence[Sequence[int]], task: Task) -> Parts:
    """Score what waves of x0 + x1 of each set of frequencies explain of logits, and leave."""
    found = []
    for frequencies in sets:
        waves = jnp.asarray(sum_waves(task.p, frequencies), jnp.float32)
        found.append([split_loss(part, task) for part in parted(logits, waves)])
    return Parts(*np.moveaxis(np.array(found), 1, 0))


def _class_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "waves p"]:
    """Return cos and sin of each frequency along the classes, rows of length 1."""
    return fourier_basis(p)[[row for k in frequencies for row in (2 * k - 1, 2 * k)]]


def _energy(columns: np.ndarray) -> Float[np.ndarray, " columns"]:
    return ((columns - columns.mean(axis=0, keepdims=True)) ** 2).sum(axis=0)
