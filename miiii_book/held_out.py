"""How much of each task is left after an intervention, on inputs held out.

Accuracy alone says little of a task with two classes: guessing gives half of it. What is counted
here is the accuracy above guessing, as a share of what the intact network has.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from miiii_core.interventions import check_rows
from miiii_core.tasks import Task, task_columns

Tensor = np.ndarray | Array
BROKEN = 0.1  # share of its accuracy above guessing up to which a task counts as broken
KEPT = 0.9  # share from which it counts as kept
SAMPLE = 512  # number of inputs that many interventions are scored on


def choosing_rows(task: Task, most: int = SAMPLE) -> Int[np.ndarray, " rows"]:
    """Return inputs trained on, to choose parts by: all, or as many as that, at random."""
    return task.train[:most]


def scoring_rows(task: Task, most: int = SAMPLE) -> Int[np.ndarray, " rows"]:
    """Return inputs held out, to score by: all, or as many as that, at random."""
    return np.concatenate([task.validation, task.test])[:most]


class HeldOut(NamedTuple):
    """Inputs to choose or to score by, and how the intact network does there.

    Attributes:
        rows: Numbers of the inputs.
        targets: The right class of each task there.
        class_sizes: Number of classes of each task.
        guess: Accuracy of the best constant answer there.
        whole: Accuracy of the intact network there.
    """

    rows: Int[np.ndarray, " rows"]
    targets: Int[np.ndarray, "rows tasks"]
    class_sizes: tuple[int, ...]
    guess: Float[np.ndarray, " tasks"]
    whole: Float[np.ndarray, " tasks"]

    @classmethod
    def of(
        cls, task: Task, logits: Float[Tensor, "n n_classes"], rows: Int[Tensor, " rows"]
    ) -> "HeldOut":
        """Score the intact network, by its logits of all inputs, on some of them.

        Raises:
            ValueError: for no rows, or rows that are no inputs.
        """
        chosen = check_rows(rows, len(task.digits))
        targets, own = task.targets[chosen], np.asarray(logits)[chosen]
        guess = np.array([np.bincount(answers).max() / len(answers) for answers in targets.T])
        columns = zip(task.columns, targets.T, strict=True)
        whole = np.array([_right(own[:, classes], answers).mean() for classes, answers in columns])
        return cls(chosen, targets, task.class_sizes, guess, whole)

    @property
    def columns(self) -> tuple[slice, ...]:
        """Packed columns of each task."""
        return task_columns(self.class_sizes)

    def left(self, logits: Float[Tensor, "rows n_classes"]) -> Float[np.ndarray, " tasks"]:
        """Return the share of each task's accuracy above guessing that logits keep.

        It is 1 for a task that had nothing to lose, and below 0 for worse than guessing.
        """
        values = np.asarray(logits)
        return np.array([self.left_of(i, values[:, own]) for i, own in enumerate(self.columns)])

    def left_of(self, i: int, own: Float[np.ndarray, "rows classes"]) -> float:
        """Return the same for task i alone, from the logits of its own classes."""
        accuracy = float(_right(own, self.targets[:, i]).mean())
        above = self.whole[i] - self.guess[i]
        return (accuracy - self.guess[i]) / above if above > 0 else 1.0


class Selectivity(NamedTuple):
    """What is left of every task when parts are taken out to break each in turn.

    Attributes:
        sizes: Number of parts taken out to break each task.
        left: Share of the task (second axis) that is left when the first is to be broken.
        controls: The same for random parts, as many; NaN where there are none to draw.
    """

    sizes: Int[np.ndarray, " broken"]
    left: Float[np.ndarray, "broken tasks"]
    controls: Float[np.ndarray, "draws broken tasks"]

    @property
    def own(self) -> Float[np.ndarray, " broken"]:
        """What is left of the task that was to be broken."""
        return np.diagonal(self.left).copy()

    @property
    def others(self) -> Float[np.ndarray, " broken"]:
        """What is left of the other tasks, on average."""
        return others_of(self.left)

    @property
    def random_own(self) -> Float[np.ndarray, " broken"]:
        """What random parts leave of the task that was to be broken: the median draw."""
        return np.median(np.diagonal(self.controls, axis1=1, axis2=2), axis=0)


def others_of(left: Float[np.ndarray, "broken tasks"]) -> Float[np.ndarray, " broken"]:
    """Average each row but for its entry on the diagonal; 1 where there is no other task."""
    return (left.sum(axis=1) - np.diagonal(left)) / (len(left) - 1) if len(left) > 1 else np.ones(1)


def selectivity(
    without: Callable[[Any], Float[Tensor, "rows n_classes"]],
    held: HeldOut,
    chosen: Sequence[Any],
    controls: Sequence[Sequence[Any]],
) -> Selectivity:
    """Measure what taking out the parts of each task does to every task, beside random parts.

    Args:
        without: Function from parts to the logits, on the inputs of `held`, without them.
        held: Inputs to score by, other than those that the parts were chosen by.
        chosen: The parts of each task, in order; ``len`` tells how many.
        controls: Random parts for each task, one entry a draw; None where there are none to draw.
    """

    def left(parts: Any) -> Float[np.ndarray, " tasks"]:
        return np.full(len(chosen), np.nan) if parts is None else held.left(without(parts))

    drawn = np.array([[left(parts) for parts in each] for each in controls])
    sizes = np.array([len(parts) for parts in chosen])
    return Selectivity(sizes, np.array([left(parts) for parts in chosen]), np.swapaxes(drawn, 0, 1))


def _right(
    own: Float[np.ndarray, "rows classes"], targets: Int[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    """Return whether the right class alone has the largest logit; quicker than an argmax."""
    own_right = own[np.arange(len(own)), targets]
    return (own >= own_right[:, None]).sum(axis=1) == 1
