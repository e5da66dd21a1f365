r"""Break one task and only it: the neurons whose loss it cannot bear and the others can.

What neuron j adds to the right logit of a task, above the mean of the task's classes, is its
evidence. After the ReLU the network is linear, so evidence adds up: the set of any size that
holds most evidence for one task, less a price for the evidence of the others, is found by
sorting. Whether it breaks the task is then seen by taking it out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..network.model import Activations, Transformer
from ..tasks import task_columns
from .ablation import swing_of
from .exam import BROKEN, Exam, Selectivity, Tensor, check_rows

PRICES = (0.0, 1.0, 2.0, 4.0)  # of the others' evidence, in units of their mean share
DOSES = 64  # sizes of sets that are tried first, evenly spaced; then those between two of them


class Tail(NamedTuple):
    """What follows the ReLU, on some inputs.

    Attributes:
        swing: What goes when a neuron is taken out: it less its mean over all inputs, or all of
            it.
        writes: What each neuron adds to the logits, per unit of activation.
        logits: Of the intact network.
    """

    swing: Float[np.ndarray, "rows neurons"]
    writes: Float[np.ndarray, "neurons n_classes"]
    logits: Float[np.ndarray, "rows n_classes"]

    def without(self, removed: Int[np.ndarray, " removed"]) -> Float[np.ndarray, "rows n_classes"]:
        """Logits with some neurons, by number, taken out."""
        return self.logits - self.swing[:, removed] @ self.writes[removed]


def tail_of(
    activations: Activations, model: Transformer, rows: Int[Tensor, " rows"], fill: str = "mean"
) -> Tail:
    """The linear part of a network on some of the inputs that its activations are over.

    Args:
        activations: Over all inputs.
        model: Whose they are.
        rows: The inputs to keep.
        fill: What a neuron that is taken out is set to: its mean over all inputs, or zero.

    Raises:
        ValueError: for a row that there is no input for, or another fill.
    """
    check_rows(rows, len(activations.neurons))
    swing = np.asarray(swing_of(np.asarray(activations.neurons), fill))[rows]
    writes = np.asarray(model.W_out) @ np.asarray(model.W_U)
    return Tail(swing, writes, np.asarray(activations.logits)[rows])


def evidence(
    tail: Tail, targets: Int[np.ndarray, "rows tasks"], class_sizes: tuple[int, ...]
) -> Float[np.ndarray, "neurons tasks"]:
    r"""Mean over inputs of what each neuron adds to each task's right logit.

    $$e_{jq} = \frac1N \sum_n (h_{nj} - \bar h_j)
    \left(w_{j, y_{nq}} - \frac1q \sum_c w_{jc}\right), \qquad w = W_{out} W_U$$

    It is exact, and additive over neurons.

    Args:
        tail: Of the network.
        targets: The right class of each task on the rows of the tail.
        class_sizes: Classes of each task.

    Raises:
        ValueError: for targets of other rows, or other classes than there are logits for.
    """
    if len(targets) != len(tail.swing) or sum(class_sizes) != tail.writes.shape[1]:
        raise ValueError(
            f"targets of {len(targets)} rows and {sum(class_sizes)} classes were given; the tail "
            f"has {len(tail.swing)} rows and {tail.writes.shape[1]} classes"
        )
    found = []
    for own, right in zip(task_columns(class_sizes), targets.T, strict=True):
        writes = tail.writes[:, own]
        classes = np.eye(writes.shape[1], dtype=tail.swing.dtype)[right]
        along = tail.swing.T @ (classes - 1 / writes.shape[1])
        found.append((along * writes).sum(axis=1) / len(targets))
    return np.stack(found, axis=1)


def shares(found: Float[np.ndarray, "neurons tasks"]) -> Float[np.ndarray, "neurons tasks"]:
    """Evidence of each neuron as a share of all that speaks for or against a task."""
    return found / np.maximum(np.abs(found).sum(axis=0), np.finfo(found.dtype).tiny)


def smallest_set(
    tail: Tail, exam: Exam, i: int, order: Int[np.ndarray, " neurons"]
) -> Int[np.ndarray, " removed"]:
    """The first few neurons of an order that break task i, or half of all if none do.

    Sizes are tried in even steps, and within the first step that breaks the task by halving it:
    one neuron fewer does not break it.

    Args:
        tail: Of the network, on the rows of the exam.
        exam: To score by.
        i: The task to break.
        order: All neurons, the first to go first.

    Raises:
        ValueError: unless the order names each neuron once, and there are two or more.
    """
    units = tail.swing.shape[1]
    if units < 2 or sorted(order.tolist()) != list(range(units)):
        raise ValueError(f"order must name each of two or more neurons once, 0 to {units - 1}")
    own, most = exam.columns[i], units // 2

    def taken(left: np.ndarray, more: Int[np.ndarray, " more"]) -> np.ndarray:
        return left - tail.swing[:, more] @ tail.writes[more, own]

    spared, left = 0, tail.logits[:, own]  # of the largest set known not to break it
    for broken in np.unique(np.linspace(1, most, min(DOSES, most)).astype(int)).tolist():
        after = taken(left, order[spared:broken])
        if exam.left_of(i, after) <= BROKEN:
            break
        spared, left = broken, after
    else:
        return order[:most]
    while broken - spared > 1:
        middle = (spared + broken) // 2
        after = taken(left, order[spared:middle])
        if exam.left_of(i, after) <= BROKEN:
            broken = middle
        else:
            spared, left = middle, after
    return order[:broken]


def breaking_set(
    tail: Tail, exam: Exam, share: Float[np.ndarray, "neurons tasks"], i: int
) -> Int[np.ndarray, " removed"]:
    """Neurons that break task i and harm the others least, over the prices of their evidence.

    Args:
        tail: Of the network, on the rows of the exam.
        exam: To choose by.
        share: Of `shares`.
        i: The task to break.
    """
    others = (share.sum(axis=1) - share[:, i]) / max(share.shape[1] - 1, 1)
    sets = [smallest_set(tail, exam, i, np.argsort(-(share[:, i] - c * others))) for c in PRICES]

    def cost(removed: Int[np.ndarray, " removed"]) -> tuple[float, float]:
        left = exam.left(tail.without(removed))
        return max(float(left[i]), BROKEN), -float(np.delete(left, i).sum())

    return min(sets, key=cost)


def random_sets(
    chosen: Int[np.ndarray, " chosen"], units: int, draws: int, generator: np.random.Generator
) -> Int[np.ndarray, "draws chosen"]:
    """Sets of the same size, each drawn from the units that are not in the set.

    Raises:
        ValueError: if fewer are left than were chosen.
    """
    rest = np.setdiff1d(np.arange(units), chosen)
    if len(rest) < len(chosen) or draws < 1:
        raise ValueError(
            f"{draws} sets of {len(chosen)} of {units} units were asked for, drawn from those not "
            "chosen; ask for one or more, of half of the units at most"
        )
    return np.stack([generator.permutation(rest)[: len(chosen)] for _ in range(draws)])


def selectivity(
    tail: Tail,
    exam: Exam,
    sets: list[Int[np.ndarray, " _"]],
    *,
    draws: int = 20,
    seed: int = 0,
) -> Selectivity:
    """What each task's set does to every task, beside random sets of the same size.

    Args:
        tail: Of the network, on the rows of the exam.
        exam: To score by: on inputs that the sets were not chosen by.
        sets: One for each task, in order.
        draws: Random sets for each.
        seed: Of the draws.

    Raises:
        ValueError: unless there is one set for each task, of half of the neurons at most.
    """
    if len(sets) != len(exam.class_sizes):
        raise ValueError(
            f"{len(sets)} sets were given for {len(exam.class_sizes)} tasks; give one each"
        )
    generator = np.random.default_rng(seed)
    units = tail.swing.shape[1]
    left = np.stack([exam.left(tail.without(removed)) for removed in sets])
    controls = [
        [exam.left(tail.without(other)) for other in random_sets(own, units, draws, generator)]
        for own in sets
    ]
    sizes = np.array([len(removed) for removed in sets])
    return Selectivity(sizes, left, np.swapaxes(np.array(controls), 0, 1))
