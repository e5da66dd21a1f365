"""Many runs at once: those that differ in a few settings train as one compiled program."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from ..config import SWEEPABLE, Config, differences
from . import train
from .devices import n_classes
from .schedule import ends_at, next_chunk, settled_since, tick_epochs, wide_epochs
from .swept import Swept
from .train import Problem, Progress, TrainingDiverged, TrainState, initial_state, task_of, to_host

CACHE = 2_000_000  # numbers that a CPU keeps at hand; measured at p = 11, 13, 17 and 31
RUNS = PartitionSpec("run")


def fit_many(
    configs: Sequence[Config],
    *,
    devices: Sequence[jax.Device] | None = None,
    abreast: int | None = None,
    traced: Sequence[str] = (),
) -> Iterator[dict[int, Progress | TrainingDiverged]]:
    """Train runs to their ends together, coming up for air as `train.fit` does.

    Each run is the one that it would be alone: it takes the same steps, is recorded at the
    same epochs, and ends where it has settled or diverged. From there on it stays as it is,
    and what the program still computes for it is thrown away.

    Args:
        configs: They may differ in `SWEEPABLE`. A lambda of 0 trains as no filter does, and a
            dropout of 0 as none.
        devices: Runs are dealt out to them, and nothing passes between them; by default
            the one that JAX computes on.
        abreast: Runs that a device steps side by side, as one batch, while the others there
            wait their turn; `usual_abreast` by default. They equal runs alone to rounding, and
            one by one to the bit where the processor's compiler adds up in the same order.
        traced: Of `SWEEPABLE`, fields that stay out of the program though these runs agree in
            them, so that a later sweep with other values compiles nothing.

    Yields:
        What is new, by place in ``configs``: where a run is, good until the next is asked for,
        or once the error of one that diverged. Runs that have ended are left out.

    Raises:
        ValueError: if there are no runs or they differ in another field, or if float64 is
            asked for outside `train.numerics`.
    """
    together, epoch, chunk = Together.of(configs, devices, abreast, traced), 0, 1
    _, *ticks = tick_epochs(configs[0].train)
    yield {**together.record(epoch)}
    for tick in ticks:
        while together.going and epoch < tick:
            n = min(chunk, tick - epoch)
            began = time.perf_counter()
            diverged = together.advance(n)
            epoch += n
            chunk = next_chunk(n, time.perf_counter() - began)
            here = together.here(epoch) if epoch < tick else {}
            if diverged or here:
                yield {**diverged, **here}
        if not together.going:
            return
        yield {**together.record(epoch)}


def swept_fields(configs: Sequence[Config]) -> tuple[str, ...]:
    """The fields in which the runs of a sweep differ.

    Raises:
        ValueError: if there are no runs, or for a field that is not in `SWEEPABLE`.
    """
    if not configs:
        raise ValueError("a sweep takes at least one configuration, got none")
    found: dict[str, dict[Any, None]] = {}
    for other in configs:
        for field, value, first in differences(other, configs[0]):
            found.setdefault(field, {first: None})[value] = None
    for field in found.keys() - set(SWEEPABLE):
        values = ", ".join(map(repr, found[field]))
        raise ValueError(
            f"the runs of a sweep differ in {field}: {values}; it takes one value, "
            f"and runs may differ in {', '.join(SWEEPABLE)}"
        )
    return tuple(name for name in SWEEPABLE if name in found)


def usual_abreast(config: Config, platform: str) -> int:
    """How many runs a device steps side by side unless told.

    A GPU takes all, which keep it busy. A CPU is busy with one, and slower with several
    once their activations have no room in its cache; only small runs go abreast.
    """
    if platform != "cpu":
        return 2**31
    width = 4 * n_classes(config) + 4 * config.model.d_mlp + 16 * config.model.d_model
    return max(1, CACHE // (2 * config.task.n_train * width))


@dataclass
class Together:
    """The runs of a sweep on their devices, every array with a leading axis of runs.

    Attributes:
        configs: One a run.
        shapes: The state of each run by itself.
        problems: What training reads; the settings that differ are arrays.
        states: What it changes.
        going: Places of the runs that have not ended.
        since: Of each run, as `TrainState.settled_since`.
        mesh: The devices.
        abreast: Runs that each device steps side by side.
    """

    configs: Sequence[Config]
    shapes: list[TrainState]
    problems: Problem
    states: TrainState
    going: list[int]
    since: list[int]
    mesh: Mesh
    abreast: int

    @classmethod
    def of(
        cls,
        configs: Sequence[Config],
        devices: Sequence[jax.Device] | None = None,
        abreast: int | None = None,
        traced: Sequence[str] = (),
    ) -> "Together":
        """Put the runs on the devices, the last one repeated until all have as many."""
        differing = swept_fields(configs)
        names = tuple(name for name in SWEEPABLE if name in (*differing, *traced))
        used = (devices or list(jnp.zeros(()).devices()))[: len(configs)]
        mesh, each = Mesh(np.array(used), ("run",)), -(-len(configs) // len(used))
        padded = [*configs, *[configs[-1]] * (each * len(used) - len(configs))]
        most = max(1, usual_abreast(configs[0], used[0].platform) if abreast is None else abreast)
        problems, states = zip(*(_beginning(config, names) for config in padded), strict=True)
        return cls(
            configs=configs,
            shapes=[eqx.filter_eval_shape(initial_state, c, task_of(c)) for c in configs],
            problems=_dealt(problems, mesh),
            states=_dealt(states, mesh),
            going=list(range(len(configs))),
            since=[-1] * len(configs),
            mesh=mesh,
            abreast=max(n for n in range(1, each + 1) if each % n == 0 and n <= most),
        )

    def advance(self, n: int) -> dict[int, TrainingDiverged]:
        """Take steps in the runs that are going; those whose loss is not finite end."""
        steps = np.zeros(len(self.states.epoch), np.int32)
        steps[self.going] = n
        dealt = jax.device_put(steps, NamedSharding(self.mesh, RUNS))
        self.states, loss = _advance(self.problems, self.states, dealt, self.mesh, self.abreast)
        losses, epochs = np.asarray(loss), np.asarray(self.states.epoch)
        diverged = {
            i: TrainingDiverged(f"the loss became {losses[i]} at epoch {epochs[i] - 1}")
            for i in self.going
            if not np.isfinite(losses[i])
        }
        self.going = [i for i in self.going if i not in diverged]
        return diverged

    def here(self, epoch: int) -> dict[int, Progress]:
        """Where the runs are that are going, between two epochs to record."""
        return {i: Progress(epoch=epoch, state=self.alone(i), metrics=None) for i in self.going}

    def record(self, epoch: int) -> dict[int, Progress]:
        """Measure the runs that are going, and see which are settled and which end here."""
        config, going = self.configs[0].train, self.going
        metrics = to_host(_measure(self.problems, self.states, self.mesh))
        trained = np.asarray(self.problems.loss_weights)[0] > 0
        for i in going:
            accuracies = metrics["accuracy"][i, 1, trained]
            self.since[i] = settled_since(accuracies, self.since[i], epoch)
        ends = {i for i in going if ends_at(config, epoch, self.since[i])}
        wide_for = going if epoch in wide_epochs(config) else ends
        wide = to_host(_measure_wide(self.problems, self.states, self.mesh)) if wide_for else {}
        rows = {i: {name: values[i] for name, values in metrics.items()} for i in going}
        for i in wide_for:
            rows[i] |= {name: values[i] for name, values in wide.items()}
            rows[i]["wide_epoch"] = np.array(epoch)
        self.going = [i for i in going if i not in ends]
        return {
            i: Progress(
                epoch=epoch,
                state=self.alone(i),
                metrics=row | {"epoch": np.array(epoch)},
                last=i in ends,
            )
            for i, row in rows.items()
        }

    def alone(self, place: int) -> TrainState:
        """The state of one run as training it by itself would have it."""
        since, shape = jnp.asarray(self.since[place], jnp.int32), self.shapes[place]
        state = _picked(self.states, jnp.asarray(place, jnp.int32))
        state = replace(state, settled_since=since)
        if not jax.tree.leaves(shape.opt_state[0]):  # alone, a run with lambda 0 has no filter
            state = replace(state, opt_state=state.opt_state[1:])
        return jax.tree.unflatten(jax.tree.structure(shape), jax.tree.leaves(state))


def _beginning(config: Config, names: tuple[str, ...]) -> tuple[Problem, TrainState]:
    """A run's problem and first state, with the fields that differ taken out of the program."""
    usual = {name: value for name, _, value in differences(config, Config()) if name in names}
    common, task = config.replace(**usual), task_of(config)
    problem = replace(Problem.of(config, task), config=common, swept=Swept.of(config, names))
    seeded = initial_state(common.replace(seed=config.train.seed), task)
    return problem, seeded


def _dealt(parts: Sequence[Any], mesh: Mesh) -> Any:
    """Trees of equal shapes as one, with a leading axis of runs that is dealt out to devices."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    return jax.device_put(stacked, NamedSharding(mesh, RUNS))


def _on_each(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of dealt arrays that each device computes for the runs it has."""
    return jax.shard_map(function, mesh=mesh, in_specs=RUNS, out_specs=RUNS, check_vma=False)


@eqx.filter_jit(donate="all-except-first")
def _advance(
    problems: Problem, states: TrainState, steps: Int[Array, " runs"], mesh: Mesh, abreast: int
) -> tuple[TrainState, Float[Array, " runs"]]:
    """`train.advance` for every run, each with a number of steps of its own."""

    def advance(*parts: Any) -> Any:
        size = abreast if abreast > 1 else None
        return jax.lax.map(lambda part: train.advance(*part), parts, batch_size=size)

    return _on_each(mesh, advance)(problems, states, steps)


@eqx.filter_jit
def _measure(problems: Problem, states: TrainState, mesh: Mesh) -> dict[str, Array]:
    """`train.measure` for one run after the other: the memory is that of one."""
    return _one_by_one(train.measure, mesh)(problems, states)


@eqx.filter_jit
def _measure_wide(problems: Problem, states: TrainState, mesh: Mesh) -> dict[str, Array]:
    """`train.measure_wide` for one run after the other."""
    return _one_by_one(train.measure_wide, mesh)(problems, states)


def _one_by_one(measure: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    return _on_each(mesh, lambda *parts: jax.lax.map(lambda part: measure(*part), parts))


@eqx.filter_jit
def _picked(states: TrainState, place: Int[Array, ""]) -> TrainState:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, place, keepdims=False), states)
