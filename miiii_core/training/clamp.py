r"""Training with some waves of n mod q held at zero in what the neurons write.

After the ReLU the network is linear, so that a wave which is taken out of what neurons write to
the stream is a wave that no task can read from them, whatever each neuron does. With Q an
orthonormal basis of the waves over the inputs, and H the neurons there, the stream gets
$(1 - Q Q^T) H W_{out}$. In training Q is over the training inputs, else over all inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..network.losses import split_means, task_accuracies, training_loss
from ..network.model import Transformer, weight_type
from ..network.products import product
from ..tasks import Task
from .optim import optimiser
from .train import Problem, TrainState

Fraction = tuple[int, int]


class Clamp(eqx.Module):
    """Waves that are held at zero.

    Attributes:
        train: Orthonormal columns over the training inputs, or zeros.
        every: The same over all inputs.
    """

    train: Float[Array, "n_train rank"]
    every: Float[Array, "n rank"]

    @classmethod
    def of(cls, task: Task, waves: Sequence[Fraction], rank: int) -> "Clamp":
        """Hold some waves at zero, or with an empty list none.

        Args:
            task: Whose inputs.
            waves: Fractions (k, q): waves of k n / q cycles for the input n.
            rank: Columns, filled up with zeros: clamps of one rank share a program.

        Raises:
            ValueError: for a wave that the tasks do not have, or more than the rank has room for.
        """
        numbers = np.arange(len(task.digits))
        found = (
            wave_basis(rows, waves, rank, task.moduli) for rows in (numbers[task.train], numbers)
        )
        return cls(*(jnp.asarray(basis, jnp.float32) for basis in found))


def wave_basis(
    numbers: Int[np.ndarray, " rows"],
    waves: Sequence[Fraction],
    rank: int,
    moduli: Sequence[int],
) -> Float[np.ndarray, "rows rank"]:
    r"""Orthonormal columns that span cos and sin of $2 \pi k n / q$, their means taken out.

    Args:
        numbers: The n of each row.
        waves: Fractions (k, q) with q among the moduli and 1 <= k <= q / 2.
        rank: Columns; those that are not needed are zero.
        moduli: Of the tasks.

    Raises:
        ValueError: for other fractions, or if the rank is too small for them.
    """
    for k, q in waves:
        if q not in moduli or not 1 <= k <= q // 2:
            raise ValueError(
                f"there is no wave {k}/{q} to clamp; q is one of {list(moduli)} and k is 1 to q/2"
            )
    needed = directions(waves)
    if needed > min(rank, len(numbers) - 1):
        raise ValueError(
            f"{len(waves)} waves have {needed} directions; rank={rank} and {len(numbers)} inputs "
            f"hold {min(rank, len(numbers) - 1)} of them"
        )
    basis = np.zeros((len(numbers), rank))
    if waves:
        k, q = np.array(sorted(set(waves))).T
        turns = 2 * np.pi * (np.outer(numbers, k) % q) / q
        both = np.concatenate([np.cos(turns), np.sin(turns)], axis=1)
        left, size, _ = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
        held = left[:, size > 1e-6 * size[0]]
        basis[:, : held.shape[1]] = held
    return basis


def directions(waves: Sequence[Fraction]) -> int:
    """How many a clamp of these waves needs: cos and sin of each, and for q = 2 the cos."""
    return sum(1 if q == 2 else 2 for _, q in set(waves))


def clamped_logits(
    model: Transformer,
    digits: Int[Array, "n 2"],
    basis: Float[Array, "n rank"],
    *,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "n n_classes"]:
    """Packed logits of a network whose neurons write nothing along some directions.

    Args:
        model: The network.
        digits: The inputs.
        basis: Orthonormal directions over these inputs, or zeros.
        key: Draws the dropout masks, as in the network's own call; without one nothing is dropped.
    """
    mid_key, post_key = (None, None) if key is None else jax.random.split(key)
    _, mixed, resid_pre = model._attend(digits)
    moved = product(
        mixed.reshape(len(digits), -1),
        model.W_O.reshape(-1, model.config.d_model),
        model.config.precision,
    )
    resid_mid = model._drop(resid_pre[None] + moved, mid_key)
    neurons = jax.nn.relu(product(resid_mid, model.W_in, model.config.precision))
    written = product(neurons, model.W_out, model.config.precision)
    along = jnp.matmul(basis.T, written, precision="highest")
    kept = written - jnp.matmul(basis, along, precision="highest")
    stream = model._drop(resid_mid + kept, post_key)
    return product(stream, model.W_U, model.config.precision)


def clamped_gradient(
    problem: Problem, clamp: Clamp, state: TrainState
) -> tuple[Float[Array, ""], Transformer]:
    """The training loss of the step to come, and its gradient; masks are those of `train.step`."""
    key = jax.random.fold_in(problem.key, state.epoch)

    def objective(model: Transformer) -> Float[Array, ""]:
        logits = clamped_logits(model, problem.digits, clamp.train, key=key)
        return training_loss(logits, problem.targets, problem.loss_weights, problem.class_sizes)

    return jax.value_and_grad(objective)(state.model)


def follow(problem: Problem, state: TrainState, gradient: Transformer) -> TrainState:
    """The update that a gradient makes, as in `train.step`."""
    transformation = optimiser(problem.config.optim, problem.swept)
    updates, opt_state = transformation.update(gradient, state.opt_state, state.model)
    model = optax.apply_updates(state.model, updates)
    return TrainState(model, opt_state, state.epoch + 1, state.settled_since)


@eqx.filter_jit
def clamped_advance(
    problem: Problem, clamp: Clamp, state: TrainState, n_epochs: Int[Array, ""]
) -> tuple[TrainState, Float[Array, ""]]:
    """`train.advance` with waves clamped; the old state stays good.

    Returns:
        The new state, and the loss before its last step.
    """
    last = state.epoch + n_epochs

    def unfinished(carry: tuple[TrainState, Float[Array, ""]]) -> Array:
        return (carry[0].epoch < last) & jnp.isfinite(carry[1])

    def step(carry: tuple[TrainState, Float[Array, ""]]) -> tuple[TrainState, Float[Array, ""]]:
        loss, gradient = clamped_gradient(problem, clamp, carry[0])
        return follow(problem, carry[0], gradient), loss

    start = (state, jnp.zeros((), weight_type(problem.config.model)))
    return jax.lax.while_loop(unfinished, step, start)


@dataclass(frozen=True)
class Outlet:
    """What the neurons of a trained network write, and what is read of it.

    Attributes:
        task: Its inputs and targets.
        written: To the stream, over all inputs.
        reads: W_U.
        logits: Of the whole network, on validation inputs.
    """

    task: Task
    written: Float[np.ndarray, "n d_model"]
    reads: Float[np.ndarray, "d_model n_classes"]
    logits: Float[np.ndarray, "n_validation n_classes"]

    @classmethod
    def of(cls, model: Transformer, task: Task) -> "Outlet":
        """Compute a network once, so that waves can be taken out of it many times."""
        a = model.activations(jnp.asarray(task.digits))
        written = np.asarray(a.resid_post - a.resid_mid)
        return cls(task, written, np.asarray(model.W_U), np.asarray(a.logits)[task.validation])

    def accuracy_without(self, waves: Sequence[Fraction]) -> Float[np.ndarray, " tasks"]:
        """Accuracy of each task on validation inputs once waves are taken out of the neurons.

        Args:
            waves: Fractions (k, q).

        Raises:
            ValueError: for a wave that the tasks do not have.
        """
        numbers, task = np.arange(len(self.written)), self.task
        basis = wave_basis(numbers, waves, max(1, directions(waves)), task.moduli)
        gone = basis[task.validation] @ (basis.T @ self.written @ self.reads)
        logits, targets = jnp.asarray(self.logits - gone, jnp.float32), task.targets
        right = task_accuracies(logits, jnp.asarray(targets[task.validation]), task.class_sizes)
        return np.asarray(right).mean(axis=0)


@eqx.filter_jit
def clamped_accuracy(
    problem: Problem, model: Transformer, basis: Float[Array, "n rank"]
) -> Float[Array, "3 tasks"]:
    """Accuracy of each task on each split, with directions over all inputs taken out."""
    logits = clamped_logits(model, problem.all_digits, basis)
    right = task_accuracies(logits, problem.all_targets, problem.class_sizes)
    return split_means(right, problem.split_members)
