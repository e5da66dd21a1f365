"""Interventions: take a part of the network out, and see what each task loses.

Every result is exact over the inputs. After the ReLU all is linear, so neurons and
directions of the logits are taken out without a rerun; heads and attention are upstream of
it, so the neurons are computed again. A part is taken out by setting it to its mean over all
inputs, which keeps what the part always says, or to zero, which removes that too.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..analysis.spectral import fourier_1d, inverse_fourier_1d
from ..network.model import Activations, Transformer
from ..tasks import Task, task_columns

Tensor = np.ndarray | Array
FILLS = ("mean", "zero")
CHUNK_BYTES = 1 << 25  # what the logits of the neurons taken out side by side may occupy


class Scores(NamedTuple):
    """Mean loss in nats and mean accuracy of each task, or changes of them; the last axis."""

    loss: Float[Tensor, "*units tasks"]
    accuracy: Float[Tensor, "*units tasks"]

    def minus(self, other: "Scores") -> "Scores":
        """The change from another: loss - other.loss, and so for the accuracy."""
        return Scores(self.loss - other.loss, self.accuracy - other.accuracy)


def unit_mask(chosen: Sequence[int], count: int) -> Bool[np.ndarray, " units"]:
    """Which of so many units are chosen, by their numbers from 0 on.

    Raises:
        ValueError: for a number outside ``range(count)``.
    """
    wrong = [unit for unit in chosen if not 0 <= unit < count]
    if wrong:
        raise ValueError(f"no unit has number {wrong}; the {count} units are 0 to {count - 1}")
    return np.isin(np.arange(count), chosen)


def held_out(task: Task) -> Int[np.ndarray, " rows"]:
    """The inputs not trained on: validation and test, ascending."""
    return np.sort(np.concatenate([task.validation, task.test]))


def score(
    logits: Float[Tensor, "n n_classes"], task: Task, rows: Int[Tensor, " rows"] | None = None
) -> Scores:
    """Mean loss and accuracy of each task over all inputs, or over some rows of them.

    Raises:
        ValueError: for logits that do not have one row for each input, or for no rows.
    """
    logits, targets = _on_rows(logits, task, rows)
    return mean_scores(logits, targets, task.class_sizes)


@partial(jax.jit, static_argnames="class_sizes")
def mean_scores(
    logits: Float[Array, "n n_classes"],
    targets: Int[Array, "n tasks"],
    class_sizes: tuple[int, ...],
) -> Scores:
    """Mean loss and accuracy of each task over inputs, by their logits and right classes."""
    losses, right = _losses_and_hits(logits, targets, class_sizes)
    return Scores(losses.mean(axis=0), right.mean(axis=0))


def with_weights(model: Transformer, **weights: Float[Tensor, "..."]) -> Transformer:
    """A copy of the model with some of its matrices replaced, by name: ``W_pos=...``.

    Raises:
        ValueError: for a name that is no matrix's, or another shape.
    """
    for name, new in weights.items():
        old = model.weights.get(name)
        if old is None or old.shape != new.shape:
            raise ValueError(
                f"{name} of shape {new.shape} fits nowhere; the matrices are "
                + ", ".join(f"{known} {weight.shape}" for known, weight in model.weights.items())
            )
    arrays = [jnp.asarray(weight, jnp.float32) for weight in weights.values()]
    return eqx.tree_at(lambda m: [getattr(m, name) for name in weights], model, arrays)


def swing_of(values: Tensor, fill: str) -> Tensor:
    """What goes when values are set to their mean over the inputs, or to zero, as `FILLS` say."""
    if fill not in FILLS:
        raise ValueError(f"fill={fill!r} will not do; it takes one of {', '.join(FILLS)}")
    return values - values.mean(axis=0, keepdims=True) if fill == "mean" else values


def neuron_effects(
    activations: Activations,
    model: Transformer,
    task: Task,
    *,
    fill: str = "mean",
    rows: Int[Tensor, " rows"] | None = None,
) -> Scores:
    r"""What taking out each neuron by itself does to each task.

    $$\Delta z_n = -(h_{nj} - \bar h_j) \, W_{out}[j] W_U$$

    is all that changes when neuron j is set to its mean, so every neuron's effect on every
    task is found from one pass over the inputs, a few neurons at a time.

    Args:
        activations: Over all inputs.
        model: Whose activations they are.
        task: The targets.
        fill: What a neuron is set to: its mean over all inputs, or zero.
        rows: Inputs over which the effect is averaged; all by default.

    Returns:
        Changes of loss (nats) and accuracy, axes (neuron, task); a loss above 0 is harm.

    Raises:
        ValueError: for another fill, logits that do not have one row for each input, or no rows.
    """
    logits, targets = _on_rows(activations.logits, task, rows)
    shift = swing_of(activations.neurons, fill)
    shift = shift if rows is None else shift[np.asarray(rows)]
    writes = jnp.matmul(model.W_out, model.W_U, precision="highest")
    batch = max(1, CHUNK_BYTES // (4 * logits.size))
    return _rank_one_effects(shift, writes, logits, targets, task.class_sizes, batch)


@eqx.filter_jit
def ablate_neurons(
    activations: Activations,
    model: Transformer,
    removed: Bool[Tensor, " neurons"],
    fill: str = "mean",
    rows: Int[Tensor, " rows"] | None = None,
) -> Float[Array, "rows n_classes"]:
    """Logits with all neurons of a set at their mean over all inputs, or at zero.

    Args:
        activations: Over all inputs.
        model: Whose activations they are.
        removed: The neurons of the set.
        fill: What they are set to: their mean over all inputs, or zero.
        rows: Inputs whose logits are wanted; all by default.

    Raises:
        ValueError: for another fill, or a mask of another length.
    """
    chosen = _mask(removed, activations.neurons.shape[1], "neurons")
    wanted = slice(None) if rows is None else rows
    lost = swing_of(activations.neurons, fill)[wanted] * chosen[None, :]
    with jax.default_matmul_precision("highest"):
        return activations.logits[wanted] - lost @ model.W_out @ model.W_U


@eqx.filter_jit
def ablate_heads(
    activations: Activations,
    model: Transformer,
    removed: Bool[Tensor, " heads"],
    fill: str = "mean",
) -> Float[Array, "n n_classes"]:
    """Logits with the output of some heads at its mean or at zero, the neurons computed again.

    Raises:
        ValueError: for another fill, or a mask of another length.
    """
    chosen = _mask(removed, activations.head_out.shape[1], "heads")
    lost = jnp.einsum(
        "nhd,h->nd", swing_of(activations.head_out, fill), chosen, precision="highest"
    )
    return _from_middle(model, activations.resid_mid - lost)


@eqx.filter_jit
def fix_attention(
    activations: Activations,
    model: Transformer,
    digits: Int[Tensor, "n 2"],
    fixed: Bool[Tensor, " heads"],
) -> Float[Array, "n n_classes"]:
    """Logits with the pattern of some heads at its mean over the inputs; values still vary.

    What is lost is what a head does by looking now here, now there.

    Raises:
        ValueError: for a mask of another length.
    """
    chosen = _mask(fixed, activations.head_out.shape[1], "heads")
    swing = swing_of(activations.attention, "mean") * chosen[None, :, None]
    with jax.default_matmul_precision("highest"):
        end = model.W_E[model.p :] + model.W_pos[2:]
        tables = [*(model.W_E[: model.p][None] + model.W_pos[:2, None]), end]
        reads = [jnp.einsum("td,hde,hef->thf", t, model.W_V, model.W_O) for t in tables]
        lost = jnp.einsum("nh,nhd->nd", swing[:, :, 0], reads[0][digits[:, 0]])
        lost += jnp.einsum("nh,nhd->nd", swing[:, :, 1], reads[1][digits[:, 1]])
        lost += jnp.einsum("nh,hd->nd", swing[:, :, 2], reads[2][0])
    return _from_middle(model, activations.resid_mid - lost)


def without_frequencies(model: Transformer, removed: Bool[Tensor, " frequencies"]) -> Transformer:
    """The model with frequencies taken out of its digits' embedding W_E[:p].

    Entry i of the mask stands for frequency k = i + 1, up to (p-1)/2, and takes both its cos
    and its sin; the mean over the digits stays, and so does the read-out token's row. This is
    one of three places to remove a frequency from: neurons and logits are others, with other
    answers.

    Raises:
        ValueError: for a mask of another length.
    """
    p = model.p
    gone = jnp.repeat(_mask(removed, (p - 1) // 2, "frequencies"), 2)
    left = jnp.concatenate([jnp.ones(1), 1 - gone])
    digits = inverse_fourier_1d(fourier_1d(model.W_E[:p]) * left[:, None])
    return with_weights(model, W_E=model.W_E.at[:p].set(digits))


def _losses_and_hits(
    logits: Float[Array, "n n_classes"],
    targets: Int[Array, "n tasks"],
    class_sizes: tuple[int, ...],
) -> tuple[Float[Array, "n tasks"], Float[Array, "n tasks"]]:
    """What `task_losses` and `task_accuracies` say, four times as fast without a gradient.

    Each task's columns are read by themselves, while they are in the processor's cache.
    """
    losses, hits = [], []
    for task, columns in enumerate(task_columns(class_sizes)):
        own, target = logits[:, columns], targets[:, task : task + 1]
        right = jnp.take_along_axis(own, target, axis=1)
        largest = own.max(axis=1, keepdims=True)
        log_sum = jnp.log(jnp.exp(own - largest).sum(axis=1))
        losses.append(log_sum + (largest - right)[:, 0])
        # Of equal logits the first class is the answer, as for an argmax.
        first = jnp.arange(own.shape[1])[None] < target
        beaten = ((own > right) | ((own == right) & first)).any(axis=1)
        hits.append(~beaten & jnp.isfinite(largest[:, 0]))
    return jnp.stack(losses, axis=1), jnp.stack(hits, axis=1).astype(logits.dtype)


@partial(jax.jit, static_argnames=("class_sizes", "batch"))
def _rank_one_effects(
    shift: Float[Array, "n neurons"],
    writes: Float[Array, "neurons n_classes"],
    logits: Float[Array, "n n_classes"],
    targets: Int[Array, "n tasks"],
    class_sizes: tuple[int, ...],
    batch: int,
) -> Scores:
    """Score each rank-one change of the logits, some at a time to bound the memory."""
    losses, right = _losses_and_hits(logits, targets, class_sizes)

    def effect(neuron: tuple[Array, Array]) -> Scores:
        changed = logits - neuron[0][:, None] * neuron[1][None, :]
        after, hits = _losses_and_hits(changed, targets, class_sizes)
        # Differences first, mean last: small effects survive beside large losses.
        return Scores((after - losses).mean(axis=0), (hits - right).mean(axis=0))

    return jax.lax.map(effect, (shift.T, writes), batch_size=batch)


def _from_middle(
    model: Transformer, resid_mid: Float[Array, "n d_model"]
) -> Float[Array, "n n_classes"]:
    """Logits of a stream after attention."""
    with jax.default_matmul_precision("highest"):
        return model.unembed(model.mlp(resid_mid)[2])


def _mask(chosen: Bool[Tensor, " units"], count: int, what: str) -> Float[Array, " units"]:
    """A mask as numbers, of the length it must have."""
    if chosen.shape != (count,):
        raise ValueError(
            f"a mask of shape {chosen.shape} was given for {count} {what}; it must have one "
            f"entry for each, as unit_mask(numbers, {count}) makes it"
        )
    return jnp.asarray(chosen, jnp.float32)


def _on_rows(logits: Tensor, task: Task, rows: Tensor | None) -> tuple[Array, Array]:
    """Logits and targets of all inputs, or of some."""
    shape = (len(task.digits), task.n_classes)
    if logits.shape != shape:
        raise ValueError(f"logits of shape {logits.shape} were given; this task has {shape}")
    if rows is not None and len(rows) == 0:
        raise ValueError("no rows were given to average over; give at least one, or None for all")
    chosen = slice(None) if rows is None else np.asarray(rows)
    return jnp.asarray(logits)[chosen], jnp.asarray(task.targets[chosen])
