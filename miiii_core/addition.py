r"""Modular addition by the measures of Nanda et al. (2023), from the embedding to the logits.

Digits are embedded as waves of a few key frequencies w; neurons, one frequency each, multiply
waves of the two digits; W_L = W_out·W_U reads waves of the sum off them, and the logits add up
$\cos(w(x_0 + x_1 - c))$. Three phases of training show in losses with and without these waves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .fourier import fourier_basis, fourier_gini, frequency_power, key_frequencies, neuron_frequency
from .losses import cross_entropy
from .model import Transformer, logit_map
from .runs import Run
from .shares import centred_power, unit_grids
from .tasks import Task
from .waves import Waves, columns

Tensor = np.ndarray | Array
EXPLAINED = 0.85  # share of variance from which a neuron counts as being of one frequency
FORMING, SETTLED = 0.9, 0.01  # shares of the largest loss, and of that of guessing; see `Phases`
TINY = float(np.finfo(float).tiny)


def sum_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "n waves"]:
    """Return orthonormal columns cos and sin of 2πk(x0 + x1)/p over the p² inputs, for each k.

    Raises:
        ValueError: for a frequency outside 1..(p-1)/2.
    """
    numbers = np.arange(p**2)
    waves = Waves.of([(int(k), p) for k in frequencies])
    return np.sqrt(2) / p * columns(waves, numbers % p + numbers // p)


def block_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "n waves"]:
    """Return all that each frequency can do: {1, cos, sin} of x0 times those of x1, less 1·1.

    They are eight orthonormal columns for each k, of which `sum_waves` spans two.
    """
    products = [
        np.outer(own[j], own[i]).ravel()  # rows are n = x0 + p·x1: x0 runs fastest
        for own in (fourier_basis(p)[[0, 2 * k - 1, 2 * k]] for k in frequencies)
        for i in range(3)
        for j in range(3)
        if i or j
    ]
    return np.array(products).reshape(-1, p * p).T


def restricted(
    values: Float[Tensor, "n columns"], waves: Float[Tensor, "n waves"]
) -> Float[Tensor, "n columns"]:
    """Keep of each column its mean and what orthonormal waves over the inputs explain of it.

    Source: Nanda et al. (2023), restricted loss, where the columns are logits.
    """
    return values.mean(axis=0, keepdims=True) + waves @ (waves.T @ values)


def excluded(
    values: Float[Tensor, "n columns"], waves: Float[Tensor, "n waves"]
) -> Float[Tensor, "n columns"]:
    """Take out of each column what orthonormal waves over the inputs explain of it.

    Source: Nanda et al. (2023), excluded loss, where the columns are logits.
    """
    return values - waves @ (waves.T @ values)


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
    """Progress measures of a model, or of one snapshot after another along a first axis.

    Attributes:
        loss: Loss on training inputs and on all others, in nats.
        logits: Losses by waves of x0 + x1 in the logits: all key frequencies, then each alone.
        neurons: Losses by all that a frequency can do in the neurons, for the same sets.
        random: The same as `logits`, for random sets of as many other frequencies.
        gini: Gini coefficients of the Fourier norms of W_E, and of W_L over the classes.
        squared_weights: Sum of squares of all weights.
    """

    loss: Float[np.ndarray, "*epochs 2"]
    logits: Parts
    neurons: Parts
    random: Parts
    gini: Float[np.ndarray, "*epochs 2"]
    squared_weights: Float[np.ndarray, "*epochs"]


def moment(
    model: Transformer, task: Task, key: Sequence[int], *, draws: int = 20, seed: int = 0
) -> Moment:
    """Compute the progress measures of a model of any epoch.

    Args:
        model: The model.
        task: Modular addition.
        key: Key frequencies of the trained model.
        draws: Number of random sets of as many other frequencies, the controls.
        seed: Seed of the random sets.
    """
    a, writes = model.activations(jnp.asarray(task.digits)), logit_map(model)
    written = jnp.matmul(a.neurons, jnp.asarray(writes, jnp.float32), precision="highest")
    generator, sets = np.random.default_rng(seed), [list(key), *([k] for k in key)]
    spare = [k for k in range(1, (task.p + 1) // 2) if k not in key]
    others = [generator.permutation(spare)[: len(key)].astype(int).tolist() for _ in range(draws)]
    nothing = jnp.zeros_like(written)
    return Moment(
        loss=split_loss(a.logits, task),
        logits=_parts(a.logits, nothing, sum_waves, sets, task),
        # From neurons to logits the map is linear: waves may go from what the neurons write.
        neurons=_parts(written, a.logits - written, block_waves, sets, task),
        random=_parts(a.logits, nothing, sum_waves, others, task),
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
    """Where the three phases end; NaN where that cannot be placed.

    Attributes:
        memorised: Excluded loss on training inputs is at its least.
        formed: Unseen loss last has 90 % of its maximum.
        cleaned: Unseen loss stays below 1 % of that of guessing.
    """

    memorised: Bracket
    formed: Bracket
    cleaned: Bracket


def phases(
    snapshots: Sequence[int],
    excluded_loss: Float[np.ndarray, " snapshots"],
    epochs: Int[np.ndarray, " records"],
    unseen: Float[np.ndarray, " records"],
    guessing: float,
) -> Phases:
    """Place the three phases by losses alone: those at snapshots, and those at all records.

    Epochs ascend, and losses are in nats; guessing has that of answering all classes alike.
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
    """All measures of a run of modular addition.

    Attributes:
        key: Key frequencies, those whose cos or sin stands out of the trained W_E.
        embedding_share: Share of W_E's energy at k = 1..(p-1)/2, the mean over digits removed.
        frequency: Frequency of each neuron after the ReLU; 0 if it is constant.
        share: Share of each neuron's variance in the 3×3 block of its frequency.
        head_frequency: Frequency of each head's attention to x0.
        head_share: Share of its variance in the block of its frequency.
        head_key_share: Share of it in all waves and products of key frequencies.
        map_share: Share of W_L's energy over the classes at k = 0..(p-1)/2.
        sums: Share of what neurons say along each key direction of W_L, cos and sin, that is a
            multiple of the wave cos or sin of w(x0 + x1).
        logit_share: Share of the logits' variance in cos(w(x0 + x1 - c)) at k = 1..(p-1)/2.
        skip_share: Share of the logits' variance in what passes the neurons by.
        complement: Loss on training and other inputs without the key directions of the classes.
        epochs: Epochs of the snapshots.
        history: Progress measures at these; the last is of the trained model.
        phases: Where the three phases end.
    """

    key: tuple[int, ...]
    embedding_share: Float[np.ndarray, " frequencies"]
    frequency: Int[np.ndarray, " neurons"]
    share: Float[np.ndarray, " neurons"]
    head_frequency: Int[np.ndarray, " heads"]
    head_share: Float[np.ndarray, " heads"]
    head_key_share: Float[np.ndarray, " heads"]
    map_share: Float[np.ndarray, " frequencies+1"]
    sums: Float[np.ndarray, "keys 2"]
    logit_share: Float[np.ndarray, " frequencies"]
    skip_share: float
    complement: Float[np.ndarray, "2"]
    epochs: Int[np.ndarray, " snapshots"]
    history: Moment
    phases: Phases

    @property
    def circuit_forms(self) -> bool:
        """Whether restricted loss and weights fall and excluded loss rises in the second phase."""
        low, high = self.phases.memorised.low, self.phases.formed.low
        inside = (self.epochs > low) & (self.epochs <= high)
        if inside.sum() < 2:
            return False
        past = self.history
        weights, kept = past.squared_weights[inside], past.logits.restricted[inside, 0, 0]
        left = past.logits.excluded[inside, 0, 0]
        return bool(kept[-1] < kept[0] and weights[-1] < weights[0] and left[-1] > left[0])

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
    """Measure a run of modular addition: its trained weights, and each of its snapshots.

    Args:
        run: A finished run of T_nanda.
        draws: Number of random sets of frequencies, the controls.
        seed: Seed of the random sets.

    Raises:
        ValueError: for a run of another task, or one without snapshots.
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
    classes, looking = _class_waves(task.p, key), centred_power(looks)
    said = neurons @ (writes @ classes.T)
    along = (sum_waves(task.p, key) * said).sum(axis=0) ** 2 / np.maximum(_energy(said), TINY)
    by_key = looking[:, [0, *key]][:, :, [0, *key]].sum(axis=(1, 2))
    return {
        "frequency": np.asarray(own.frequency),
        "share": np.asarray(own.share),
        "head_frequency": np.asarray(heads.frequency),
        "head_share": np.asarray(heads.share),
        "head_key_share": by_key / np.maximum(looking.sum(axis=(1, 2)), TINY),
        "map_share": power / power.sum(),
        "sums": along.reshape(-1, 2),
        "logit_share": addition_shares(logits, range(1, (task.p + 1) // 2)),
        "skip_share": float(_energy(logits - neurons @ writes).sum() / _energy(logits).sum()),
        "complement": split_loss(logits - logits @ classes.T @ classes, task),
    }


def _parts(
    values: Array,
    rest: Array,
    waves_of: Callable[[int, Sequence[int]], np.ndarray],
    sets: Sequence[Sequence[int]],
    task: Task,
) -> Parts:
    """Score the rest plus what each set of frequencies keeps of the values, or leaves of them."""
    found = []
    for frequencies in sets:
        waves = jnp.asarray(waves_of(task.p, frequencies), jnp.float32)
        found.append([split_loss(logits, task) for logits in _kept_and_left(values, rest, waves)])
    return Parts(*np.moveaxis(np.array(found), 1, 0))


@jax.jit
def _kept_and_left(values: Array, rest: Array, waves: Array) -> tuple[Array, Array]:
    with jax.default_matmul_precision("highest"):
        return rest + restricted(values, waves), rest + excluded(values, waves)


def _class_waves(p: int, frequencies: Sequence[int]) -> Float[np.ndarray, "waves p"]:
    """Return cos and sin of each frequency along the classes, rows of length 1."""
    return fourier_basis(p)[[row for k in frequencies for row in (2 * k - 1, 2 * k)]]


def _energy(columns: np.ndarray) -> Float[np.ndarray, " columns"]:
    return ((columns - columns.mean(axis=0, keepdims=True)) ** 2).sum(axis=0)
