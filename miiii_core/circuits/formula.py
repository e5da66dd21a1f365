r"""The logits of n mod q as $\sum_k a_k \cos(2\pi k (n - c)/q)$: fitted, used, and taken out.

That is what the mechanism of Nanda et al. (2023) writes for modular addition, with
$n = x_0 + x_1$. For each n the classes c run through all remainders of n - c once, so waves of
different k are at right angles, and every coefficient is a plain mean, whatever the inputs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..tasks import Task
from .exam import Tensor, scoring_rows
from .rules import differences_to, folded, halves

Ks = Sequence[int] | Int[np.ndarray, " _"]  # of one task; another has another number of them
Rows = Int[np.ndarray, " _"]  # numbers n of some inputs
DRAWS = 20  # random controls
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


def remainder_moduli(task: Task) -> tuple[int, ...]:
    """The moduli of a task whose classes are the remainders of n, whatever their labels.

    Raises:
        ValueError: for another task.
    """
    if task.class_sizes != task.moduli or task.config.name == "nanda":
        raise ValueError(f"classes of T_{task.config.name} are no remainders of n; give T_miiii's")
    return task.moduli


def fit_formulas(
    logits: Float[Tensor, "n n_classes"], task: Task, rows: Rows | None = None
) -> list[Formula]:
    """Fit each task of remainders.

    Args:
        logits: Over all inputs, packed.
        task: Whose classes are remainders of n.
        rows: Inputs to fit on; all by default.

    Raises:
        ValueError: for logits of other tasks, whose classes are something else, or no rows.
    """
    numbers = np.arange(len(task.digits)) if rows is None else np.asarray(rows)
    if not len(numbers):
        raise ValueError("no rows were given to fit on; give at least one, or None for all")
    moduli = remainder_moduli(task)
    return [_fit(_own(logits, task, i)[numbers], numbers, q) for i, q in enumerate(moduli)]


def formula_logits(formulas: Sequence[Formula], numbers: Rows) -> Float[np.ndarray, "n n_classes"]:
    """What the used cosines alone say about some numbers, packed: the network is not asked."""
    return np.concatenate([_spoken(formula, numbers) for formula in formulas], axis=1)


def used_share(formula: Formula) -> float:
    """Share of the variance of a task's logits in the cosines that it uses."""
    return float(formula.cos_share[formula.used - 1].sum())


def task_waves(q: int, ks: Ks, numbers: Rows) -> Float[np.ndarray, "n waves"]:
    """Columns cos and sin of 2πkn/q at some numbers n; for q = 2 the cosine alone.

    Raises:
        ValueError: for a k outside 1..q//2, or none.
    """
    wrong = [int(k) for k in ks if not 1 <= k <= q // 2]
    if wrong or not len(ks):
        raise ValueError(
            f"waves k = {wrong or 'none'} of mod {q} were asked for; take 1 to {q // 2}"
        )
    turns = 2 * np.pi * (np.outer(numbers, ks) % q) / q
    parts = [np.cos(turns)] if q == 2 else [np.cos(turns), np.sin(turns)]
    return np.concatenate(parts, axis=1)


class Parts(NamedTuple):
    """Logits of one task with only some waves of n in them, and with all but these."""

    kept: Float[np.ndarray, "n q"]
    left: Float[np.ndarray, "n q"]


def parts_by_waves(own: Float[np.ndarray, "n q"], ks: Ks, fitted: Rows, scored: Rows) -> Parts:
    """Keep of one task's logits only some waves of its remainder, or take just these out.

    What the waves hold of each logit is found on some inputs, by least squares with a constant,
    and taken from others: logits that know the inputs trained on by heart are high at the right
    class there, and would look like waves.

    Args:
        own: The task's own logits over all inputs 0..n-1, one for each remainder.
        ks: Of the waves.
        fitted: Inputs to fit on.
        scored: Inputs whose logits are wanted.

    Raises:
        ValueError: for a k outside 1..q//2, or fewer inputs to fit on than there are waves.
    """
    q = own.shape[1]
    waves = task_waves(q, ks, fitted)
    if len(fitted) <= waves.shape[1]:
        raise ValueError(
            f"{len(fitted)} inputs cannot tell {waves.shape[1]} waves and a constant apart; give "
            f"{waves.shape[1] + 1} or more"
        )
    mean, middle = own[fitted].mean(axis=0), waves.mean(axis=0)
    centred = waves - middle  # nearly at right angles: normal equations lose nothing
    gram = np.linalg.pinv(centred.T @ centred, hermitian=True)
    weights = gram @ (centred.T @ (own[fitted] - mean))
    along = (task_waves(q, ks, scored) - middle) @ weights
    return Parts(mean + along, own[scored] - along)


def unused_waves(formula: Formula, generator: np.random.Generator) -> Int[np.ndarray, " k"] | None:
    """As many k as a task uses, at random from those that it does not; None if there are fewer."""
    rest = np.setdiff1d(np.arange(1, len(formula.cos) + 1), formula.used)
    if len(rest) < len(formula.used):
        return None
    return generator.permutation(rest)[: len(formula.used)]


class Trial(NamedTuple):
    """The formula against the network, on inputs held out that it was not fitted on.

    Attributes:
        formulas: Fitted to the network's logits, on the other half of the inputs held out.
        explained: Share of the variance of each task's logits that its formula predicts.
        guess: Accuracy of the most frequent class of each task.
        network: Of the network.
        formula: Of the used cosines alone.
        kept: Of the network with only the used waves of n mod q in its logits.
        left: Of the network without them.
        unused: Of the network without as many waves of n mod q that the task does not use;
            NaN for a task that uses more than half of its waves.
    """

    formulas: list[Formula]
    explained: Float[np.ndarray, " tasks"]
    guess: Float[np.ndarray, " tasks"]
    network: Float[np.ndarray, " tasks"]
    formula: Float[np.ndarray, " tasks"]
    kept: Float[np.ndarray, " tasks"]
    left: Float[np.ndarray, " tasks"]
    unused: Float[np.ndarray, "draws tasks"]


def trial(
    logits: Float[Tensor, "n n_classes"],
    task: Task,
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> Trial:
    """Put the formula in the place of the network, and take its waves out of the network.

    Formula and waves are fitted on one half of the inputs held out, and scored on the other.

    Args:
        logits: Over all inputs, packed.
        task: Whose classes are remainders of n.
        generator: Of the waves that serve as controls.
        draws: Sets of them for each task.

    Raises:
        ValueError: for logits of other tasks, too few inputs held out, or no draws.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws were asked for; a control needs one or more")
    fitted, scored = halves(scoring_rows(task, len(task.digits)))
    formulas, found = fit_formulas(logits, task, fitted), []
    for i, formula in enumerate(formulas):
        own, right = _own(logits, task, i), task.targets[scored, i]
        spoken = _spoken(formula, scored)
        parts = parts_by_waves(own, formula.used, fitted, scored)
        others = [unused_waves(formula, generator) for _ in range(draws)]
        controls = [
            np.nan if ks is None else _accuracy(parts_by_waves(own, ks, fitted, scored).left, right)
            for ks in others
        ]
        outcomes = [_accuracy(each, right) for each in (own[scored], spoken, *parts)]
        guess = np.bincount(right).max() / len(right)
        found.append((_predicted(own[scored], spoken), guess, *outcomes, controls))
    explained, guess, network, answered, kept, left, unused = map(
        np.array, zip(*found, strict=True)
    )
    return Trial(formulas, explained, guess, network, answered, kept, left, unused.T)


def _accuracy(own: Float[np.ndarray, "n q"], right: Int[np.ndarray, " n"]) -> float:
    return float((own.argmax(axis=1) == right).mean())


def _predicted(own: Float[np.ndarray, "n q"], spoken: Float[np.ndarray, "n q"]) -> float:
    """Share of the variance of logits that is predicted, every class centred over inputs."""
    centred, missed = (each - each.mean(axis=0) for each in (own, own - spoken))
    return float(1 - (missed**2).sum() / max((centred**2).sum(), np.finfo(float).tiny))


def _fit(logits: Float[np.ndarray, "n q"], numbers: Rows, q: int) -> Formula:
    centred = logits - logits.mean(axis=0)
    sums = folded(centred, numbers)
    k = np.arange(1, q // 2 + 1)
    turns = 2 * np.pi * (np.outer(k, np.arange(q)) % q) / q
    scale = (1 if q == 2 else 2) / centred.size
    cos, sin = scale * np.cos(turns) @ sums, scale * np.sin(turns) @ sums
    total = max((centred**2).mean(), np.finfo(float).tiny)
    cos_share, sin_share = (a**2 / (scale * centred.size * total) for a in (cos, sin))
    order = np.argsort(-cos_share)
    reached = np.cumsum(cos_share[order]) >= USED * cos_share.sum()
    return Formula(q, cos, cos_share, sin_share, 1 + order[: int(np.argmax(reached)) + 1])


def _spoken(formula: Formula, numbers: Rows) -> Float[np.ndarray, "n q"]:
    q, k = formula.modulus, formula.used
    turns = 2 * np.pi * (np.outer(k, np.arange(q)) % q) / q
    table = formula.cos[k - 1] @ np.cos(turns)
    return table[differences_to(numbers, q)]


def _own(logits: Tensor, task: Task, index: int) -> Float[np.ndarray, "n q"]:
    """The columns of one task, in double precision."""
    return np.asarray(logits[:, task.columns[index]], float)
