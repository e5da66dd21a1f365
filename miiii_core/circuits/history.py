"""What chapters ask of a run's snapshots, measured once where the snapshots cannot travel.

At the paper's size the weights of 24 epochs take 57 MB, and the numbers that come of them
less than one. So a packed run takes these along, at every epoch of which there were weights,
and whoever asks need not know whether they were measured now or then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..analysis.anova import count_waves
from ..analysis.blocks import unit_grids
from ..analysis.pairs import Compared, compare
from ..analysis.transients import strengths
from ..network.model import Transformer
from ..storage.metrics import Metrics
from ..storage.saved import Run
from ..tasks import Task
from .rules import score_rule

EPOCHS = "snapshot_epoch"  # axis, and array, of the epochs measured at
EVERY = 4  # neurons are looked at for a median
RULE = ("whole", "only", "without", "trained")  # of `RuleScores`
EXTENTS = ("whole", "both")  # of `Purity`: of the whole activation, and of the interaction part
KINDS = Compared._fields
Values = dict[str, np.ndarray]
Neurons = Callable[[], Float[Array, "n d_mlp"]]


class Part(NamedTuple):
    """Some numbers of one moment.

    Attributes:
        measure: From weights, task, and what the neurons are for all inputs.
        axes: Of each number's array, the epoch left out.
    """

    measure: Callable[[Transformer, Task, Neurons], Values]
    axes: dict[str, tuple[str, ...]]


def known_epochs(run: Run, part: str | None = None) -> Int[np.ndarray, " moments"]:
    """Epochs at which a run can be asked: those of all snapshots that it has or had.

    Args:
        run: Any.
        part: One of `PARTS`. A run that was measured before the part was what it is now can be
            asked for it only where there are weights.
    """
    recorded = EPOCHS in run.metrics and (part is None or _came_along(run, part))
    return np.array(run.metrics[EPOCHS] if recorded else run.snapshot_epochs, int)


def recall(run: Run, part: str, epochs: Sequence[int] | Int[np.ndarray, " moments"]) -> Values:
    """One part of `PARTS` at some epochs, as it came with the run or else measured now.

    Args:
        run: Of any task whose moduli are below p.
        part: ``strengths`` or ``counts`` of waves, ``purity`` of neurons (medians over every
            fourth, by `EXTENTS`), or the losses of ``rule`` (nats by task).
        epochs: Some of `known_epochs`.

    Returns:
        Arrays by name, whose first axis is the epoch.

    Raises:
        KeyError: for an unknown part.
        ValueError: for an epoch that is not known; lists those that are.
    """
    if part not in PARTS:
        raise KeyError(f"{part!r} is no part of what is measured; parts are {', '.join(PARTS)}")
    known = known_epochs(run, part)
    if not np.isin(epochs, known).all():
        raise ValueError(f"epochs {list(epochs)} were asked for; known are {known.tolist()}")
    if _came_along(run, part):
        rows = np.searchsorted(known, epochs)
        return {name: run.metrics[f"{part}/{name}"][rows] for name in PARTS[part].axes}
    found = [PARTS[part].measure(*moment) for moment in _moments(run, epochs)]
    return {name: np.array([each[name] for each in found]) for name in PARTS[part].axes}


def _came_along(run: Run, part: str) -> bool:
    return all(f"{part}/{name}" in run.metrics for name in PARTS[part].axes)


def measure(run: Run) -> Metrics:
    """All parts at all snapshots: what a packed run takes along in their place."""
    epochs = np.array(run.snapshot_epochs)
    rows = [
        {f"{part}/{name}": value for part, (ask, _) in PARTS.items() for name, value in
         ask(*moment).items()}
        for moment in _moments(run, epochs)
    ]  # fmt: skip
    axes = {f"{p}/{n}": (EPOCHS, *own) for p, (_, each) in PARTS.items() for n, own in each.items()}
    arrays = {name: np.array([row[name] for row in rows], np.float32) for name in axes}
    return Metrics(arrays | {EPOCHS: epochs}, axes | {EPOCHS: (EPOCHS,)})


def _moments(
    run: Run, epochs: Sequence[int] | Int[np.ndarray, " moments"]
) -> Iterator[tuple[Transformer, Task, Neurons]]:
    digits = jnp.asarray(run.task.digits)
    for epoch in epochs:
        # The weights of the end are there unrounded.
        model = run.model if epoch == run.epoch else run.snapshot(int(epoch))
        yield model, run.task, cache(lambda model=model: model.activations(digits).neurons)


def _strengths(_: Transformer, task: Task, neurons: Neurons) -> Values:
    return _arrays(strengths(neurons(), task.moduli)._asdict())


def _counts(_: Transformer, task: Task, neurons: Neurons) -> Values:
    return _arrays(count_waves(neurons(), task.moduli, np.random.default_rng(0))._asdict())


def _purity(_: Transformer, task: Task, neurons: Neurons) -> Values:
    some = unit_grids(task, neurons()[:, ::EVERY])
    found = compare(some, task.moduli, np.random.default_rng(0), 1)
    kinds = found._asdict() | {"wrong": found.wrong[0]}
    return {name: np.median([getattr(kinds[name], e) for e in EXTENTS], axis=1) for name in KINDS}


def _rule(model: Transformer, task: Task, _: Neurons) -> Values:
    found = score_rule(model, task)
    return _arrays({name: getattr(found, name).loss for name in RULE})


def _arrays(values: Mapping[str, Any]) -> Values:
    return {name: np.asarray(value) for name, value in values.items()}


PARTS = {
    "strengths": Part(_strengths, {"energy": ("wave",), "total": (), "chance": ()}),
    "counts": Part(_counts, {"active": (), "distinct": (), "by_rule": (), "by_chance": ()}),
    "purity": Part(_purity, dict.fromkeys(KINDS, ("extent",))),
    "rule": Part(_rule, dict.fromkeys(RULE, ("task",))),
}
