"""Interventions: take parts of the network out, and see what each task loses.

A part is set to its mean over all inputs, which keeps what the part always says. That is an edit
of the forward pass: all that follows is computed again. Any
other edit is written by hand, such as one that takes waves of n mod 7 out of the neurons,
``{"neurons": lambda _: jnp.asarray(waves.remove(activations.neurons, waves_of([7])))}``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from .fourier import Tensor
from .losses import task_accuracies, task_losses
from .model import SITES, Activations, Edit, Transformer
from .tasks import Task


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
    shape, chosen = (len(task.digits), task.n_classes), _inputs(task, rows)
    if logits.shape != shape:
        raise ValueError(f"logits of shape {logits.shape} were given; this task has {shape}")
    values, answers = jnp.asarray(logits)[chosen], jnp.asarray(task.targets[chosen])
    return Scores(*_means(values, answers, task.class_sizes))


def ablate(
    activations: Activations, site: str, units: Sequence[int] | Int[Tensor, " units"]
) -> Edit:
    """Return the edit that sets some units of a site to their mean over all inputs.

    Activations are over all inputs, the site is one of `model.SITES`, and units are numbers of
    heads, neurons or coordinates, on its second axis. At the site ``attention`` a head's pattern
    is held: what it reads still varies, its choice of digit does not. ValueError for another
    site, or for what is no number of a unit, such as a mask.
    """
    if site not in SITES:
        raise ValueError(f"site={site!r} was given; give one of {', '.join(SITES)}")
    values = np.asarray(getattr(activations, site))
    count, numbers = values.shape[1], np.asarray(units)
    if numbers.size and not _within(numbers, count):
        raise ValueError(
            f"units={units} are not all units of {site}; the {count} units are 0 to {count - 1}, "
            "and those of a mask are np.flatnonzero(mask)"
        )
    chosen = np.isin(np.arange(count), numbers).reshape(1, -1, *[1] * (values.ndim - 2))
    instead = values.mean(axis=0, keepdims=True)
    return {site: Partial(_set_to, jnp.asarray(chosen), jnp.asarray(instead))}


def logits_with(
    model: Transformer, task: Task, edit: Edit, rows: Int[Tensor, " rows"] | None = None
) -> Float[Array, "rows n_classes"]:
    """Compute the logits of an edited network, over all inputs or some rows of them.

    An edit has functions by site, as `Transformer.activations` takes them. All that follows them
    is computed again; the edits of this module compile once. ValueError for no rows.
    """
    return _edited_logits(model, jnp.asarray(task.digits[_inputs(task, rows)]), dict(edit))


def _inputs(task: Task, rows: Int[Tensor, " rows"] | None) -> Int[np.ndarray, " rows"]:
    """Return the numbers of some inputs, or of all; ValueError for none, or one that is not."""
    count = len(task.digits)
    chosen = np.arange(count) if rows is None else np.asarray(rows)
    if not chosen.size or not _within(chosen, count):
        raise ValueError(f"rows={chosen} were given; give one or more inputs, 0 to {count - 1}")
    return chosen


def _within(numbers: np.ndarray, count: int) -> bool:
    """Return whether all are whole numbers from 0 to below a count; a mask is none."""
    return numbers.dtype.kind in "iu" and bool(0 <= numbers.min() <= numbers.max() < count)


def _set_to(chosen: Array, instead: Array, values: Array) -> Array:
    return jnp.where(chosen, instead, values)


@eqx.filter_jit
def _means(logits: Array, targets: Array, class_sizes: tuple[int, ...]) -> list[Array]:
    measures = (task_losses, task_accuracies)
    return [measure(logits, targets, class_sizes).mean(axis=0) for measure in measures]


@eqx.filter_jit
def _edited_logits(
    model: Transformer, digits: Int[Array, "n 2"], edit: Edit
) -> Float[Array, "n n_classes"]:
    return model.activations(digits, edit).logits
