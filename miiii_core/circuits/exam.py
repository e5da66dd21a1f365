"""How much of each task is left after an intervention, on some of the inputs.

Accuracy alone says little of a task with two classes: guessing gives half of it. What is
counted here is the accuracy above guessing, as a share of what the intact network has.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..tasks import Task, task_columns

Tensor = np.ndarray | Array
BROKEN = 0.1  # a task is broken that keeps no more than this share
KEPT = 0.9  # and kept, if it keeps this much
SAMPLE = 512  # inputs that many interventions are scored on


class Exam(NamedTuple):
    """Inputs to score on, and how the intact network does there.

    Attributes:
        rows: Which of all inputs.
        targets: The right class of each task there.
        class_sizes: Classes of each task.
        guess: Accuracy of the best constant answer there.
        whole: Accuracy of the intact network there.
    """

    rows: Int[np.ndarray, " rows"]
    targets: Int[np.ndarray, "rows tasks"]
    class_sizes: tuple[int, ...]
    guess: Float[np.ndarray, " tasks"]
    whole: Float[np.ndarray, " tasks"]

    @property
    def columns(self) -> tuple[slice, ...]:
        """Where the logits of each task stand."""
        return task_columns(self.class_sizes)

    def left(self, logits: Float[Tensor, "rows n_classes"]) -> Float[np.ndarray, " tasks"]:
        """Share of each task's accuracy above guessing that these logits keep.

        1 for a task that had nothing to lose, below 0 for one that does worse than guessing.
        """
        values = np.asarray(logits)
        every = range(len(self.class_sizes))
        return np.array([self.left_of(i, values[:, self.columns[i]]) for i in every])

    def left_of(self, i: int, own: Float[np.ndarray, "rows classes"]) -> float:
        """The same for task i alone, by the logits of its own classes."""
        accuracy = float(_right(own, self.targets[:, i]).mean())
        above = self.whole[i] - self.guess[i]
        return (accuracy - self.guess[i]) / above if above > 0 else 1.0


class Selectivity(NamedTuple):
    """What is left of every task when each in turn is to be broken.

    Attributes:
        sizes: Units taken out to break each task.
        left: Share of the task (second axis) that is left when the first is to be broken.
        controls: The same for random sets of equal size, drawn from what is left.
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
        """What random sets leave of the task that was to be broken: the median draw."""
        return np.median(np.diagonal(self.controls, axis1=1, axis2=2), axis=0)


def make_exam(task: Task, logits: Float[Tensor, "n n_classes"], rows: Int[Tensor, " rows"]) -> Exam:
    """An exam on some inputs.

    Args:
        task: The targets.
        logits: Of the intact network, over all inputs.
        rows: Which inputs.

    Raises:
        ValueError: for no rows, or logits that do not have a row for each input.
    """
    if logits.shape != (len(task.digits), task.n_classes) or len(rows) == 0:
        raise ValueError(
            f"logits of shape {logits.shape} and {len(rows)} rows were given; this task takes "
            f"logits of shape {(len(task.digits), task.n_classes)} and at least one row"
        )
    chosen = np.asarray(rows)
    targets = task.targets[chosen]
    guess = np.array([np.bincount(t).max() / len(t) for t in targets.T])
    own = np.asarray(logits)[chosen]
    right = [_right(own[:, c], t) for c, t in zip(task.columns, targets.T, strict=True)]
    return Exam(chosen, targets, task.class_sizes, guess, np.mean(right, axis=1))


def check_rows(rows: Int[Tensor, " rows"], count: int) -> None:
    """Refuse no rows, and rows that there is no input for: a negative one would count from the end.

    Raises:
        ValueError: for such.
    """
    if len(rows) == 0 or not 0 <= np.min(rows) <= np.max(rows) < count:
        raise ValueError(
            f"rows={rows} will not do; give one or more of the inputs 0 to {count - 1}"
        )


def choosing_rows(task: Task, most: int = SAMPLE) -> Int[np.ndarray, " rows"]:
    """Inputs trained on, to choose by: all, or as many as that, at random."""
    return task.train[:most]


def scoring_rows(task: Task, most: int = SAMPLE) -> Int[np.ndarray, " rows"]:
    """Inputs held out, to score by: all, or as many as that, at random."""
    return np.concatenate([task.validation, task.test])[:most]


def others_of(left: Float[np.ndarray, "broken tasks"]) -> Float[np.ndarray, " broken"]:
    """Mean of each row but for its entry on the diagonal; 1 where there is no other task."""
    count = len(left)
    if count == 1:
        return np.ones(1)
    return (left.sum(axis=1) - np.diagonal(left)) / (count - 1)


def _right(
    own: Float[np.ndarray, "rows classes"], targets: Int[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    """Whether all other classes have smaller logits: quicker than an argmax, and a tie is wrong."""
    own_right = own[np.arange(len(own)), targets]
    return (own >= own_right[:, None]).sum(axis=1) == 1
