"""Cross-entropy and accuracy of every task at once, on packed logits; and when one is learned."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .config import Loss
from .tasks import task_columns

Logits = Float[Array, "n n_classes"]
Targets = Int[Array, "n tasks"]
PerTask = Float[Array, "n tasks"]
Sizes = tuple[int, ...]
GENERALISED = 0.9  # accuracy on held-out inputs from which a task counts as generalised
MASTERED = 0.99  # accuracy from which next to nothing is left to learn
SETTLED = 0.999  # validation accuracy of all tasks trained on from which a run is settled
NEVER = math.inf  # stands for the epoch of what did not happen


def first_epoch(
    epochs: Int[np.ndarray, " ticks"], accuracy: Float[np.ndarray, " ticks"], level: float
) -> float:
    """Return the first recorded epoch at which an accuracy reached a level, or `NEVER`."""
    reached = np.flatnonzero(accuracy >= level)
    return float(epochs[reached[0]]) if len(reached) else NEVER


def task_losses(logits: Logits, targets: Targets, class_sizes: Sizes) -> PerTask:
    r"""Return the cross-entropy of each input and task, in nats.

    $$L_{ni} = \ln \sum_{c \in i} e^{z_{nc}} - z_{n, y_{ni}}$$

    Logits of all tasks are packed side by side, in as many columns of each task as it has classes;
    the targets are right classes, counted from the task's first column.

    Source: Syrkis & Sogaard (2024), Eq. 6.1.
    """
    return _losses(logits, targets, class_sizes, _guesses(logits, class_sizes)[1])[0]


def task_accuracies(logits: Logits, targets: Targets, class_sizes: Sizes) -> PerTask:
    """Return 1.0 where a task's largest logit is at the right class, else 0.0.

    A tie goes to the lower class, and a NaN is never right. Arguments as in `task_losses`.
    """
    guesses, largest = _guesses(logits, class_sizes)
    return (guesses == targets) * jnp.isfinite(largest).astype(logits.dtype)


def split_means(values: PerTask, members: Bool[Array, "splits n"]) -> Float[Array, "splits tasks"]:
    """Average each task over the inputs of each split; a split without inputs gives NaN.

    A sum of zeros and ones is exact in float32, so a perfect accuracy is exactly 1.
    """
    sums = jnp.matmul(members.astype(values.dtype), values, precision="highest")
    sizes = members.sum(axis=1, keepdims=True).astype(values.dtype)
    # On the CPU, XLA divides by way of a reciprocal, and 41 / 41 comes out below 1.
    return jnp.where((sums == sizes) & (sizes > 0), 1.0, sums / sizes)


@jax.jit
def cross_entropy(
    logits: Float[np.ndarray | Array, "n classes"], targets: Int[np.ndarray | Array, " n"]
) -> Float[Array, " n"]:
    """Return one task's loss of each input in nats, to full precision however small it is.

    In single precision 1 + x is 1 for an x below 6e-8, so the right class's own part is kept
    out of the sum: ln(Σ e^z) = ln(1 + (Σ_others e^z + e^z_right - 1)), z less its maximum.
    """
    values = jnp.asarray(logits)
    shifted = values - values.max(axis=1, keepdims=True)
    is_right = jnp.arange(values.shape[1])[None] == jnp.asarray(targets)[:, None]
    right = jnp.where(is_right, shifted, 0).sum(axis=1)
    others = jnp.where(is_right, 0, jnp.exp(shifted)).sum(axis=1)
    return jnp.log1p(others + jnp.expm1(right)) - right


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def training_loss(
    logits: Logits, targets: Targets, loss_weights: Float[Array, " tasks"], class_sizes: Sizes
) -> Float[Array, ""]:
    r"""Return the mean over inputs of $\sum_i w_i L_{ni}$; a gradient by hand saves passes.

    $$\frac{\partial L}{\partial z_{nc}} = \frac{w_i}{N}
    \left(\frac{e^{z_{nc}}}{\sum_{c' \in i} e^{z_{nc'}}} - [c = y_{ni}]\right)$$

    for N inputs and column c of task i, whose loss has the weight $w_i$ in ``loss_weights``;
    other arguments as in `task_losses`. The forward pass keeps exponentials in place of logits.

    Source: Syrkis & Sogaard (2024), Eq. 12.
    """
    return _training_loss(logits, targets, loss_weights, class_sizes)[0]


def stablemax_loss(
    logits: Logits, targets: Targets, loss_weights: Float[Array, " tasks"], class_sizes: Sizes
) -> Float[Array, ""]:
    r"""Return the training loss with StableMax in the place of softmax; arguments as there.

    $$L_{ni} = \ln \sum_{c \in i} s(z_{nc}) - \ln s(z_{n, y_{ni}}), \qquad
    s(z) = z + 1 \text{ if } z \ge 0 \text{ else } 1 / (1 - z)$$

    It grows with z and not with its exponential, so that float32 never rounds the other classes
    away beside the right one.

    Source: Prieto et al. (2025), arXiv 2501.04697, Eq. 5.
    """
    values = jnp.where(logits >= 0, logits + 1, 1 / (1 - jnp.minimum(logits, 0)))
    right = jnp.take_along_axis(values, targets + _starts(class_sizes), axis=1)
    losses = jnp.log(_task_sums(values, class_sizes)) - jnp.log(right)
    return jnp.mean(losses, axis=0) @ loss_weights


def _training_loss(
    logits: Array, targets: Array, loss_weights: Array, class_sizes: Sizes
) -> tuple[Array, tuple[Array, ...]]:
    # A slice for each task compiles slowly, but saves a few percent of every step.
    slices = [logits[:, own].max(axis=1) for own in task_columns(class_sizes)]
    losses, exponentials, sums = _losses(logits, targets, class_sizes, jnp.stack(slices, axis=1))
    return jnp.mean(losses, axis=0) @ loss_weights, (exponentials, sums, targets, loss_weights)


def _training_gradient(
    class_sizes: Sizes, saved: tuple[Array, ...], gradient: Array
) -> tuple[Array, None, None]:
    exponentials, sums, targets, loss_weights = saved
    scale, sizes = gradient * loss_weights / len(targets), np.array(class_sizes)
    predicted = exponentials * jnp.repeat(scale[None] / sums, sizes, axis=1)
    class_of_column = np.concatenate([np.arange(size) for size in class_sizes])
    is_right = jnp.repeat(targets, sizes, axis=1) == class_of_column[None]
    right = jnp.where(is_right, jnp.repeat(scale, sizes)[None], 0.0)
    return predicted - right, None, None


training_loss.defvjp(_training_loss, _training_gradient)
TRAINING_LOSSES: dict[Loss, Callable[..., Float[Array, ""]]] = {
    "softmax": training_loss,
    "stablemax": stablemax_loss,
}


def _losses(
    logits: Logits, targets: Targets, class_sizes: Sizes, largest: PerTask
) -> tuple[PerTask, Logits, PerTask]:
    """Return the losses, the exponentials of the logits, and their sums by task.

    Each task subtracts its own largest logit, so that none underflows beside another.
    """
    largest = jax.lax.stop_gradient(largest)
    exponentials = jnp.exp(logits - jnp.repeat(largest, np.array(class_sizes), axis=1))
    sums = _task_sums(exponentials, class_sizes)
    right = jnp.take_along_axis(logits, targets + _starts(class_sizes), axis=1) - largest
    return jnp.log(sums) - right, exponentials, sums


def _task_sums(values: Logits, class_sizes: Sizes) -> PerTask:
    """Sum over each task's columns: a product with a 0/1 matrix, faster than 29 slices."""
    membership = np.repeat(np.eye(len(class_sizes), dtype=np.float32), class_sizes, axis=0)
    return jnp.matmul(values, jnp.asarray(membership), precision="highest")


def _starts(class_sizes: Sizes) -> Int[np.ndarray, "1 tasks"]:
    return np.array([[own.start for own in task_columns(class_sizes)]], np.int32)


def _guesses(logits: Logits, class_sizes: Sizes) -> tuple[Int[Array, "n tasks"], PerTask]:
    """Return the class of each task's largest logit, and that logit; a tie goes to the lower class.

    A task's first class fills up its row: one gather for all tasks compiles far sooner than a
    slice for each.
    """
    offsets, starts = np.arange(max(class_sizes))[None], _starts(class_sizes)
    columns = starts.T + np.where(offsets < np.array(class_sizes)[:, None], offsets, 0)
    rows = jnp.take(logits, jnp.asarray(columns), axis=1, mode="clip")
    guesses = jnp.argmax(rows, axis=2)
    return guesses, jnp.take_along_axis(logits, guesses + starts, axis=1)
