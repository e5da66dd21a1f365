"""Interventions: take parts of the network out, and see what each task loses.

A part is set to its mean over all inputs, which keeps what the part always says, or to zero, which
removes that too. That is an edit of the forward pass: all that follows is computed again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from .fourier import fourier_1d, inverse_fourier_1d
from .losses import task_accuracies, task_losses
from .model import Activations, Edit, Transformer, with_weights
from .tasks import Task
from .waves import Waves, basis

Tensor = np.ndarray | Array
FILLS = ("mean", "zero")
CHUNK_BYTES = 1 << 25  # memory for the logits of neurons that are taken out side by side


class Scores(NamedTuple):
    """Mean loss (nats) and mean accuracy of each task, or changes of them; tasks come last."""

    loss: Float[Tensor, "*units tasks"]
    accuracy: Float[Tensor, "*units tasks"]

    def minus(self, other: "Scores") -> "Scores":
        """Return the change from another: loss - other.loss, and so for the accuracy."""
        return Scores(self.loss - other.loss, self.accuracy - other.accuracy)


def score(
    logits: Float[Tensor, "n n_classes"], task: Task, rows: Int[Tensor, " rows"] | None = None
) -> Scores:
    """Average loss and accuracy of each task over all inputs, or over some rows of them.

    Raises:
        ValueError: for logits that do not have one row for each input, or for no rows.
    """
    return mean_scores(*_on_rows(logits, task, rows), task.class_sizes)


@partial(jax.jit, static_argnames="class_sizes")
def mean_scores(
    logits: Float[Tensor, "n n_classes"],
    targets: Int[Tensor, "n tasks"],
    class_sizes: tuple[int, ...],
) -> Scores:
    """Average loss and accuracy of each task over inputs, from their logits and right classes."""
    values, answers = jnp.asarray(logits), jnp.asarray(targets)
    measures = (task_losses, task_accuracies)
    return Scores(*(each(values, answers, class_sizes).mean(axis=0) for each in measures))


def unit_mask(chosen: Sequence[int], count: int) -> Bool[np.ndarray, " units"]:
    """Mark the units of some numbers, 0 to count - 1; refuse other numbers."""
    if wrong := [unit for unit in chosen if not 0 <= unit < count]:
        raise ValueError(f"no unit has number {wrong}; the {count} units are 0 to {count - 1}")
    return np.isin(np.arange(count), chosen)


def ablate_heads(
    activations: Activations, removed: Bool[Tensor, " heads"], fill: str = "mean"
) -> Edit:
    """Return the edit that sets the output of some heads to its mean over all inputs, or to zero.

    Args:
        activations: Activations over all inputs.
        removed: Whether each head is taken out; see `unit_mask`.
        fill: One of `FILLS`.

    Raises:
        ValueError: for another fill, or a mask of another length.
    """
    return _filled("head_out", activations.head_out, removed, fill)


def ablate_neurons(
    activations: Activations, removed: Bool[Tensor, " neurons"], fill: str = "mean"
) -> Edit:
    """Return the edit that sets some neurons to their means, or to zero; see `ablate_heads`."""
    return _filled("neurons", activations.neurons, removed, fill)


def fix_attention(activations: Activations, fixed: Bool[Tensor, " heads"]) -> Edit:
    """Return the edit that sets the pattern of some heads to its mean over all inputs.

    What a head reads still varies, so what is lost is what it does by looking now here, now there.
    """
    return _filled("attention", activations.attention, fixed, "mean")


def without_waves(
    activations: Activations, waves: Waves, site: str, rows: Int[Tensor, " rows"] | None = None
) -> Edit:
    """Return the edit that takes waves of n mod q out of the neurons or of the residual stream.

    Args:
        activations: Activations over all inputs 0..p²-1, on which the waves are fitted.
        waves: The waves to take out.
        site: ``"neurons"``, or ``"resid_post"`` for the stream that the logits are read from.
        rows: Inputs that the edited network will see; all by default.

    Raises:
        ValueError: for another site, rows that are no inputs, or waves that do not exist.
    """
    if site not in ("neurons", "resid_post"):
        raise ValueError(f"site={site!r} holds no waves to take out; give neurons or resid_post")
    values = np.asarray(getattr(activations, site), float)
    columns = basis(waves, np.arange(len(values)))
    there = columns if rows is None else columns[check_rows(rows, len(values))]
    along = jnp.asarray(there @ (columns.T @ values), jnp.float32)
    return {site: Partial(jnp.add, -along)}


def logits_with(
    model: Transformer, task: Task, edit: Edit, rows: Int[Tensor, " rows"] | None = None
) -> Float[Array, "rows n_classes"]:
    """Compute the logits of an edited network: all that follows the edit is computed again.

    Args:
        model: The network.
        task: The task that has the inputs.
        edit: Functions by site, as in `Transformer.activations`; those of this module compile once.
        rows: Inputs whose logits are wanted; all by default.
    """
    digits = task.digits if rows is None else task.digits[np.asarray(rows)]
    return _edited_logits(model, jnp.asarray(digits), dict(edit))


def without_frequencies(model: Transformer, removed: Bool[Tensor, " frequencies"]) -> Transformer:
    """Take frequencies of the p-DFT out of the embedding of the digits, W_E[:p].

    The mask says of each k = 1..(p-1)/2 whether it goes, both its cosine and its sine. The mean
    over the digits stays, and so does the read-out token's row.
    """
    p = model.p
    gone = jnp.repeat(jnp.asarray(_mask(removed, (p - 1) // 2, "frequencies"), float), 2)
    left = jnp.concatenate([jnp.ones(1), 1 - gone])
    digits = inverse_fourier_1d(fourier_1d(model.W_E[:p]) * left[:, None])
    return with_weights(model, W_E=model.W_E.at[:p].set(digits))


def neuron_effects(
    activations: Activations,
    model: Transformer,
    task: Task,
    *,
    fill: str = "mean",
    rows: Int[Tensor, " rows"] | None = None,
) -> Scores:
    r"""Measure what taking out each neuron by itself does to each task, without another pass.

    $$\Delta z_n = -(h_{nj} - \bar h_j) \, W_{out}[j] W_U$$

    is all that changes when neuron j is set to its mean.

    Args:
        activations: Activations over all inputs.
        model: The network that they belong to.
        task: The task that has the targets.
        fill: What a neuron is set to: its mean over all inputs, or zero.
        rows: Inputs over which the effect is averaged; all by default.

    Returns:
        Changes of loss (nats) and accuracy, axes (neuron, task); a loss above 0 is harm.

    Raises:
        ValueError: for another fill, logits that do not have one row for each input, or no rows.
    """
    logits, targets = _on_rows(activations.logits, task, rows)
    swing = activations.neurons - jnp.asarray(fill_of(activations.neurons, fill))
    swing = swing if rows is None else swing[np.asarray(rows)]
    writes = jnp.matmul(model.W_out, model.W_U, precision="highest")
    batch = max(1, CHUNK_BYTES // (4 * logits.size))
    return _rank_one_effects(swing, writes, logits, targets, task.class_sizes, batch)


class Graded(NamedTuple):
    """Scores without the first units of an order, and without as many random others.

    Attributes:
        doses: Numbers of units taken out.
        chosen: Scores without the first units, axes (dose, task).
        controls: Scores without random units, axes (draw, dose, task).
    """

    doses: Int[np.ndarray, " doses"]
    chosen: Scores
    controls: Scores


def graded_ablation(
    ablate: Callable[[Bool[Array, " units"]], Float[Array, "rows n_classes"]],
    order: Int[Tensor, " units"],
    doses: Sequence[int],
    task: Task,
    *,
    rows: Int[Tensor, " rows"] | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Graded:
    """Take out the first few units of an order, then more, beside random sets of equal size.

    A set that holds most of the network cannot be told from a random one of that size, so each
    control is drawn from the units outside the set, and no dose exceeds half of all.

    Args:
        ablate: Function, traced once, from a mask of units taken out to the logits of the rows.
        order: All units, the first to go first.
        doses: Numbers of units to take out.
        task: The task that has the targets.
        rows: Inputs over which scores are averaged; all by default.
        draws: Number of random sets for each dose.
        seed: Seed of the random sets.

    Raises:
        ValueError: for a dose beyond half of the units, or less than one draw.
    """
    units, targets = len(order), task.targets if rows is None else task.targets[np.asarray(rows)]
    if not doses or draws < 1 or not 0 <= min(doses) <= max(doses) <= units // 2:
        raise ValueError(
            f"doses={list(doses)}, draws={draws} leave no controls to draw; give doses from 0 to "
            f"{units // 2}, half of the units, and at least 1 draw"
        )
    generator, first = np.random.default_rng(seed), np.asarray(order)
    masks = np.zeros((1 + draws, len(doses), units), bool)
    for column, dose in enumerate(doses):
        masks[0, column, first[:dose]] = True
        for row in masks[1:, column]:
            row[generator.permutation(first[dose:])[:dose]] = True
    scores = jax.lax.map(
        lambda mask: mean_scores(ablate(mask), jnp.asarray(targets), task.class_sizes),
        jnp.asarray(masks.reshape(-1, units)),
    )
    loss, accuracy = (np.asarray(each).reshape(*masks.shape[:2], -1) for each in scores)
    return Graded(np.asarray(doses), Scores(loss[0], accuracy[0]), Scores(loss[1:], accuracy[1:]))


def fill_of(values: Float[Tensor, "n *unit"], fill: str) -> Float[np.ndarray, "1 *unit"]:
    """Return what values that are taken out are set to: their mean over the inputs, or zero."""
    if fill not in FILLS:
        raise ValueError(f"fill={fill!r} was given; it takes one of {', '.join(FILLS)}")
    return np.asarray(values).mean(axis=0, keepdims=True) * (fill == "mean")


def check_rows(rows: Int[Tensor, " rows"], count: int) -> Int[np.ndarray, " rows"]:
    """Refuse no rows, and rows that there is no input for; a negative one counts from the end."""
    chosen = np.asarray(rows)
    if len(chosen) == 0 or not 0 <= chosen.min() <= chosen.max() < count:
        raise ValueError(f"rows={chosen} were given; give one or more inputs, 0 to {count - 1}")
    return chosen


def _set_to(chosen: Array, instead: Array, values: Array) -> Array:
    return jnp.where(chosen, instead, values)


def _filled(site: str, values: Array, chosen: Bool[Tensor, " units"], fill: str) -> Edit:
    """Return the edit that sets some units of a site, on its second axis, to mean or zero."""
    instead = jnp.asarray(fill_of(values, fill))
    mask = jnp.reshape(_mask(chosen, values.shape[1], site), (1, -1, *[1] * (values.ndim - 2)))
    return {site: Partial(_set_to, mask, instead)}


def _mask(chosen: Bool[Tensor, " units"], count: int, what: str) -> Bool[Array, " units"]:
    if chosen.shape != (count,):
        raise ValueError(
            f"a mask of shape {chosen.shape} was given for {count} {what}; it must have one "
            f"entry for each, as unit_mask(numbers, {count}) makes it"
        )
    return jnp.asarray(chosen)


@eqx.filter_jit
def _edited_logits(
    model: Transformer, digits: Int[Array, "n 2"], edit: Edit
) -> Float[Array, "n n_classes"]:
    return model.activations(digits, edit).logits


@partial(jax.jit, static_argnames=("class_sizes", "batch"))
def _rank_one_effects(
    swing: Float[Array, "n neurons"],
    writes: Float[Array, "neurons n_classes"],
    logits: Float[Array, "n n_classes"],
    targets: Int[Array, "n tasks"],
    class_sizes: tuple[int, ...],
    batch: int,
) -> Scores:
    """Score each rank-one change of the logits, some at a time to bound the memory."""
    measures = (task_losses, task_accuracies)
    before = [each(logits, targets, class_sizes) for each in measures]

    def effect(neuron: tuple[Array, Array]) -> Scores:
        changed = logits - neuron[0][:, None] * neuron[1][None, :]
        after = [each(changed, targets, class_sizes) for each in measures]
        # Differences first, mean last: small effects survive beside large losses.
        return Scores(*((a - b).mean(axis=0) for a, b in zip(after, before, strict=True)))

    return jax.lax.map(effect, (swing.T, writes), batch_size=batch)


def _on_rows(logits: Tensor, task: Task, rows: Tensor | None) -> tuple[Array, Array]:
    """Return the logits and the targets of all inputs, or of some."""
    shape = (len(task.digits), task.n_classes)
    if logits.shape != shape:
        raise ValueError(f"logits of shape {logits.shape} were given; this task has {shape}")
    chosen = slice(None) if rows is None else check_rows(rows, shape[0])
    return jnp.asarray(logits)[chosen], jnp.asarray(task.targets[chosen])
