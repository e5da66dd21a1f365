"""Where to compute, and whether the experiment fits there."""

import os
from pathlib import Path
from typing import Literal

import jax

from ..config import Config
from ..network.model import weight_type
from ..tasks import primes_below
from .schedule import tick_epochs

CONTAINER_LIMITS = tuple(
    Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes")
)
OVERHEAD = 700_000_000  # Python, JAX and its compiler; measured: 610 MB on a CPU
OPERATIONS = 1e11  # a second, on two cores
MARGIN = 1_000_000  # bytes of headers and of run.json
DeviceName = Literal["auto", "cpu", "gpu"]


def find_device(name: DeviceName) -> jax.Device:
    """The device to run on; ``auto`` takes the best that JAX has.

    Raises:
        ValueError: if a GPU is asked for and JAX sees none.
    """
    if name == "auto":
        return jax.devices()[0]
    try:
        return jax.devices(name)[0]
    except RuntimeError as error:
        seen = sorted({device.platform for device in jax.devices()})
        raise ValueError(
            f"device={name!r} was asked for, but JAX sees only {', '.join(seen)}; "
            "install the extra with pip install 'miiii-core[gpu]', or choose auto or cpu"
        ) from error


def find_devices(name: DeviceName) -> list[jax.Device]:
    """All devices of the kind that `find_device` finds."""
    return jax.devices(find_device(name).platform)


def n_classes(config: Config) -> int:
    """Classes of all tasks together, without building the task."""
    if config.task.name == "nanda":
        return config.task.p
    moduli = primes_below(config.task.p)
    return 2 * len(moduli) if config.task.name == "divisible" else sum(moduli)


def n_parameters(config: Config) -> int:
    """Weights of the model that a configuration describes."""
    d = config.model.d_model
    return d * (config.task.p + 1 + 3 + 4 * d + 2 * config.model.d_mlp + n_classes(config))


def filter_size(config: Config) -> int:
    """Numbers that the gradient filter remembers for each weight."""
    return {"ema": 1, "ma": config.optim.grokfast_window, "none": 0}[config.optim.grokfast]


def estimate_memory(config: Config, runs: int = 1, abreast: int = 1) -> int:
    """Bytes that a process needs at its peak to train and evaluate, a little generously.

    Args:
        config: The experiment.
        runs: How many like it are trained at once.
        abreast: How many of them are stepped side by side.

    Counts activations of the forward and backward pass on the training inputs, or
    of the evaluation on all inputs, whichever is larger, beside the weights with
    gradient and optimiser state, all in the type of the weights. Checked against
    measured peaks by a test.
    """
    p, d_mlp, d = config.task.p, config.model.d_mlp, config.model.d_model
    width = 4 * n_classes(config) + 4 * d_mlp + 16 * d + 6 * p
    rows = max(2 * config.task.n_train * abreast, p**2)
    numbers = rows * width + runs * (8 + filter_size(config)) * n_parameters(config)
    return OVERHEAD + weight_type(config.model).itemsize * numbers


def check_memory(config: Config, device: jax.Device, *, runs: int = 1, abreast: int = 1) -> None:
    """Refuse an experiment that will not fit.

    Args:
        config: The experiment.
        device: Where it is to be trained.
        runs: How many like it are trained at once.
        abreast: How many of them are stepped side by side.

    Raises:
        ValueError: names the bytes needed and there.
    """
    need, there = estimate_memory(config, runs, abreast), available_memory(device)
    if need > there:
        fewer = "" if runs == 1 else f"{runs} runs at once, {abreast} abreast, "
        raise ValueError(
            f"{fewer}p={config.task.p} with d_model={config.model.d_model} needs about "
            f"{need / 1e9:.1f} GB and {device.platform} has {there / 1e9:.1f} GB; "
            "choose a smaller p, d_model, mlp_ratio or train_fraction"
            f"{', or fewer runs' if fewer else ''}"
        )


def disk_need(config: Config) -> int:
    """Bytes a run writes at most.

    Snapshots are in half precision and the final weights in single. The other files
    are in the type of the weights, and count twice, because the old one stays until
    the new one is whole.
    """
    weights, n_ticks = n_parameters(config), len(tick_epochs(config.train))
    itemsize = weight_type(config.model).itemsize
    state = itemsize * weights * (4 + filter_size(config))  # with Adam's two moments
    snapshots = 2 * weights * (config.train.n_snapshots + 1)
    metrics = itemsize * n_ticks * (config.task.p**2 + 16 * config.task.p + 1000)
    return 2 * (4 * weights + state + metrics) + snapshots + MARGIN


def time_in_words(config: Config) -> str:
    """Training time: six operations a weight, input and epoch on two quick cores."""
    operations = 6 * n_parameters(config) * config.task.n_train * config.train.epochs
    minutes = operations / OPERATIONS / 60
    spent = f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"
    return f"{spent} on two cores and far less on a GPU"


def available_memory(device: jax.Device) -> int:
    """Bytes that a device can hold: its own limit, or the memory of the machine or container."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_container_limits()])


def _container_limits() -> list[int]:
    """What control groups, versions 2 and 1, allow this process."""
    texts = [path.read_text().strip() for path in CONTAINER_LIMITS if path.is_file()]
    return [int(text) for text in texts if text.isdigit()]
