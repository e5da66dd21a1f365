r"""Subspaces of the residual stream that one task is read from, and how to take them out.

A task reads the stream through its own columns of W_U. Each class less the mean of its task
is a direction; those along which the logits vary most over the inputs come first. Taking
directions out, $x \to x - (x - \bar x) R K$, is a projection when $K R = 1$: the orthogonal
one takes $R$ orthonormal and $K = R^T$, the gentlest one chooses K so that the logits of all
other tasks change least.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..network.model import Activations, Transformer
from ..tasks import task_columns
from .ablation import swing_of
from .exam import BROKEN, Exam, Selectivity, Tensor, check_rows


class Stream(NamedTuple):
    """The end of the residual stream on some inputs, and what reads it.

    Attributes:
        swing: What goes along directions that are taken out: the stream less its mean over all
            inputs, or all of it.
        reads: W_U, the mean over the classes of each task taken out of its columns: it moves
            all logits of a task alike, and changes nothing.
        logits: Of the intact network.
    """

    swing: Float[np.ndarray, "rows d_model"]
    reads: Float[np.ndarray, "d_model n_classes"]
    logits: Float[np.ndarray, "rows n_classes"]

    def without(self, erasure: "Erasure") -> Float[np.ndarray, "rows n_classes"]:
        """Logits with directions taken out of the stream."""
        read, written = self.swing @ erasure.read, erasure.write @ self.reads
        return self.logits - read.astype(np.float32) @ written.astype(np.float32)


class Erasure(NamedTuple):
    """Directions that are taken out of the stream.

    Attributes:
        read: What is read off, R.
        write: What is taken away for it, K.
    """

    read: Float[np.ndarray, "d_model rank"]
    write: Float[np.ndarray, "rank d_model"]


def stream_of(
    activations: Activations,
    model: Transformer,
    class_sizes: tuple[int, ...],
    rows: Int[Tensor, " rows"],
    fill: str = "mean",
) -> Stream:
    """The end of the stream on some of the inputs that activations are over.

    Directions are found in float64; logits stay as they are.

    Args:
        activations: Over all inputs.
        model: Whose they are.
        class_sizes: Classes of each task.
        rows: The inputs to keep.
        fill: What is left along directions that are taken out: the mean over all inputs, or zero.

    Raises:
        ValueError: for a row that there is no input for, or another fill.
    """
    check_rows(rows, len(activations.resid_post))
    stream = np.asarray(activations.resid_post, np.float64)
    reads = np.asarray(model.W_U, np.float64).copy()
    for own in task_columns(class_sizes):
        reads[:, own] -= reads[:, own].mean(axis=1, keepdims=True)
    logits = np.asarray(activations.logits)[rows]
    return Stream(np.asarray(swing_of(stream, fill))[rows], reads, logits)


class Directions(NamedTuple):
    """What the logits of one task vary along, the most first.

    Attributes:
        read: Directions of the stream, U V: the task's logits have uncorrelated parts along them.
        classes: V, orthonormal combinations of the task's classes.
    """

    read: Float[np.ndarray, "d_model rank"]
    classes: Float[np.ndarray, "classes rank"]

    def first(self, rank: int) -> "Directions":
        """The first few."""
        return Directions(self.read[:, :rank], self.classes[:, :rank])


def leading_directions(stream: Stream, own: slice) -> Directions:
    """All directions that a task, by its columns, reads from the stream."""
    read = stream.reads[:, own]
    logits = stream.swing @ read
    energy, classes = np.linalg.eigh(logits.T @ logits)
    held = np.linalg.eigvalsh(read.T @ read)
    rank = int((held > 1e-10 * held.max()).sum())
    leading = classes[:, np.argsort(-energy)[:rank]]
    return Directions(read @ leading, leading)


def orthogonal(read: Float[np.ndarray, "d_model rank"]) -> Erasure:
    """Project the stream onto what is orthogonal to some directions."""
    basis = np.linalg.qr(read)[0]
    return Erasure(basis, basis.T)


def gentlest(stream: Stream, own: slice, directions: Directions, rank: int) -> Erasure:
    r"""Take a task's first few directions out and change the logits of all other tasks least.

    With U the task's part of W_U and $V_r$ its leading combinations, K must move the task's own
    logits by exactly what they have along $V_r$, so $K U = V_r^T$; of all such K it is the
    one with the least $\lVert K W \rVert$, W what the others read.
    """
    own_read, taken = stream.reads[:, own], directions.first(rank)
    basis = np.linalg.svd(directions.read)[0]
    inside, outside = np.split(basis, [directions.read.shape[1]], axis=1)
    fixed = taken.classes.T @ np.linalg.pinv(inside.T @ own_read) @ inside.T
    # Products of d_model by d_model, not by all classes: 30 times quicker at the paper's size.
    others = stream.reads @ stream.reads.T - own_read @ own_read.T
    inverse = np.linalg.pinv(outside.T @ others @ outside, rcond=1e-10, hermitian=True)
    return Erasure(taken.read, fixed - fixed @ others @ outside @ inverse @ outside.T)


def smallest_rank(stream: Stream, exam: Exam, i: int, directions: Directions) -> int:
    """How many leading directions of task i, projected out, break it; half of d_model at most.

    Args:
        stream: On the rows of the exam.
        exam: To choose by.
        i: The task to break.
        directions: Of that task.

    Raises:
        ValueError: for a stream of other inputs than the exam's.
    """
    if len(stream.swing) != len(exam.rows):
        raise ValueError(
            f"a stream on {len(stream.swing)} inputs and an exam on {len(exam.rows)} were given; "
            "give both of the same inputs"
        )
    own, basis = exam.columns[i], np.linalg.qr(directions.read)[0]
    most = min(basis.shape[1], len(basis) // 2)
    along, writes = stream.swing @ basis, basis.T @ stream.reads[:, own]
    left = stream.logits[:, own]
    for rank in range(most):
        left = left - along[:, rank, None] * writes[rank]
        if exam.left_of(i, left) <= BROKEN:
            return rank + 1
    return most


def random_projection(
    basis: Float[np.ndarray, "d_model rank"], generator: np.random.Generator
) -> Erasure:
    """A projection of the same rank, drawn from what is orthogonal to an orthonormal basis.

    Raises:
        ValueError: if they fill more than half of the space, so that too little is left.
    """
    d_model, rank = basis.shape
    if 2 * rank > d_model:
        raise ValueError(f"{rank} of {d_model} directions leave too few; give half of them at most")
    drawn = generator.normal(size=(d_model, rank))
    return orthogonal(drawn - basis @ (basis.T @ drawn))


class Subspaces(NamedTuple):
    """Tasks broken by way of the stream.

    Attributes:
        projected: By orthogonal projections, beside random ones of the same rank.
        gentle: What is left (broken, task) when the same rank is taken out in the gentlest way.
        erasures: The orthogonal projections, task by task.
    """

    projected: Selectivity
    gentle: Float[np.ndarray, "broken tasks"]
    erasures: tuple[Erasure, ...]


def break_each(
    choosing: tuple[Stream, Exam],
    scoring: tuple[Stream, Exam],
    *,
    draws: int = 20,
    seed: int = 0,
) -> Subspaces:
    """For each task the smallest rank that breaks it, and what that does to every task.

    Args:
        choosing: The stream and an exam on inputs to choose by.
        scoring: The same on inputs to score by.
        draws: Random projections for each task.
        seed: Of the draws.

    Raises:
        ValueError: for less than one draw, or a stream of other inputs than its exam's.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws were asked for; a control needs one or more")
    generator, (stream, exam) = np.random.default_rng(seed), scoring
    left, controls, gentle, erasures = [], [], [], []
    for i, own in enumerate(exam.columns):
        directions = leading_directions(choosing[0], own)
        rank = smallest_rank(*choosing, i, directions)
        chosen = orthogonal(directions.read[:, :rank])
        erasures.append(chosen)
        others = [random_projection(chosen.read, generator) for _ in range(draws)]
        controls.append([exam.left(stream.without(other)) for other in others])
        left.append(exam.left(stream.without(chosen)))
        mild = gentlest(choosing[0], own, directions, rank)
        gentle.append(exam.left(stream.without(mild)))
    sizes = np.array([erased.read.shape[1] for erased in erasures])
    projected = Selectivity(sizes, np.array(left), np.swapaxes(np.array(controls), 0, 1))
    return Subspaces(projected, np.array(gentle), tuple(erasures))
