r"""The logits of n mod q as $\sum_k a_k \cos(2\pi k (n - c)/q)$: fitted, used, and taken out.

That is what the mechanism of Nanda et al. (2023) writes for modular addition, with
$n = x_0 + x_1$. For each n the classes c run through all remainders of n - c once, so waves of
different k are at right angles, and every coefficient is a plain mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from ..analysis.progress import excluded, restricted
from ..tasks import Task
from .ablation import held_out, score
from .rules import differences_to, folded

Tensor = np.ndarray | Array
Ks = Sequence[int] | Int[np.ndarray, " _"]  # of one task; another has another number of them
USED = 0.95  # of what all waves explain of a task's logits, in the waves that it is said to use


class Formula(NamedTuple):
    r"""The fit of one task's logits.

    Attributes:
        modulus: The prime q.
        cos: Coefficients $a_k$ of $\cos(2\pi k (n - c)/q)$, k = 1..q//2.
        cos_share: Share of the logits' variance along each, every class centred over inputs.
        sin_share: The same for the sines, which the mechanism does not have.
        used: The k, largest share first, that hold `USED` of all cosines' share.
    """

    modulus: int
    cos: Float[np.ndarray, " k"]
    cos_share: Float[np.ndarray, " k"]
    sin_share: Float[np.ndarray, " k"]
    used: Int[np.ndarray, " used"]


def fit_formulas(logits: Float[Tensor, "n n_classes"], task: Task) -> list[Formula]:
    """Fit each task of remainders.

    Args:
        logits: Over all inputs, packed.
        task: Whose classes are remainders of n.

    Raises:
        ValueError: for logits of other tasks, whose classes are something else.
    """
    return [_fit(_own(logits, task, i), q) for i, q in enumerate(_moduli(task))]


def formula_logits(formulas: Sequence[Formula], n: int) -> Float[np.ndarray, "n n_classes"]:
    """What the used cosines alone say about 0..n-1, packed: the network is not asked."""
    return np.concatenate([_spoken(formula, n) for formula in formulas], axis=1)


def used_share(formula: Formula) -> float:
    """Share of the variance of a task's logits in the cosines that it uses."""
    return float(formula.cos_share[formula.used - 1].sum())


def task_waves(q: int, ks: Ks, n: int) -> Float[np.ndarray, "n waves"]:
    """Orthonormal columns that span cos and sin of 2πkn/q over 0..n-1, their means removed.

    Raises:
        ValueError: for a k outside 1..q//2.
    """
    wrong = [int(k) for k in ks if not 1 <= k <= q // 2]
    if wrong or not len(ks):
        raise ValueError(
            f"waves k = {wrong or 'none'} of mod {q} were asked for; take 1 to {q // 2}"
        )
    turns = 2 * np.pi * (np.outer(np.arange(n), ks) % q) / q
    parts = [np.cos(turns)] if q == 2 else [np.cos(turns), np.sin(turns)]
    columns = np.concatenate(parts, axis=1)
    return np.linalg.qr(columns - columns.mean(axis=0))[0]


class Parts(NamedTuple):
    """Packed logits with only some waves of n in them, and with all but these."""

    kept: Float[np.ndarray, "n n_classes"]
    left: Float[np.ndarray, "n n_classes"]


def parts_by_waves(
    logits: Float[Tensor, "n n_classes"],
    task: Task,
    waves: Sequence[tuple[int, Ks]],
) -> Parts:
    """Keep of each task's logits only the waves named for it, or take just these out.

    Args:
        logits: Over all inputs, packed.
        task: Whose logits they are.
        waves: For each task, a modulus and the k of its waves: the task's own, or, as a
            control, another's.

    Raises:
        ValueError: unless each task is given waves.
    """
    if len(waves) != len(_moduli(task)):
        raise ValueError(f"waves for {len(waves)} tasks were given; there are {len(task.moduli)}")
    kept, left = [], []
    for index, (q, ks) in enumerate(waves):
        own = _own(logits, task, index)
        basis = task_waves(q, ks, len(own))
        kept.append(restricted(own, basis))
        left.append(excluded(own, basis))
    return Parts(np.concatenate(kept, axis=1), np.concatenate(left, axis=1))


def other_waves(
    formulas: Sequence[Formula], generator: np.random.Generator
) -> list[tuple[int, Ks]]:
    """For each task as many waves as it uses, at random from another task that has as many.

    The largest task takes from the next one as many as there are.
    """
    drawn: list[tuple[int, Ks]] = []
    for mine in formulas:
        rest = [f.modulus for f in formulas if f.modulus != mine.modulus]
        room = [q for q in rest if q // 2 >= len(mine.used)] or [max(rest)]
        q = int(generator.choice(room))
        drawn.append((q, generator.permutation(np.arange(1, q // 2 + 1))[: len(mine.used)]))
    return drawn


class Trial(NamedTuple):
    """The formula against the network, on inputs not trained on; accuracy of each task.

    Attributes:
        formulas: Fitted to the network's logits.
        guess: Of the most frequent class.
        network: Of the network.
        formula: Of the used cosines alone.
        kept: Of the network with only the used waves of n mod q in its logits.
        left: Of the network without them.
        others: Of the network without as many waves of other tasks.
    """

    formulas: list[Formula]
    guess: Float[np.ndarray, " tasks"]
    network: Float[np.ndarray, " tasks"]
    formula: Float[np.ndarray, " tasks"]
    kept: Float[np.ndarray, " tasks"]
    left: Float[np.ndarray, " tasks"]
    others: Float[np.ndarray, " tasks"]


def trial(
    logits: Float[Tensor, "n n_classes"], task: Task, generator: np.random.Generator
) -> Trial:
    """Put the formula in the place of the network, and take its waves out of the network."""
    rows, n = held_out(task), len(task.digits)
    formulas = fit_formulas(logits, task)
    own = parts_by_waves(logits, task, [(f.modulus, f.used) for f in formulas])
    other = parts_by_waves(logits, task, other_waves(formulas, generator))
    classes = [np.bincount(column).max() / n for column in task.targets.T]
    outcomes = (logits, formula_logits(formulas, n), own.kept, own.left, other.left)
    accuracies = [np.asarray(score(each, task, rows).accuracy, float) for each in outcomes]
    return Trial(formulas, np.array(classes), *accuracies)


def _fit(logits: Float[np.ndarray, "n q"], q: int) -> Formula:
    centred = logits - logits.mean(axis=0)
    sums = folded(centred, np.arange(len(logits)))
    k = np.arange(1, q // 2 + 1)
    turns = 2 * np.pi * (np.outer(k, np.arange(q)) % q) / q
    scale = (1 if q == 2 else 2) / centred.size
    cos, sin = scale * np.cos(turns) @ sums, scale * np.sin(turns) @ sums
    total = max((centred**2).mean(), np.finfo(float).tiny)
    cos_share, sin_share = (a**2 / (scale * centred.size * total) for a in (cos, sin))
    order = np.argsort(-cos_share)
    reached = np.cumsum(cos_share[order]) >= USED * cos_share.sum()
    return Formula(q, cos, cos_share, sin_share, 1 + order[: int(np.argmax(reached)) + 1])


def _spoken(formula: Formula, n: int) -> Float[np.ndarray, "n q"]:
    q, k = formula.modulus, formula.used
    turns = 2 * np.pi * (np.outer(k, np.arange(q)) % q) / q
    table = formula.cos[k - 1] @ np.cos(turns)
    return table[differences_to(np.arange(n), q)]


def _own(logits: Tensor, task: Task, index: int) -> Float[np.ndarray, "n q"]:
    """The columns of one task, in double precision."""
    return np.asarray(logits[:, task.columns[index]], float)


def _moduli(task: Task) -> tuple[int, ...]:
    if task.class_sizes != task.moduli or task.config.name == "nanda":
        raise ValueError(f"classes of T_{task.config.name} are no remainders of n; give T_miiii's")
    return task.moduli
