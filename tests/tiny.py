"""The smallest run that has every part of a large one, and what tests compare."""

import jax
import numpy as np

from miiii_core.config import Config, ModelConfig, TaskConfig
from miiii_core.model import Transformer
from miiii_core.tasks import make_task

TINY = Config().replace(
    p=7, d_model=8, mlp_ratio=2, epochs=40, eval_every=8, evals_per_octave=2, n_snapshots=4
)

# Another value than the default, for every field.
OTHER = {
    "name": "nanda", "p": 31, "train_fraction": 0.4, "n_validation": 10,
    "shuffle": "per-task", "masked": (2,), "d_model": 64, "n_heads": 2, "mlp_ratio": 2,
    "dropout": 0.2, "dropout_mask": "sample", "precision": "bfloat16", "init": "nanda",
    "learning_rate": 1e-3, "weight_decay": 1.0, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6,
    "grokfast": "ma", "grokfast_lambda": 2.0, "grokfast_alpha": 0.9, "grokfast_start": "first",
    "grokfast_window": 5, "epochs": 7, "seed": 1, "eval_every": 3, "evals_per_octave": 2,
    "loss": "stablemax", "update": "my_rules:lion", "warmup": 5, "cooldown": 0.5,
    "n_snapshots": 1, "probes": (), "wide_per_octave": 2, "settled_share": 0.0,
}  # fmt: skip


def untrained():
    """A task of 49 inputs, and a network with weights large enough to have opinions on them."""
    task = make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))
    config = ModelConfig(d_model=8, n_heads=2, mlp_ratio=2)
    model = Transformer(config, p=7, n_tasks=3, n_classes=10, key=jax.random.key(2))
    return task, jax.tree.map(lambda weight: weight * 2, model)


def assert_same_run(run, other):
    """Weights, snapshots and everything recorded agree bit by bit."""
    pairs = {
        name: (run.model.weights[name], other.model.weights[name]) for name in run.model.weights
    }
    assert run.snapshot_epochs == other.snapshot_epochs
    for epoch in run.snapshot_epochs:
        mine, theirs = run.snapshot(epoch).weights, other.snapshot(epoch).weights
        pairs |= {f"{name} at {epoch}": (mine[name], theirs[name]) for name in mine}
    assert set(run.metrics) == set(other.metrics)
    pairs |= {name: (run.metrics[name], other.metrics[name]) for name in run.metrics}
    for name, (mine, theirs) in pairs.items():
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs), err_msg=name)
