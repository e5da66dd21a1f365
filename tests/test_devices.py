import os
import subprocess
import sys

import equinox as eqx
import jax
import pytest
from tiny import TINY

from miiii_core.training import devices
from miiii_core.training.devices import (
    available_memory,
    check_memory,
    estimate_memory,
    filter_size,
    find_device,
    n_classes,
    n_parameters,
)
from miiii_core.training.train import initial_state, task_of

CPU = jax.devices("cpu")[0]


def test_devices_by_name():
    assert find_device("auto") == jax.devices()[0]
    assert find_device("cpu") == CPU


def test_an_absent_gpu_is_named_with_what_there_is(monkeypatch):
    def only_cpu(platform=None):
        if platform == "gpu":
            raise RuntimeError("Unknown backend: 'gpu' requested")
        return [CPU]

    monkeypatch.setattr(jax, "devices", only_cpu)
    with pytest.raises(ValueError, match=r"device='gpu' .* sees only cpu; install .*\[gpu\]"):
        find_device("gpu")


@pytest.mark.parametrize("name", ["miiii", "nanda", "basis", "masked", "divisible"])
def test_sizes_are_those_of_the_model(name):
    config = TINY.replace(name=name, p=13)
    task = task_of(config)
    leaves = jax.tree.leaves(eqx.filter_eval_shape(initial_state, config, task).model)
    assert n_classes(config) == task.n_classes
    assert n_parameters(config) == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize("grokfast", ["ema", "ma", "none"])
def test_filter_size_is_that_of_the_optimiser_state(grokfast):
    config = TINY.replace(grokfast=grokfast, grokfast_window=5)
    state = eqx.filter_eval_shape(initial_state, config, task_of(config))
    leaves = jax.tree.leaves(state.opt_state)
    n = sum(leaf.size for leaf in leaves if leaf.dtype == "float32")
    moments = 2
    assert n // n_parameters(config) == moments + filter_size(config)


def test_numbers_of_twice_the_size_take_twice_the_memory():
    single, half, double = (
        estimate_memory(TINY.replace(p=97, precision=precision)) - devices.OVERHEAD
        for precision in ("float32", "bfloat16", "float64")
    )
    assert (half, double) == (single, 2 * single)


def test_what_does_not_fit_is_refused_in_figures(monkeypatch):
    need = estimate_memory(TINY)
    monkeypatch.setattr(devices, "available_memory", lambda _: need)
    check_memory(TINY, CPU)
    monkeypatch.setattr(devices, "available_memory", lambda _: 2_500_000_000)
    check_memory(TINY, CPU)
    with pytest.raises(ValueError) as caught:
        check_memory(TINY.replace(p=1009, d_model=64), CPU)
    estimate = estimate_memory(TINY.replace(p=1009, d_model=64)) / 1e9
    assert str(caught.value) == (
        f"p=1009 with d_model=64 needs about {estimate:.1f} GB and cpu has 2.5 GB; "
        "choose a smaller p, d_model, mlp_ratio or train_fraction"
    )


def test_memory_is_what_machine_or_container_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "CONTAINER_LIMITS", ())
    physical = available_memory(CPU)
    assert physical == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(devices, "CONTAINER_LIMITS", (tmp_path / "max", tmp_path / "gone"))
    for text, allowed in {"max\n": physical, "1000000\n": 10**6, f"{10**18}": physical}.items():
        (tmp_path / "max").write_text(text)
        assert available_memory(CPU) == allowed


MEASURE = """
import resource
import sys
from miiii_core import config
from miiii_core.training import train

config = config.Config.from_json(sys.argv[1])
with train.numerics(config):
    task = train.task_of(config)
    state = train.initial_state(config, task)
    for _ in train.fit(config, task, state):
        pass
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


LARGER = {"p": 97, "d_model": 128, "mlp_ratio": 4}


@pytest.mark.parametrize("size", [{}, LARGER, LARGER | {"precision": "float64"}], ids=str)
def test_the_estimate_of_memory_covers_the_measured_peak(size):
    """Never less than the whole process takes, and at most three times as much."""
    config = TINY.replace(epochs=1, probes=("norms",), **size)
    # A process starts with the peak of the one that forked it: let that be a small shell's.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", MEASURE, config.to_json()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = int(done.stdout)
    assert measured < estimate_memory(config) < 3 * measured
