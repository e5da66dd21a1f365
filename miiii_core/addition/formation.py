"""How the circuit of modular addition forms: its losses at each snapshot, and three phases."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..analysis.progress import (
    block_waves,
    cross_entropy,
    excluded,
    fourier_gini,
    restricted,
    sum_waves,
)
from ..circuits.ablation import held_out
from ..network.model import Transformer
from ..storage.saved import Run
from ..tasks import Task

Tensor = np.ndarray | Array
SETTLED_SHARE, FORMING_SHARE = 0.01, 0.9


class Parts(NamedTuple):
    """Losses (nats) with some frequencies alone, and with all but them.

    The last axis has the mean over training inputs, then over all others; the one before it
    has a row for each set of frequencies.
    """

    restricted: Float[np.ndarray, "*epochs sets 2"]
    excluded: Float[np.ndarray, "*epochs sets 2"]


class Moment(NamedTuple):
    """Progress measures of weights, or of one snapshot after another along a first axis.

    Attributes:
        loss: On training inputs and on the others.
        logits: Waves of x0 + x1 in the logits: all key frequencies, then each alone.
        neurons: All that a frequency can do in the neurons, for the same sets.
        random: As `logits`, for random sets of as many other frequencies.
        gini: Of the norms of the Fourier components of W_E, and of W_out·W_U over the classes.
        squared_weights: Sum over all weights.
    """

    loss: Float[np.ndarray, "*epochs 2"]
    logits: Parts
    neurons: Parts
    random: Parts
    gini: Float[np.ndarray, "*epochs 2"]
    squared_weights: Float[np.ndarray, "*epochs"]


def history(run: Run, key: Sequence[int], *, draws: int = 20, seed: int = 0) -> Moment:
    """The progress measures of every snapshot of a run, epochs along the first axis.

    Args:
        run: Of modular addition.
        key: Key frequencies of the trained model: the same at every epoch.
        draws: Random sets of frequencies as controls, the same at every epoch.
        seed: Of the draws.

    Raises:
        ValueError: for a run without snapshots.
    """
    if not run.snapshot_epochs:
        raise ValueError(
            f"{run.folder} has no snapshots, so nothing is known of the way; "
            "train it with n_snapshots of 1 or more"
        )
    moments = [
        moment(run.snapshot(epoch), run.task, key, draws=draws, seed=seed)
        for epoch in run.snapshot_epochs
    ]
    return jax.tree.map(lambda *values: np.stack(values), *moments)


def moment(
    model: Transformer, task: Task, key: Sequence[int], *, draws: int = 20, seed: int = 0
) -> Moment:
    """The progress measures of one model; see `Moment`."""
    a = model.activations(jnp.asarray(task.digits))
    written = a.neurons @ jnp.asarray(logit_map(model), jnp.float32)
    nothing, digits = jnp.zeros((1, task.p)), np.asarray(model.W_E[: task.p])
    sets = [list(key), *([k] for k in key)]
    others = list(_others(task.p, key, draws, seed))
    return Moment(
        loss=split_loss(a.logits, task),
        logits=_parts(a.logits, nothing, sum_waves, sets, task),
        neurons=_parts(written, a.logits - written, block_waves, sets, task),
        random=_parts(a.logits, nothing, sum_waves, others, task),
        gini=np.array([fourier_gini(columns) for columns in (digits, logit_map(model).T)]),
        squared_weights=np.array(sum(float((w**2).sum()) for w in model.weights.values())),
    )


def logit_map(model: Transformer) -> Float[np.ndarray, "neurons p"]:
    """W_L = W_out·W_U: what each neuron adds to the logits, in double precision."""
    return np.asarray(model.W_out, float) @ np.asarray(model.W_U, float)


def split_loss(logits: Float[Tensor, "n p"], task: Task) -> Float[np.ndarray, "2"]:
    """Mean loss in nats over the training inputs, and over all others."""
    return _split_means(cross_entropy(logits, task.targets[:, 0]), task)


def _split_means(losses: Array, task: Task) -> Float[np.ndarray, "2"]:
    values = np.asarray(losses, float)
    return np.array([values[task.train].mean(), values[held_out(task)].mean()])


def _parts(
    values: Array,
    rest: Array,
    waves_of: Callable[[int, Sequence[int]], np.ndarray],
    sets: Sequence[Sequence[int]],
    task: Task,
) -> Parts:
    """Losses of the rest plus what is left of the values, which all of the logits add up to.

    Waves over the inputs can be taken out of the neurons or of what the neurons write: the map
    from one to the other is linear and the same for all inputs.
    """
    found, targets = [], jnp.asarray(task.targets[:, 0])
    for frequencies in sets:
        waves = jnp.asarray(waves_of(task.p, frequencies), jnp.float32)
        losses = _kept_and_left(values, rest, waves, targets)
        found.append([_split_means(each, task) for each in losses])
    return Parts(*np.moveaxis(np.array(found), 1, 0))


@jax.jit
def _kept_and_left(values: Array, rest: Array, waves: Array, targets: Array) -> tuple[Array, Array]:
    """Losses of all inputs with the waves alone, and without them."""
    kept, left = rest + restricted(values, waves), rest + excluded(values, waves)
    return cross_entropy(kept, targets), cross_entropy(left, targets)


def _others(p: int, key: Sequence[int], draws: int, seed: int) -> Iterator[list[int]]:
    """Random sets of frequencies that are not key: as many, or all there are if fewer."""
    generator = np.random.default_rng(seed)
    spare = [k for k in range(1, (p + 1) // 2) if k not in key]
    for _ in range(draws):
        yield generator.permutation(spare)[: len(key)].astype(int).tolist()


class Bracket(NamedTuple):
    """An epoch as far as it is known: after one record, and not after another."""

    low: float
    high: float


class Phases(NamedTuple):
    """Where the three phases end; nan where that cannot be placed.

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
    unseen_loss: Float[np.ndarray, " records"],
    guessing: float,
) -> Phases:
    """Place the three phases of Nanda et al. (2023) by rules that look at losses alone.

    Memorisation lowers excluded loss, the circuit raises it; cleanup lowers unseen loss. The
    first is known from snapshots only, the others from all that was recorded.

    Args:
        snapshots: Epochs of the snapshots, increasing.
        excluded_loss: On training inputs, without the key frequencies.
        epochs: Epochs recorded, increasing.
        unseen_loss: In nats, at these.
        guessing: Loss of answering all classes alike, in nats.
    """
    lowest = int(np.argmin(excluded_loss))
    inside = 0 < lowest < len(snapshots) - 1
    turn = Bracket(*map(float, snapshots[lowest - 1 : lowest + 2 : 2])) if inside else _never()
    return Phases(
        memorised=turn,
        formed=_last(epochs, unseen_loss >= FORMING_SHARE * unseen_loss.max()),
        cleaned=_last(epochs, unseen_loss > SETTLED_SHARE * guessing),
    )


def circuit_forms(epochs: Int[np.ndarray, " snapshots"], past: Moment, placed: Phases) -> bool:
    """Whether the circuit forms in the second phase, from its first to its last snapshot.

    Restricted loss and weights fall and excluded loss rises, all on training inputs.

    Source: Nanda et al. (2023), who describe circuit formation so.
    """
    inside = np.flatnonzero((epochs > placed.memorised.low) & (epochs <= placed.formed.low))
    if len(inside) < 2:
        return False
    kept, left = past.logits.restricted[inside, 0, 0], past.logits.excluded[inside, 0, 0]
    weights = past.squared_weights[inside]
    return bool(kept[-1] < kept[0] and weights[-1] < weights[0] and left[-1] > left[0])


def unseen_loss(run: Run) -> Float[np.ndarray, " records"]:
    """Recorded loss of a single task over all inputs not trained on, validation and test."""
    sizes = np.array([len(run.task.validation), len(run.task.test)])
    recorded = run.metrics["loss"][:, 1:, 0]
    return recorded[:, sizes > 0] @ (sizes[sizes > 0] / sizes.sum())


def _last(epochs: np.ndarray, holds: np.ndarray) -> Bracket:
    """From the last record at which something holds to the next, if there is a next."""
    last = int(np.flatnonzero(holds)[-1]) if holds.any() else len(holds)
    return Bracket(*map(float, epochs[last : last + 2])) if last + 1 < len(epochs) else _never()


def _never() -> Bracket:
    return Bracket(np.nan, np.nan)
