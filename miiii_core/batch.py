"""Many runs at once: one program for those that differ in a few fields, its device and memory."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from . import train
from .config import BATCHABLE, Config, differences
from .model import numerics, weight_type
from .optim import TracedHyperparameters
from .tasks import primes_below
from .train import Problem, Progress, TrainingDiverged, TrainState, initial_state, task_of

News = dict[int, Progress | TrainingDiverged]
OVERHEAD = 700_000_000  # bytes of Python, JAX and its compiler; measured on a CPU: 610 MB
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
DeviceName = Literal["auto", "cpu", "gpu"]


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


def batch_fields(configs: Sequence[Config]) -> tuple[str, ...]:
    """Return the fields in which runs that train as one program differ, as in `BATCHABLE`.

    ValueError if there are no runs, or for a field that is not among these.
    """
    if not configs:
        raise ValueError("got no configurations; a batch takes at least one")
    found = {name for other in configs for name, _, _ in differences(other, configs[0])}
    if fixed := sorted(found - set(BATCHABLE)):
        raise ValueError(
            f"runs of a batch differ in {', '.join(fixed)}; give each of these one value, as they "
            f"may differ only in {', '.join(BATCHABLE)}"
        )
    return tuple(name for name in BATCHABLE if name in found)


def find_device(name: DeviceName) -> jax.Device:
    """Return a device of a kind, for ``auto`` the best there is; ValueError if JAX has none."""
    try:
        return jax.devices(None if name == "auto" else name)[0]
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS")
        unset = f", unset JAX_PLATFORMS={asked}" if asked else ""
        raise ValueError(
            f"device={name!r} is not there: {str(error) or 'JAX found none'}; choose auto or cpu"
            f"{unset}, or install JAX for a GPU with pip install 'miiii-core[gpu]'"
        ) from error


def estimate_memory(config: Config, runs: int = 1) -> int:
    """Return the bytes that a process needs at its peak to train, a little generously.

    Counted are the activations of a step on the training inputs, or of an evaluation on all,
    whichever is more; the weights, their gradient, copies and moments; what the filter keeps.
    """
    p, model, optim = config.task.p, config.model, config.optim
    moduli = (p,) if config.task.name == "nanda" else primes_below(p)
    classes = 2 * len(moduli) if config.task.name == "divisible" else sum(moduli)
    weights = model.d_model * (p + 4 + 4 * model.d_model + 2 * model.d_mlp + classes)
    kept = {"ema": 1, "ma": optim.grokfast_window, "none": 0}[optim.grokfast]
    width = 4 * classes + 4 * model.d_mlp + 16 * model.d_model + 6 * p
    numbers = max(2 * config.task.n_train, p**2) * width + weights * (8 + kept)
    return OVERHEAD + weight_type(model).itemsize * numbers * runs


def available_memory(device: jax.Device) -> int:
    """Return the bytes that a device can hold: its own limit, or that of machine or container."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    physical = sys.maxsize  # not told on Windows
    if hasattr(os, "sysconf"):
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    texts = [path.read_text().strip() for path in map(Path, CONTAINER_LIMITS) if path.is_file()]
    return min([physical, *(int(text) for text in texts if text.isdigit())])


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
