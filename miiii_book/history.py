"""What chapters ask of a run's snapshots: recorded with the run, or measured now.

At the paper's size the weights of 24 epochs take 57 MB, and the numbers that come of them less
than one. A shipped run brings the numbers along, at each epoch of which there were weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from miiii_core.chance import active, chance, levels
from miiii_core.model import Transformer
from miiii_core.runs import Run
from miiii_core.shares import compare, interaction_of, prime_anova, unit_grids
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


class Counts(NamedTuple):
    """How many waves the neurons of one moment have.

    Attributes:
        active: Waves above chance, mean over all neurons.
        distinct: Waves that one neuron in twenty has, or more.
        by_rule: Waves above μ + 2σ of their neuron, mean over all neurons: the paper's rule
            (Fig. 16), with waves of n mod q in place of the p-DFT's.
        by_chance: Waves above chance in neurons in random order once more: what is meant by
            none, and near `chance.FALSE_FINDS` if the levels are right.
    """

    active: float
    distinct: int
    by_rule: float
    by_chance: float


def count_waves(
    neurons: Float[np.ndarray | Array, "n neurons"],
    moduli: Sequence[int],
    generator: np.random.Generator,
    draws: int = 256,
) -> Counts:
    """Count the waves of n mod q in the interaction part of all neurons.

    Chance is known from so many draws of units in random order, and checked on as many others.
    """
    parts = np.asarray(interaction_of(neurons))
    found = prime_anova(parts, moduli)
    if not len(found.numbers):
        return Counts(0.0, 0, 0.0, 0.0)
    alive, units = parts[:, found.numbers], parts.shape[1]
    above = levels(chance(alive, moduli, generator, draws))
    fresh = active(chance(alive, moduli, generator, draws), above).waves
    waves = active(found, above).waves
    mean, spread = (f(found.waves, axis=1, keepdims=True) for f in (np.mean, np.std))
    return Counts(
        active=float(waves.sum() / units),
        distinct=int((waves.sum(axis=0) >= units / 20).sum()),
        by_rule=float((found.waves > mean + 2 * spread).sum() / units),
        by_chance=float(fresh.sum() / len(fresh)),
    )


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
