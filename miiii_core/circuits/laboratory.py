"""What branches set out from: a training with nothing clamped, and what clamping takes.

The reference is trained to its end, so that it is known which waves go again, and it keeps its
states on the way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ..analysis.transients import Split, split_waves, strengths
from ..config import Config
from ..milestones import GENERALISED
from ..tasks import Task
from ..training.clamp import Clamp, clamped_accuracy, clamped_advance
from ..training.train import Problem, TrainingDiverged, TrainState, initial_state, task_of

EVERY = 64  # epochs between two looks at the accuracies
PER_OCTAVE = 4  # looks at the waves per doubling of the epoch
SETTLING = 1.25  # times the epoch at which all tasks are learned, until which a reference goes on
HOPELESS = 0.5  # share of tasks below which a reference is given up at half of its epochs
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
        chance: The most that a wave had of it then in random orders.
    """

    learned: Float[np.ndarray, " tasks"]
    moments: Int[np.ndarray, " moments"]
    states: list[TrainState]
    accuracy: Float[np.ndarray, "moments tasks"]
    energy: Float[np.ndarray, "moments waves"]
    total: Float[np.ndarray, " moments"]
    chance: Float[np.ndarray, " moments"]


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


def split_of(reference: Reference, moduli: Sequence[int], p: int) -> Split:
    """What becomes of the waves of a reference."""
    measured = reference.energy, reference.total, reference.chance
    return split_waves(*measured, moduli, p)


def midway_of(accuracy: Float[np.ndarray, "moments tasks"]) -> int:
    """The last moment at which half of the tasks, or more, were not learned; the first if none."""
    left = (accuracy < GENERALISED).mean(axis=1) >= 0.5
    return int(np.flatnonzero(left).max(initial=0))
