"""Training: one pure step, many steps in one compiled loop, and what is recorded between them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .config import Config, TrainConfig
from .losses import split_means, task_accuracies, task_losses, training_loss
from .model import Transformer
from .optim import gradient_filter, optimiser
from .probes import PROBES, View
from .tasks import Task, make_task

AXES = {
    "epoch": ("epoch",),
    "loss": ("epoch", "split", "task"),
    "accuracy": ("epoch", "split", "task"),
}


class TrainState(eqx.Module):
    """Everything that training changes: resume from it and the run goes on to the bit."""

    model: Transformer
    opt_state: PyTree
    epoch: Int[Array, ""]


class Problem(eqx.Module):
    """Everything that training reads: the data on the device, and the choices compiled in."""

    digits: Int[Array, "n_train 2"]
    targets: Int[Array, "n_train tasks"]
    all_digits: Int[Array, "n 2"]
    all_targets: Int[Array, "n tasks"]
    split_members: Bool[Array, "3 n"]
    loss_weights: Float[Array, " tasks"]
    key: PRNGKeyArray
    class_sizes: tuple[int, ...] = eqx.field(static=True)
    config: Config = eqx.field(static=True)

    @classmethod
    def of(cls, config: Config, task: Task) -> "Problem":
        """Put a task on the device."""
        return cls(
            digits=jnp.asarray(task.digits[task.train]),
            targets=jnp.asarray(task.targets[task.train]),
            all_digits=jnp.asarray(task.digits),
            all_targets=jnp.asarray(task.targets),
            split_members=jnp.asarray(task.split_members),
            loss_weights=jnp.asarray(task.loss_weights),
            key=root_keys(config.train.seed)["train"],
            class_sizes=task.class_sizes,
            config=config,
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training is. Its state is only good until the next one is asked for.

    Attributes:
        epoch: Steps taken.
        state: To save or to measure; the next steps reuse its memory.
        metrics: What was recorded here, if this is an epoch to record.
    """

    epoch: int
    state: TrainState
    metrics: dict[str, np.ndarray] | None


class TrainingDiverged(FloatingPointError):
    """The loss is no longer a finite number."""


def root_keys(seed: int) -> dict[str, PRNGKeyArray]:
    """The three independent sources of randomness of a run."""
    names = ("split", "init", "train")
    return dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))


def task_of(config: Config) -> Task:
    """The data of a run, split by its seed."""
    return make_task(config.task, root_keys(config.train.seed)["split"])


def initial_state(config: Config, task: Task) -> TrainState:
    """The state before the first step."""
    model = Transformer(
        config.model,
        p=task.p,
        n_tasks=len(task.moduli),
        n_classes=task.n_classes,
        key=root_keys(config.train.seed)["init"],
    )
    return TrainState(model, optimiser(config.optim).init(model), jnp.zeros((), jnp.int32))


def objective(model: Transformer, problem: Problem, key: PRNGKeyArray) -> Float[Array, ""]:
    """The training loss under the dropout mask that a key draws."""
    logits = model(problem.digits, key=key)
    return training_loss(logits, problem.targets, problem.loss_weights, problem.class_sizes)


def step(problem: Problem, state: TrainState) -> tuple[TrainState, Float[Array, ""]]:
    """One full-batch update, and the loss it started from.

    The dropout key is folded from the epoch, so a resumed run draws the masks
    that the uninterrupted one would have drawn.
    """
    key = jax.random.fold_in(problem.key, state.epoch)
    loss, gradient = jax.value_and_grad(objective)(state.model, problem, key)
    transformation = optimiser(problem.config.optim)
    updates, opt_state = transformation.update(gradient, state.opt_state, state.model)
    model = optax.apply_updates(state.model, updates)
    return TrainState(model, opt_state, state.epoch + 1), loss


@eqx.filter_jit(donate="all-except-first")
def advance(
    problem: Problem, state: TrainState, n_epochs: Int[Array, ""]
) -> tuple[TrainState, Float[Array, ""]]:
    """Take steps inside one compiled loop; stop early where the loss is not finite.

    The number of steps is traced, so one compilation serves every chunk.

    Returns:
        The new state, and the loss before its last step. The old state's memory is gone.
    """
    last = state.epoch + n_epochs

    def unfinished(carry: tuple[TrainState, Float[Array, ""]]) -> Array:
        return (carry[0].epoch < last) & jnp.isfinite(carry[1])

    start = (state, jnp.zeros((), jnp.float32))
    return jax.lax.while_loop(unfinished, lambda carry: step(problem, carry[0]), start)


@eqx.filter_jit
def measure(problem: Problem, state: TrainState) -> dict[str, Array]:
    """Loss and accuracy of every task on every split, dropout off, and what the probes add.

    Returns:
        ``loss`` in nats and ``accuracy``, each (split, task), then each probe's
        arrays. Empty splits give NaN.
    """
    activations = state.model.activations(problem.all_digits)
    losses = task_losses(activations.logits, problem.all_targets, problem.class_sizes)
    accuracies = task_accuracies(activations.logits, problem.all_targets, problem.class_sizes)
    metrics = {
        "loss": split_means(losses, problem.split_members),
        "accuracy": split_means(accuracies, problem.split_members),
    }
    view = View(
        model=state.model,
        activations=activations,
        losses=losses,
        split_members=problem.split_members,
        gradients=lambda: _gradients(problem, state),
    )
    for name in problem.config.train.probes:
        metrics |= PROBES[name].measure(view)
    return metrics


def metric_axes(config: Config) -> dict[str, tuple[str, ...]]:
    """The axis names of everything a run records."""
    probes = {k: v for name in config.train.probes for k, v in PROBES[name].axes.items()}
    return AXES | {name: ("epoch", *axes) for name, axes in probes.items()}


def tick_epochs(config: TrainConfig) -> tuple[int, ...]:
    """Epochs to record: 0, log-spaced ones, every ``eval_every``-th, snapshots, and the last."""
    octaves = np.log2(config.epochs) if config.epochs > 1 else 0
    exponents = np.arange(0, octaves, 1 / config.evals_per_octave)
    spaced = {int(e) for e in np.round(2**exponents)}
    regular = set(range(0, config.epochs, config.eval_every))
    return tuple(sorted(spaced | regular | set(snapshot_epochs(config)) | {0, config.epochs}))


def snapshot_epochs(config: TrainConfig) -> tuple[int, ...]:
    """Log-spaced epochs, from the first to the last, at which the weights are kept."""
    if config.n_snapshots == 0:
        return ()
    spaced = np.geomspace(1, config.epochs, config.n_snapshots)
    return tuple(sorted({int(e) for e in np.round(spaced)} | {config.epochs}))


def fit(config: Config, task: Task, state: TrainState) -> Iterator[Progress]:
    """Train to the end, coming up for air about once a second and at each epoch to record.

    Args:
        config: The experiment.
        task: Its data, from `task_of`.
        state: Where to start: `initial_state`, or one saved earlier. Its memory is reused.

    Raises:
        TrainingDiverged: when the loss stops being finite; names the epoch.
    """
    problem = Problem.of(config, task)
    epoch, ticks = int(state.epoch), tick_epochs(config.train)
    if epoch == 0:
        yield Progress(epoch=0, state=state, metrics=_to_host(measure(problem, state)))
    chunk = 1
    for tick in (t for t in ticks if t > epoch):
        while epoch < tick:
            n = min(chunk, tick - epoch)
            began = time.perf_counter()
            state, loss = advance(problem, state, jnp.asarray(n, jnp.int32))
            epoch = int(state.epoch)
            if not jnp.isfinite(loss):
                raise TrainingDiverged(f"the loss became {loss} at epoch {epoch - 1}")
            chunk = _next_chunk(n, time.perf_counter() - began)
            if epoch < tick:
                yield Progress(epoch=epoch, state=state, metrics=None)
        yield Progress(epoch=epoch, state=state, metrics=_to_host(measure(problem, state)))


def _next_chunk(n: int, seconds: float) -> int:
    """As many steps as fill about a second, growing at most fourfold at a time."""
    return max(1, min(4 * n, int(n / max(seconds, 1e-6))))


def _to_host(metrics: dict[str, Array]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in metrics.items()}


def _gradients(problem: Problem, state: TrainState) -> tuple[Transformer, Transformer]:
    """The raw gradient of the step to come, and what the filter makes of it."""
    key = jax.random.fold_in(problem.key, state.epoch)
    raw = jax.grad(objective)(state.model, problem, key)
    filtered, _ = gradient_filter(problem.config.optim).update(raw, state.opt_state[0])
    return raw, filtered
