"""What chapters ask of a run's snapshots: recorded with the run, or measured now.

At the paper's size the weights of 24 epochs take 57 MB, and the numbers that come of them less
than one. A shipped run brings the numbers along, at each epoch of which there were weights.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int
from miiii_core.chance import count_waves

from miiii_core.model import Transformer
from miiii_core.runs import Run
from miiii_core.shares import compare, unit_grids
from miiii_core.tasks import Task

from .rules import score_rule

EPOCHS = "snapshot_epoch"  # array, and axis, of the epochs that were measured
EVERY = 4  # every fourth neuron is looked at for a median
Values = dict[str, np.ndarray]


def known_epochs(run: Run, part: str) -> Int[np.ndarray, " moments"]:
    """Return the epochs at which a run can be asked for a part: what it recorded, or snapshots."""
    return np.array(run.metrics[EPOCHS] if _recorded(run, part) else run.snapshot_epochs, int)


def recall(run: Run, part: str, epochs: Sequence[int] | np.ndarray | None = None) -> Values:
    """Return one of `PARTS` at some epochs.

    Args:
        run: A run of a task whose moduli are below p.
        part: ``counts`` of waves, ``purity`` of neurons (medians of the whole and of the
            interaction part, by family of pairs), or losses of the ``rule`` (nats by task).
        epochs: Some of `known_epochs`; all by default.

    Returns:
        Arrays by name, whose first axis is the epoch.

    Raises:
        ValueError: for another part, or an epoch that is not known.
    """
    if part not in PARTS:
        raise ValueError(f"part={part!r} is not measured; give one of {', '.join(PARTS)}")
    known = known_epochs(run, part)
    wanted = known if epochs is None else np.asarray(epochs)
    if not np.isin(wanted, known).all():
        raise ValueError(f"epochs {wanted.tolist()} were asked for; known are {known.tolist()}")
    recorded = _recorded(run, part)
    if recorded:
        rows = np.searchsorted(known, wanted)
        return {name.split("/")[1]: run.metrics[name][rows] for name in recorded}
    # The weights of the end are there unrounded.
    models = [run.model if e == run.epoch else run.snapshot(int(e)) for e in wanted]
    found = [PARTS[part](model, run.task) for model in models]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def _recorded(run: Run, part: str) -> list[str]:
    return [name for name in run.metrics if name.startswith(f"{part}/")]


def _counts(model: Transformer, task: Task) -> Values:
    neurons = model.activations(jnp.asarray(task.digits)).neurons
    counts = count_waves(neurons, task.moduli, np.random.default_rng(0))
    return {name: np.asarray(value) for name, value in counts._asdict().items()}


def _purity(model: Transformer, task: Task) -> Values:
    neurons = np.asarray(model.activations(jnp.asarray(task.digits)).neurons)[:, ::EVERY]
    found = compare(unit_grids(task, neurons), task.moduli, np.random.default_rng(0), 1)
    families = found._asdict() | {"wrong": found.wrong[0]}
    return {name: np.median([one.whole, one.both], axis=1) for name, one in families.items()}


def _rule(model: Transformer, task: Task) -> Values:
    scores = score_rule(model, task)._asdict()
    return {name: np.asarray(scores[name].loss) for name in ("whole", "only", "without", "trained")}


PARTS = {"counts": _counts, "purity": _purity, "rule": _rule}
