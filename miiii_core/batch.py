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
from .config import BATCHABLE, Config, differences
from .optim import TracedHyperparameters
from .schedule import ends_at, next_chunk, settled_since, tick_epochs, wide_epochs
from .train import Problem, Progress, TrainingDiverged, TrainState, initial_state, task_of


def fit_many(
    configs: Sequence[Config], *, devices: Sequence[jax.Device] | None = None
) -> Iterator[dict[int, Progress | TrainingDiverged]]:
    """Train runs to their ends together, each as `train.fit` would train it alone, to rounding.

    Args:
        configs: Configurations that differ only in `BATCHABLE` fields. A lambda of 0 trains as
            no filter does, and a dropout of 0 as no dropout.
        devices: Devices over which the runs are spread, the last run repeated until each has as
            many; the one that JAX computes on if not given.

    Yields:
        News by place in ``configs``, about once a second and at each epoch to record: where a
        run is, or once the error of a run that diverged. Runs that have ended are left out.

    Raises:
        ValueError: if there are no runs, if they differ in another field, or if float64 is
            asked for outside `train.numerics`.
    """
    batch, epoch, chunk = _Batch(configs, devices), 0, 1
    yield {**batch.record(epoch)}
    for tick in tick_epochs(configs[0].train)[1:]:
        while batch.going and epoch < tick:
            n, began = min(chunk, tick - epoch), time.perf_counter()
            diverged = batch.advance(n)
            epoch += n
            chunk = next_chunk(n, time.perf_counter() - began)
            states = batch.states_alone() if epoch < tick else {}
            here = {i: Progress(epoch=epoch, state=s, metrics=None) for i, s in states.items()}
            if diverged or here:
                yield {**diverged, **here}
        if not batch.going:
            return
        yield {**batch.record(epoch)}


def batch_fields(configs: Sequence[Config]) -> tuple[str, ...]:
    """Return the fields in which the runs of a batch differ, in the order of `BATCHABLE`.

    Raises:
        ValueError: if there are no runs, or for a field that is not in `BATCHABLE`.
    """
    if not configs:
        raise ValueError("got no configurations; a batch takes at least one")
    found = {name for other in configs for name, _, _ in differences(other, configs[0])}
    for name in sorted(found - set(BATCHABLE)):
        values = ", ".join(map(repr, dict.fromkeys(c.values[name] for c in configs)))
        raise ValueError(
            f"runs of a batch differ in {name}: {values}; give them one value, as they may "
            f"differ only in {', '.join(BATCHABLE)}"
        )
    return tuple(name for name in BATCHABLE if name in found)


class _Batch:
    """Runs on their devices, every array of problems and states with a leading axis of runs.

    ``going`` lists those that have not ended, ``since`` has each run's `settled_since`.
    """

    def __init__(self, configs: Sequence[Config], devices: Sequence[jax.Device] | None) -> None:
        used = list(devices or jnp.zeros(()).devices())[: len(configs)]
        names = batch_fields(configs)
        self.configs, self.going = configs, list(range(len(configs)))
        self.since = [-1] * len(configs)
        # The state that each run would have alone; it lacks the filter where lambda is 0.
        self.alone = [eqx.filter_eval_shape(initial_state, c, task_of(c)) for c in configs]
        padded = [*configs, *[configs[-1]] * (-len(configs) % len(used))]
        self.sharding = NamedSharding(Mesh(np.array(used), ("run",)), PartitionSpec("run"))
        self.problems, self.states = jax.device_put(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(_first(c, names) for c in padded)),
            self.sharding,
        )

    def advance(self, n: int) -> dict[int, TrainingDiverged]:
        """Take n steps in the runs that are going; those whose loss is not finite end."""
        going = np.isin(np.arange(len(self.states.epoch)), self.going)
        fixed = (self.problems, jax.device_put(going, self.sharding), jnp.asarray(n, jnp.int32))
        self.states, loss = _advance(fixed, self.states)
        losses, epochs = np.asarray(loss), np.array(self.states.epoch)
        diverged = {
            i: TrainingDiverged(f"the loss became {losses[i]} at epoch {epochs[i] - 1}")
            for i in self.going
            if not np.isfinite(losses[i])
        }
        self.going = [i for i in self.going if i not in diverged]
        return diverged

    def record(self, epoch: int) -> dict[int, Progress]:
        """Measure the runs that are going, and decide which of them end here."""
        config, going = self.configs[0].train, self.going
        here = np.full(len(self.states.epoch), epoch)
        metrics = jax.device_get(_measure(self.problems, self.states, wide=False)) | {"epoch": here}
        trained = np.asarray(self.problems.loss_weights)[0] > 0
        for i in going:
            self.since[i] = settled_since(metrics["accuracy"][i, 1, trained], self.since[i], epoch)
        ends = {i for i in going if ends_at(config, epoch, self.since[i])}
        wide_for = going if epoch in wide_epochs(config) else ends
        if wide_for:
            wide = jax.device_get(_measure(self.problems, self.states, wide=True))
            wide["wide_epoch"] = here
        states, found = self.states_alone(), {}
        for i in going:
            recorded = metrics | wide if i in wide_for else metrics
            row = {name: values[i] for name, values in recorded.items()}
            found[i] = Progress(epoch=epoch, state=states[i], metrics=row, last=i in ends)
        self.going = [i for i in going if i not in ends]
        return found

    def states_alone(self) -> dict[int, TrainState]:
        """Copy the states of the runs that are going, each in the structure it has alone."""
        every, found = jax.tree.map(np.array, self.states), {}
        for i in self.going:
            state = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), every)
            state = replace(state, settled_since=jnp.asarray(self.since[i], jnp.int32))
            if not jax.tree.leaves(self.alone[i].opt_state[0]):
                state = replace(state, opt_state=state.opt_state[1:])
            found[i] = jax.tree.unflatten(jax.tree.structure(self.alone[i]), jax.tree.leaves(state))
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
    return jax.vmap(train.measure_wide if wide else train.measure)(problems, states)
