"""A training, and what would have become of it with some waves held at zero from a moment on.

The reference is trained to its end, so that it is known which waves go again. From a state on
the way branches set out, all with the batches and dropout masks that the reference had: one with
the transient waves clamped, others with as many persistent ones, and as many at random.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ..analysis.transients import (
    Split,
    fractions,
    matched,
    spike_of,
    split_waves,
    strengths,
)
from ..config import Config
from ..milestones import GENERALISED
from ..tasks import Task
from ..training.clamp import Clamp, clamped_accuracy, clamped_advance
from ..training.train import Problem, TrainingDiverged, TrainState, initial_state, task_of
from .gradients import GradientWaves, watch

EVERY = 64  # epochs between two looks at the accuracies
PER_OCTAVE = 4  # looks at the waves per doubling of the epoch
SETTLING = 1.25  # times the epoch at which all tasks are learned, until which a reference goes on
HOPELESS = 0.5  # share of tasks below which a reference is given up at half of its epochs
ENOUGH = 0.75  # share of its tasks that a branch must have learned to be called off
WINDOW = 256  # epochs over which the gradient is watched
RANDOM_DRAWS = 2
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Laboratory:
    """All that the branches of one training share.

    Attributes:
        config: What is trained.
        task: Its data.
        problem: The same on the device.
        rank: Directions that a clamp has room for.
    """

    config: Config
    task: Task
    problem: Problem
    rank: int

    @classmethod
    def of(cls, config: Config, rank: int = 64) -> "Laboratory":
        """Set up.

        Raises:
            ValueError: for tasks that are not remainders.
        """
        task = task_of(config)
        if task.class_sizes != task.moduli or config.task.name == "nanda":
            raise ValueError(
                f"name={config.task.name!r} has no waves of n mod q to clamp; take miiii or masked"
            )
        return cls(config, task, Problem.of(config, task), rank)

    def clamp(self, waves: Sequence[tuple[int, int]]) -> Clamp:
        """Hold these waves at zero."""
        return Clamp.of(self.task, waves, self.rank)

    def advance(self, clamp: Clamp, state: TrainState, n: int) -> TrainState:
        """Train on.

        Raises:
            TrainingDiverged: if the loss is no longer finite.
        """
        state, loss = clamped_advance(self.problem, clamp, state, jnp.asarray(n, jnp.int32))
        if not jnp.isfinite(loss):
            raise TrainingDiverged(f"the loss became {loss} at epoch {int(state.epoch) - 1}")
        return state

    def validation(self, clamp: Clamp, state: TrainState) -> Float[np.ndarray, " tasks"]:
        """Accuracy of each task on validation inputs."""
        return np.asarray(clamped_accuracy(self.problem, state.model, clamp.every)[1])


@dataclass(frozen=True)
class Reference:
    """A training with nothing clamped, to its end.

    Attributes:
        learned: Epoch at which each task generalised; infinite for never.
        moments: Epochs at which the waves were looked at.
        states: As they were then; the last is the end.
        accuracy: On validation inputs then.
        energy: Of each wave then.
        total: Of the interaction part then.
        effective: Neurons that shared in it.
    """

    learned: Float[np.ndarray, " tasks"]
    moments: Int[np.ndarray, " moments"]
    states: list[TrainState]
    accuracy: Float[np.ndarray, "moments tasks"]
    energy: Float[np.ndarray, "moments waves"]
    total: Float[np.ndarray, " moments"]
    effective: Float[np.ndarray, " moments"]


class Branch(NamedTuple):
    """What became of a training with waves clamped.

    Attributes:
        kind: ``transient``, ``persistent`` or ``random``.
        start: Epoch from which on they were.
        waves: Fractions (k, q).
        once: Accuracy of each task on validation inputs right after taking them out.
        learned: Epoch from the start on at which each task generalised; infinite for none.
        end: Epoch at which the branch was called off.
    """

    kind: str
    start: int
    waves: list[tuple[int, int]]
    once: Float[np.ndarray, " tasks"]
    learned: Float[np.ndarray, " tasks"]
    end: int


def moments_of(epochs: int) -> tuple[int, ...]:
    """Log-spaced multiples of `EVERY` up to the last epoch."""
    octaves = np.log2(epochs / EVERY) if epochs > EVERY else 0
    spaced = np.round(2 ** np.arange(0, octaves + 1e-9, 1 / PER_OCTAVE)).astype(int)
    return tuple(sorted({int(n) * EVERY for n in spaced if n * EVERY <= epochs}))


def train_reference(lab: Laboratory, tell: Tell = lambda _: None) -> Reference:
    """Train with nothing clamped, until all tasks are learned and some time beyond.

    One that has learned less than `HOPELESS` of its tasks by half of its epochs is given up.

    Args:
        lab: What to train.
        tell: Told now and then how far it got.
    """
    free, state = lab.clamp([]), initial_state(lab.config, lab.task)
    learned = np.full(len(lab.task.moduli), np.inf)
    epochs, seen = lab.config.train.epochs, []
    moments = set(moments_of(epochs))
    for epoch in (*range(EVERY, epochs, EVERY), epochs):
        state = lab.advance(free, state, epoch - int(state.epoch))
        accuracy = lab.validation(free, state)
        learned[(accuracy >= GENERALISED) & np.isinf(learned)] = epoch
        slow = 2 * epoch >= epochs and np.isfinite(learned).mean() < HOPELESS
        over = epoch == epochs or epoch >= SETTLING * learned.max() or slow
        if epoch in moments or over:
            neurons = state.model.activations(jnp.asarray(lab.task.digits)).neurons
            seen.append((epoch, state, accuracy, *strengths(neurons, lab.task.moduli)))
            tell(f"epoch {epoch}, {np.isfinite(learned).sum()} of {len(learned)} tasks learned")
        if over:
            break
    at, states, *measured = zip(*seen, strict=True)
    return Reference(learned, np.array(at), list(states), *map(np.array, measured))


def grow_branch(
    lab: Laboratory, state: TrainState, kind: str, waves: Sequence[tuple[int, int]], last: int
) -> Branch:
    """Train on from a state with waves clamped, until most late tasks are learned.

    Tasks are late that are not learned when the branch sets out. What it takes to call a
    branch off is `ENOUGH` of them, so that the median of their epochs is known.

    Args:
        lab: What is trained.
        state: Where to start; it stays as it is.
        kind: What to call it.
        waves: To clamp.
        last: Epoch at which to stop anyway.
    """
    clamp, start = lab.clamp(waves), int(state.epoch)
    late = lab.validation(lab.clamp([]), state) < GENERALISED
    once = accuracy = lab.validation(clamp, state)
    learned = np.where(accuracy >= GENERALISED, start, np.inf)
    epoch = start
    while epoch < last and np.isfinite(learned[late]).sum() < ENOUGH * late.sum():
        n = min(EVERY, last - epoch)
        state = lab.advance(clamp, state, n)
        epoch += n
        accuracy = lab.validation(clamp, state)
        learned[(accuracy >= GENERALISED) & np.isinf(learned)] = epoch
    return Branch(kind, start, list(waves), once, learned, epoch)


@dataclass(frozen=True)
class Experiment:
    """One seed: the reference, what its waves became, and its branches.

    Attributes:
        reference: The training with nothing clamped.
        split: Of its waves.
        spike: Moment at which branches set out; -1 if there was none.
        onset: Last moment before the first transient wave, or the first moment if one is there
            from the beginning; -1 if there was none.
        removed: Accuracy of the trained network with each set of waves taken out once.
        branches: From the spike, and from the onset.
        watched: The gradient from the onset, the spike and midway on, as far as there are such.
    """

    reference: Reference
    split: Split
    spike: int
    onset: int
    removed: Mapping[str, Float[np.ndarray, " tasks"]]
    branches: list[Branch]
    watched: Mapping[str, GradientWaves]


def split_of(reference: Reference, moduli: Sequence[int], p: int) -> Split:
    """What becomes of the waves of a reference."""
    measured = reference.energy, reference.total, reference.effective
    return split_waves(*measured, moduli, p)


def places_of(split: Split, accuracy: Float[np.ndarray, "moments tasks"]) -> tuple[int, int]:
    """The moments of the onset and of the spike; -1 for both if there is no spike."""
    try:
        spike = spike_of(split, accuracy)
    except ValueError:
        return -1, -1
    first = int(split.present[:, split.transient].any(axis=1).argmax())
    return max(first - 1, 0), spike


def midway_of(accuracy: Float[np.ndarray, "moments tasks"]) -> int:
    """The last moment at which half of the tasks, or more, were not learned; the first if none."""
    left = (accuracy < GENERALISED).mean(axis=1) >= 0.5
    return int(np.flatnonzero(left).max(initial=0))


def sets_of(
    split: Split, generator: np.random.Generator
) -> list[tuple[str, Int[np.ndarray, " some"]]]:
    """Which waves to clamp: transient ones, and as many others, by kind; random ones repeatedly."""
    chosen, anything = split.transient, np.ones(len(split.transient), bool)
    pools = [("persistent", split.persistent), *[("random", anything)] * RANDOM_DRAWS]
    drawn = [(kind, matched(chosen, pool, split.waves, generator)) for kind, pool in pools]
    return [("transient", np.flatnonzero(chosen)), *drawn]


def run_experiment(lab: Laboratory, tell: Tell = lambda _: None) -> Experiment:
    """Train the reference of a seed, split its waves, and grow its branches.

    From the spike all sets branch off, from the onset the transient ones and one random set. The
    gradient is watched from both, and from midway on if most tasks are learned in the end. A
    branch gets twice the epochs that the reference took for its last task, within those of
    the configuration.

    Args:
        lab: What to train; the seed is the configuration's.
        tell: Told now and then how far it got.
    """
    reference = train_reference(lab, tell)
    split = split_of(reference, lab.task.moduli, lab.task.p)
    onset, spike = places_of(split, reference.accuracy)
    generator = np.random.default_rng(lab.config.train.seed)
    sets = sets_of(split, generator)
    tell(f"{split.transient.sum()} transient, {split.persistent.sum()} persistent waves")
    watched, branches = {}, []
    removed = {
        f"{kind} {i}": lab.validation(lab.clamp(fractions(split.waves, some)), reference.states[-1])
        for i, (kind, some) in enumerate(sets)
    }
    places = {"onset": onset, "spike": spike} if spike >= 0 else {}
    if np.isfinite(reference.learned).mean() > 0.5:
        places["midway"] = midway_of(reference.accuracy)
    for place, at in places.items():
        watched[place] = watch(lab.problem, lab.clamp([]), reference.states[at], WINDOW)
    last = min(lab.config.train.epochs, 2 * int(reference.moments[-1] / SETTLING))
    if spike >= 0:
        jobs = [("spike", spike, *one) for one in sets]
        jobs += [("onset", onset, *one) for one in (sets[0], sets[2])]
        for place, at, kind, some in jobs:
            waves = fractions(split.waves, some)
            branches.append(grow_branch(lab, reference.states[at], kind, waves, last))
            tell(f"{kind} from the {place} on: epoch {branches[-1].end}")
    return Experiment(reference, split, spike, onset, removed, branches, watched)
