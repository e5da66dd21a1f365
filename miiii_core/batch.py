"""Many runs at once: those that differ in a few hyperparameters train as one program."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from . import train
from .config import Config, batch_fields, differences
from .model import numerics
from .optim import TracedHyperparameters
from .train import Problem, Progress, TrainingDiverged, TrainState, initial_state, task_of

News = dict[int, Progress | TrainingDiverged]


def fit_many(configs: Sequence[Config], devices: Sequence[jax.Device] = ()) -> Iterator[News]:
    """Train runs to their ends together, each as `train.fit` would train it alone, to rounding.

    They differ in `config.BATCHABLE` fields alone, else ValueError. A lambda of 0 trains as no
    filter does, and a dropout of 0 as no dropout. They are spread over the devices given, the
    last run repeated until each has as many; without any, they are where JAX computes.

    Yields:
        News by place in ``configs``, about once a second and at each epoch to record: where a
        run is, or once the error of a run that diverged. Runs that have ended are left out.
    """
    names, config, epoch, chunk = batch_fields(configs), configs[0], 0, 1
    with numerics(config.model):
        batch = _Batch(configs, names, devices)
        news = batch.record(0)
    while True:
        yield news
        if not batch.going:
            return
        tick = next(tick for tick in config.train.ticks if tick > epoch)
        n, began = min(chunk, tick - epoch), time.perf_counter()
        epoch += n
        with numerics(config.model):
            news = batch.advance(n)
            chunk = train.next_chunk(n, time.perf_counter() - began)
            news |= batch.record(epoch) if epoch == tick else batch.progress(epoch)


class _Batch:
    """Runs on their devices, every array of problems and states with a leading axis of runs.

    ``going`` lists those that have not ended, ``since`` has each run's `settled_since`.
    """

    def __init__(self, configs: Sequence[Config], names: tuple[str, ...], devices: Any) -> None:
        used = list(devices or jnp.zeros(()).devices())[: len(configs)]
        self.config, self.going = configs[0].train, list(range(len(configs)))
        self.since = [-1] * len(configs)
        # The state that each run would have alone; it lacks the filter where lambda is 0.
        self.alone = [eqx.filter_eval_shape(initial_state, c, task_of(c)) for c in configs]
        padded = [*configs, *[configs[-1]] * (-len(configs) % len(used))]
        self.sharding = NamedSharding(Mesh(np.array(used), ("run",)), PartitionSpec("run"))
        self.problems, self.states = jax.device_put(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(_first(c, names) for c in padded)),
            self.sharding,
        )

    def advance(self, n: int) -> News:
        """Take n steps in the runs that are going; those whose loss is not finite end."""
        going = np.isin(np.arange(len(self.states.epoch)), self.going)
        fixed = (self.problems, jax.device_put(going, self.sharding), jnp.asarray(n, jnp.int32))
        self.states, loss = _advance(fixed, self.states)
        losses, epochs = np.asarray(loss), np.array(self.states.epoch)
        lost = [i for i in self.going if not np.isfinite(losses[i])]
        self.going = [i for i in self.going if i not in lost]
        said = "the loss became {} at epoch {}"
        return {i: TrainingDiverged(said.format(losses[i], epochs[i] - 1)) for i in lost}

    def progress(self, epoch: int) -> dict[int, Progress]:
        """Copy the states of the runs that are going, each in the structure it has alone."""
        every, found = jax.tree.map(np.array, self.states), {}
        for i in self.going:
            state = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), every)
            state = replace(state, settled_since=jnp.asarray(self.since[i], jnp.int32))
            if not jax.tree.leaves(self.alone[i].opt_state[0]):
                state = replace(state, opt_state=state.opt_state[1:])
            own = jax.tree.unflatten(jax.tree.structure(self.alone[i]), jax.tree.leaves(state))
            found[i] = Progress(epoch=epoch, state=own, metrics=None)
        return found

    def record(self, epoch: int) -> News:
        """Measure the runs that are going, and decide which of them end here."""
        metrics = jax.device_get(_measure(self.problems, self.states, wide=False))
        trained = np.asarray(self.problems.loss_weights)[0] > 0
        validated = metrics["accuracy"][:, 1, trained]
        for i in self.going:
            self.since[i] = train.settled_since(validated[i], self.since[i], epoch)
        ends = {i for i in self.going if self.config.ends_at(epoch, self.since[i])}
        wide_for = self.going if epoch in self.config.wide_ticks else ends
        wide = jax.device_get(_measure(self.problems, self.states, wide=True)) if wide_for else {}
        found: News = {}
        for i, now in self.progress(epoch).items():
            row = {name: values[i] for name, values in metrics.items()} | {"epoch": np.array(epoch)}
            if i in wide_for:
                row |= {name: values[i] for name, values in wide.items()}
                row["wide_epoch"] = row["epoch"]
            found[i] = replace(now, metrics=row, last=i in ends)
        self.going = [i for i in self.going if i not in ends]
        return found


def _first(config: Config, names: tuple[str, ...]) -> tuple[Problem, TrainState]:
    """A run's problem and first state, with the fields that differ taken out of the program."""
    usual = {name: value for name, _, value in differences(config, Config()) if name in names}
    common, task = config.replace(**usual), task_of(config)
    traced = TracedHyperparameters.of(config, names)
    problem = replace(Problem.of(config, task), config=common, traced=traced)
    return problem, initial_state(common.replace(seed=config.train.seed), task)


@eqx.filter_jit(donate="all-except-first")
def _advance(
    fixed: tuple[Problem, Bool[Array, " runs"], Int[Array, ""]], states: TrainState
) -> tuple[TrainState, Float[Array, " runs"]]:
    """Take n steps in every run; one that has ended, or whose loss is not finite, stays."""
    problems, going, n = fixed

    def one(_: Array, carry: Any) -> Any:
        alive = going & jnp.isfinite(carry[1])
        stepped = jax.vmap(train.step)(problems, carry[0])
        chosen = jax.vmap(lambda a, *both: jax.tree.map(lambda x, y: jnp.where(a, x, y), *both))
        return chosen(alive, stepped, carry)

    # A fixed count: to ask whether any run goes on, devices would have to meet at each step.
    return jax.lax.fori_loop(0, n, one, (states, jnp.zeros_like(problems.loss_weights[:, 0])))


@eqx.filter_jit
def _measure(problems: Problem, states: TrainState, wide: bool) -> dict[str, Array]:
    return jax.vmap(lambda problem, state: train.measure(problem, state, wide))(problems, states)
