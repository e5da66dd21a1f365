"""Interventions: take parts of the network out, and see what each task loses.

A part is set to its mean over all inputs, which keeps what the part always says, or to zero, which
removes that too. That is an edit of the forward pass: all that follows is computed again.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from .losses import task_accuracies, task_losses
from .model import Activations, Edit, Transformer
from .tasks import Task
from .waves import Waves, basis

Tensor = np.ndarray | Array
FILLS = ("mean", "zero")


class Scores(NamedTuple):
    """Mean loss (nats) and mean accuracy of each task."""

    loss: Float[Tensor, " tasks"]
    accuracy: Float[Tensor, " tasks"]


def score(
    logits: Float[Tensor, "n n_classes"], task: Task, rows: Int[Tensor, " rows"] | None = None
) -> Scores:
    """Average loss and accuracy of each task over all inputs, or over some rows of them.

    ValueError for logits that do not have one row for each input, or for no rows.
    """
    shape = (len(task.digits), task.n_classes)
    if logits.shape != shape:
        raise ValueError(f"logits of shape {logits.shape} were given; this task has {shape}")
    chosen = slice(None) if rows is None else check_rows(rows, shape[0])
    return mean_scores(jnp.asarray(logits)[chosen], task.targets[chosen], task.class_sizes)


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

    Activations are those over all inputs; `unit_mask` makes a mask from numbers. ValueError for a
    mask of another length, or a fill that is not in `FILLS`.
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
    """Compute the logits of an edited network, over all inputs or some rows of them.

    An edit has functions by site, as `Transformer.activations` takes them. All that follows them
    is computed again; the edits of this module compile once.
    """
    digits = task.digits if rows is None else task.digits[np.asarray(rows)]
    return _edited_logits(model, jnp.asarray(digits), dict(edit))


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
