"""Training: one pure step, a compiled loop over many, and the records between them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .config import Config
from .losses import SETTLED, TRAINING_LOSSES, split_means, task_accuracies, task_losses
from .model import Transformer, numerics, weight_type
from .optim import UNTRACED, TracedHyperparameters, gradient_filter, optimiser
from .probes import View, chosen_probes
from .tasks import Task, make_task

# Saved with each run. Raise it by hand when a change here or in what this imports changes the
# numbers of a training: a cached run of another version is trained again.
TRAINING_VERSION = 1


class TrainState(eqx.Module):
    """Everything that training changes; a run resumed from it goes on to the bit."""

    model: Transformer  #: The weights
    opt_state: PyTree  #: State of the filter and of the update rule
    epoch: Int[Array, ""]  #: Number of steps taken
    #: Epoch since which every record found all tasks trained on settled; -1 if the last did not
    settled_since: Int[Array, ""]


class Problem(eqx.Module):
    """Everything that training reads: the data on the device, and the choices compiled in."""

    digits: Int[Array, "n_train 2"]  #: Inputs trained on
    targets: Int[Array, "n_train tasks"]  #: Right classes of the inputs trained on
    all_digits: Int[Array, "n 2"]  #: All inputs, in the order of `Task.digits`
    all_targets: Int[Array, "n tasks"]  #: Right classes of all inputs
    split_members: Bool[Array, "3 n"]  #: Whether each input belongs to each split
    loss_weights: Float[Array, " tasks"]  #: Weight of each task's loss
    key: PRNGKeyArray  #: Root of the dropout keys; a step's key is folded from it and the epoch
    class_sizes: tuple[int, ...] = eqx.field(static=True)  #: Number of classes of each task
    config: Config = eqx.field(static=True)  #: The experiment
    traced: TracedHyperparameters = UNTRACED  #: Those in which runs of a batch differ

    @classmethod
    def of(cls, config: Config, task: Task) -> "Problem":
        """Put a task, from `task_of`, on the device."""
        with numerics(config.model):
            return cls(
                digits=jnp.asarray(task.digits[task.train]),
                targets=jnp.asarray(task.targets[task.train]),
                all_digits=jnp.asarray(task.digits),
                all_targets=jnp.asarray(task.targets),
                split_members=jnp.asarray(task.split_members),
                loss_weights=jnp.asarray(task.loss_weights, weight_type(config.model)),
                key=root_keys(config)["train"],
                class_sizes=task.class_sizes,
                config=config,
            )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training is. Its state is valid only until the next one is asked for."""

    epoch: int  #: Number of steps taken
    state: TrainState  #: State to save or to measure; the next steps reuse its memory
    metrics: dict[str, np.ndarray] | None  #: What was recorded here; None between ticks
    last: bool = False  #: Whether training ends here


class TrainingDiverged(FloatingPointError):
    """The loss is no longer a finite number."""


def root_keys(config: Config) -> dict[str, PRNGKeyArray]:
    """Return the independent sources of a run's split, weights and dropout, made from its seed."""
    with numerics(config.model):
        # What `jax.random.key(seed)` is, unless a flag of JAX asks for another generator.
        seed = jax.random.wrap_key_data(
            jnp.array([0, config.train.seed], jnp.uint32), impl="threefry2x32"
        )
        split, init, train = jax.random.split(seed, 3)
    return {"split": split, "init": init, "train": train}


def task_of(config: Config) -> Task:
    """Return the data of a run, split by its seed."""
    with numerics(config.model):
        return make_task(config.task, root_keys(config)["split"])


def initial_state(config: Config, task: Task) -> TrainState:
    """Return the state before the first step."""
    sizes = {"p": task.p, "n_tasks": len(task.moduli), "n_classes": task.n_classes}
    with numerics(config.model):
        model = Transformer(config.model, **sizes, key=root_keys(config)["init"])
        opt_state = optimiser(config.optim, config.train.epochs).init(model)
        return TrainState(model, opt_state, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32))


def objective(model: Transformer, problem: Problem, key: PRNGKeyArray) -> Float[Array, ""]:
    """Return the training loss under the dropout masks that a key draws."""
    logits = model(problem.digits, key=key, keep=problem.traced.keep)
    loss = TRAINING_LOSSES[problem.config.optim.loss]
    return loss(logits, problem.targets, problem.loss_weights, problem.class_sizes)


def _slope(problem: Problem, state: TrainState) -> tuple[Float[Array, ""], Transformer]:
    """Return the loss of the step to come, and its gradient.

    The dropout key is folded from the epoch, so a resumed run draws the masks that the
    uninterrupted one would have drawn.
    """
    key = jax.random.fold_in(problem.key, state.epoch)
    return jax.value_and_grad(objective)(state.model, problem, key)


def step(problem: Problem, state: TrainState) -> tuple[TrainState, Float[Array, ""]]:
    """Take one full-batch step; also return the loss before it."""
    loss, gradient = _slope(problem, state)
    config = problem.config
    transformation = optimiser(config.optim, config.train.epochs, problem.traced)
    updates, opt_state = transformation.update(gradient, state.opt_state, state.model)
    model = optax.apply_updates(state.model, updates)
    return TrainState(model, opt_state, state.epoch + 1, state.settled_since), loss


@eqx.filter_jit(donate="all-except-first")
def advance(
    problem: Problem, state: TrainState, n_epochs: Int[Array, ""]
) -> tuple[TrainState, Float[Array, ""]]:
    """Take steps inside one compiled loop; stop early where the loss is not finite.

    The number of steps is traced, so that one compilation serves every chunk.
    Return the new state, which reuses the memory of the old one, and the loss before its last step.
    """
    last = state.epoch + n_epochs

    def unfinished(carry: tuple[TrainState, Float[Array, ""]]) -> Array:
        return (carry[0].epoch < last) & jnp.isfinite(carry[1])

    start = (state, jnp.zeros((), weight_type(problem.config.model)))
    return jax.lax.while_loop(unfinished, lambda carry: step(problem, carry[0]), start)


@eqx.filter_jit
def measure(problem: Problem, state: TrainState, wide: bool = False) -> dict[str, Array]:
    """Return what the narrow or the wide probes find over all inputs, without dropout.

    With the narrow ones come ``loss`` in nats and ``accuracy``, each (split, task), NaN for an
    empty split.
    """
    activations, members = state.model.activations(problem.all_digits), problem.split_members
    said = activations.logits, problem.all_targets, problem.class_sizes
    losses = task_losses(*said)

    def gradients() -> tuple[Transformer, Transformer]:
        _, raw = _slope(problem, state)
        chosen = gradient_filter(problem.config.optim, problem.traced)
        return raw, chosen.update(raw, state.opt_state[0])[0]

    found = {}
    if not wide:
        right = task_accuracies(*said)
        found = {"loss": split_means(losses, members), "accuracy": split_means(right, members)}
    view = View(state.model, activations, losses, members, gradients)
    for probe in chosen_probes(problem.config.train, wide=wide):
        found |= probe.measure(view)
    return found


def fit(config: Config, task: Task, state: TrainState) -> Iterator[Progress]:
    """Train to the end: the last epoch, or until all tasks have been settled for long enough.

    The task is that of `task_of`. Training starts from `initial_state` or a state saved earlier,
    and reuses its memory.

    Yields:
        Progress about once a second, and with metrics at each epoch to record.

    Raises:
        TrainingDiverged: when the loss stops being finite; the error names the epoch.
    """
    problem, epoch, chunk = Problem.of(config, task), int(state.epoch), 1
    ticks = config.train.ticks
    if epoch in ticks and config.train.ends_at(epoch, int(state.settled_since)):
        return  # the state is that of a run that has ended
    for tick in [tick for tick in ticks if tick > epoch or epoch == 0]:
        while epoch < tick:
            n, began = min(chunk, tick - epoch), time.perf_counter()
            with numerics(config.model):
                state, loss = advance(problem, state, jnp.asarray(n, jnp.int32))
            epoch = int(state.epoch)
            if not np.isfinite(loss):
                raise TrainingDiverged(f"the loss became {loss} at epoch {epoch - 1}")
            chunk = next_chunk(n, time.perf_counter() - began)
            if epoch < tick:
                yield Progress(epoch=epoch, state=state, metrics=None)
        now = _record(problem, state)
        state = now.state
        yield now
        if now.last:
            return


def settled_since(accuracies: Float[np.ndarray, " tasks"], before: int, epoch: int) -> int:
    """Return the epoch since which every record found all tasks settled; -1 if this one did not.

    This one is of an epoch, and has validation accuracies of the tasks trained on; ``before`` is
    the answer at the record before.
    """
    since = before if before >= 0 else epoch
    return since if (accuracies >= SETTLED).all() else -1


def next_chunk(n: int, seconds: float) -> int:
    """Return how many steps fill about a second, at most 4n, from the seconds that n steps took."""
    return max(1, min(4 * n, int(n / max(seconds, 1e-6))))


def _record(problem: Problem, state: TrainState) -> Progress:
    """Measure a run at an epoch to record, and decide whether it ends there."""
    config, epoch = problem.config.train, int(state.epoch)
    with numerics(problem.config.model):
        metrics = jax.device_get(measure(problem, state))
        trained = np.asarray(problem.loss_weights) > 0
        since = settled_since(metrics["accuracy"][1, trained], int(state.settled_since), epoch)
        state = replace(state, settled_since=jnp.asarray(since, jnp.int32))
        last = config.ends_at(epoch, since)
        if last or epoch in config.wide_ticks:
            wide = jax.device_get(measure(problem, state, wide=True))
            metrics |= wide | {"wide_epoch": np.array(epoch)}
    metrics["epoch"] = np.array(epoch)
    return Progress(epoch=epoch, state=state, metrics=metrics, last=last)
