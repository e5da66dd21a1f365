"""What an epoch costs and how much memory a training takes, over a list of p.

Each size is trained in a fresh process of its own, ``python -m benchmarks.sizes``, so
that its peak is its own.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import jax

from miiii_core.config import Config
from miiii_core.training import devices, train

from .ceiling import step_flops
from .timing import contender, one_turn, turn_length

REFERENCE = 113  # the p that others are compared with, the paper's
PATIENCE = 150.0  # seconds that a size may take before the table goes on without it
ROOT = Path(__file__).parents[1]


class Sizes(click.ParamType):
    """A list such as ``31,59,113``; empty for no table."""

    name = "p,p,..."

    def convert(self, value: Any, param: Any, context: Any) -> tuple[int, ...]:
        """The numbers, if each will do as p."""
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not all(str(part).isdecimal() for part in parts if part != ""):
            self.fail(f"{value!r} is not a list of whole numbers such as 31,59,113", param, context)
        sizes = tuple(int(part) for part in parts if part != "")
        for p in sizes:
            try:
                Config().replace(p=p)
            except ValueError as error:
                self.fail(str(error), param, context)
        return sizes


def size_rows(config: Config, sizes: Sequence[int], seconds: float) -> Iterator[dict[str, Any]]:
    r"""One row for each p, as each is done.

    Args:
        config: The experiment; only p changes.
        sizes: Values of p.
        seconds: About how long the epochs that are timed take, at each size.

    Yields:
        ``p``, ``classes``, ``train_inputs``, ``model`` (the cost model $p^2 d \sum q$),
        ``flops`` of an epoch's products, and either ``epoch_s``, ``epoch_cpu_s`` and
        ``peak_bytes`` or the ``problem`` that left them unknown.
    """
    for p in sizes:
        changed = config.replace(p=p)
        classes = devices.n_classes(changed)
        yield {
            "p": p,
            "classes": classes,
            "train_inputs": changed.task.n_train,
            "model": classes * p * p * changed.model.d_model,
            "flops": step_flops(changed, classes),
        } | measure_apart(changed, seconds)


def measure_apart(config: Config, seconds: float) -> dict[str, Any]:
    """Train one size in a process of its own, if the memory is there."""
    need, free = devices.estimate_memory(config), free_memory(jax.devices()[0])
    if need > free:
        return {"problem": f"needs about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"}
    command = [sys.executable, "-m", f"{__package__}.sizes", config.to_json(), str(seconds)]
    # This process may hold most of a GPU's memory: the other takes what it needs, no more.
    variables = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, env=variables
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"not done after {PATIENCE:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1][:200]
        return {"problem": f"its process ended with {done.returncode}: {last}".removesuffix(": ")}
    return json.loads(done.stdout.splitlines()[-1])


def measure_here(config: Config, seconds: float) -> dict[str, Any]:
    """Train a few epochs and evaluate once; how long an epoch takes, and this process's peak."""
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    steps = contender("ours", train.advance, problem, state).steps
    n = turn_length(steps, seconds)
    turn = one_turn(steps, n)
    jax.block_until_ready(train.measure(problem, state))
    jax.block_until_ready(train.measure_wide(problem, state))
    return {
        "epoch_s": 1 / turn.wall,
        "epoch_cpu_s": 1 / turn.cpu,
        "epochs_timed": n,
        "peak_bytes": peak_memory(jax.devices()[0]),
    }


def relative(rows: Sequence[dict[str, Any]], key: str) -> list[float | None]:
    """One quantity of each row over that of p = 113, or of the last row where 113 is not.

    None where a row, or the one to compare with, lacks it.
    """
    reference = next((row for row in rows if row["p"] == REFERENCE), rows[-1])
    return [row[key] / reference[key] if key in row and key in reference else None for row in rows]


def free_memory(device: jax.Device) -> int:
    """Bytes that another process could still take."""
    limit, meminfo = devices.available_memory(device), Path("/proc/meminfo")
    if device.platform != "cpu" or not meminfo.is_file():
        return limit
    free = [line.split() for line in meminfo.read_text().splitlines() if "MemAvailable" in line]
    return min([limit, *(1024 * int(words[1]) for words in free)])


def peak_memory(device: jax.Device) -> int:
    """The largest number of bytes that this process has held, on a GPU the device's."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    # Linux starts ru_maxrss at the peak of the process that forked; this one is our own.
    own = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    unit = 1 if sys.platform == "darwin" else 1024
    return 1024 * own[0] if own else unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(measure_here(Config.from_json(sys.argv[1]), float(sys.argv[2]))))
