r"""What of a task's logits is a rule of the answer, and what is left of the task without it.

A rule gives each class a score by how far it is from the answer y, $g((y - c) \bmod q)$,
whatever the input. A network that has learned by heart is right on its training inputs, so a
rule fitted there would look like one wherever there are labels. It is therefore fitted on inputs
held out, and used on others: what was learned by heart says nothing there.
"""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..network.model import Transformer
from ..tasks import Task, task_columns
from .ablation import Scores, score
from .exam import SAMPLE, Tensor, choosing_rows, scoring_rows

Table = Float[np.ndarray, " n_classes"]


class Rule(NamedTuple):
    """A rule for each task, packed side by side.

    Attributes:
        scores: g of each difference 0..q-1, of mean 0 for each task.
        bias: What each class gets whatever the answer.
        class_sizes: Classes of each task.
    """

    scores: Table
    bias: Table
    class_sizes: tuple[int, ...]


class RuleScores(NamedTuple):
    """How a network does on inputs held out, and what its rule has to do with that.

    Attributes:
        whole: As it is.
        only: By the rule alone.
        without: With the rule taken out.
        trained: With the rule taken out, on inputs trained on.
        guess: Accuracy of the best constant answer on those held out.
    """

    whole: Scores
    only: Scores
    without: Scores
    trained: Scores
    guess: Float[np.ndarray, " tasks"]


def score_rule(model: Transformer, task: Task, most: int = SAMPLE) -> RuleScores:
    """Fit the rules of a network on inputs held out, and use them on others.

    Args:
        model: Of any epoch.
        task: The targets.
        most: Inputs at most, to fit on, to score on, and of those trained on.
    """
    fitted, held = halves(scoring_rows(task, 2 * most))
    trained = choosing_rows(task, most)
    parts = (fitted, held, trained)
    values = _logits(model, jnp.asarray(task.digits[np.concatenate(parts)]))
    # Of equal shape at all epochs, so that one compiled call serves them all.
    ends = np.cumsum([len(rows) for rows in parts])[:-1].tolist()
    of_fitted, of_held, of_trained = np.split(np.asarray(values), ends)
    rule = fit_rule(of_fitted, task.targets[fitted], task.class_sizes)
    answers = task.targets[held]
    return RuleScores(
        _score(of_held, task, held),
        _score(only_rule(rule, answers), task, held),
        _score(without_rule(of_held, rule, answers), task, held),
        _score(without_rule(of_trained, rule, task.targets[trained]), task, trained),
        np.array([np.bincount(y).max() / len(y) for y in answers.T]),
    )


def fit_rule(
    logits: Float[Tensor, "rows n_classes"],
    targets: Int[Tensor, "rows tasks"],
    class_sizes: tuple[int, ...],
) -> Rule:
    """The rule nearest to these logits, by least squares: means over inputs and classes.

    Args:
        logits: Of inputs that nothing was learned from.
        targets: The answers there.
        class_sizes: Classes of each task.

    Raises:
        ValueError: without inputs.
    """
    if len(logits) == 0:
        raise ValueError("no inputs were given to fit a rule on; give one or more held out")
    values = np.asarray(logits, float)
    bias = values.mean(axis=0)
    found = []
    for own, answer in zip(task_columns(class_sizes), np.asarray(targets).T, strict=True):
        sums = folded(values[:, own] - bias[own], answer)
        found.append((sums - sums.mean()) / len(values))
    return Rule(np.concatenate(found), bias, class_sizes)


def differences_to(answers: Int[np.ndarray, " rows"], size: int) -> Int[np.ndarray, "rows classes"]:
    """How far each class is from each answer: (answer - class) mod size."""
    return (answers[:, None] - np.arange(size)) % size


def folded(
    logits: Float[np.ndarray, "rows classes"], answers: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " classes"]:
    """Sums of one task's logits by `differences_to` the answers.

    Each input has one class for each difference, so every sum has as many terms as inputs.
    """
    size = logits.shape[1]
    return np.bincount(differences_to(answers, size).ravel(), logits.ravel(), size)


def along_rule(
    rule: Rule, targets: Int[Tensor, "rows tasks"]
) -> Float[np.ndarray, "rows n_classes"]:
    """What a rule says of each class, for these answers.

    Raises:
        ValueError: for answers of another number of tasks, or that are no class of theirs.
    """
    answers = np.asarray(targets)
    sizes = np.array(rule.class_sizes)
    if answers.shape[1:] != sizes.shape or ((answers < 0) | (answers >= sizes)).any():
        raise ValueError(f"answers must have a class of each task, 0 to {(sizes - 1).tolist()}")
    parts = zip(task_columns(rule.class_sizes), answers.T, strict=True)
    return np.concatenate(
        [rule.scores[own][differences_to(y, own.stop - own.start)] for own, y in parts], axis=1
    )


def only_rule(
    rule: Rule, targets: Int[Tensor, "rows tasks"]
) -> Float[np.ndarray, "rows n_classes"]:
    """Logits restricted to the rule: bias, and nothing else that depends on the input.

    Raises:
        ValueError: for answers that are no class of the rule's tasks.
    """
    return along_rule(rule, targets) + rule.bias


def without_rule(
    logits: Float[Tensor, "inputs n_classes"], rule: Rule, targets: Int[Tensor, "rows tasks"]
) -> Float[np.ndarray, "rows n_classes"]:
    """Logits with the rule taken out.

    Raises:
        ValueError: for logits of other inputs, or answers that are no class of the rule's tasks.
    """
    along = along_rule(rule, targets)
    if logits.shape != along.shape:
        raise ValueError(f"logits of shape {logits.shape} were given, answers for {along.shape}")
    return np.asarray(logits) - along


def halves(held_out: Int[np.ndarray, " rows"]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs to fit on, and others to score on: every second one each.

    Raises:
        ValueError: for fewer than two.
    """
    if len(held_out) < 2:
        raise ValueError(f"{len(held_out)} inputs cannot be halved; hold out two or more")
    return held_out[::2], held_out[1::2]


@eqx.filter_jit
def _logits(model: Transformer, digits: Int[Array, "n 2"]) -> Float[Array, "n n_classes"]:
    return model(digits)


def _score(logits: Tensor, task: Task, rows: Int[np.ndarray, " rows"]) -> Scores:
    """Mean loss and accuracy where there are logits of some rows only."""
    part = replace(task, digits=task.digits[rows], targets=task.targets[rows])
    return score(jnp.asarray(logits, jnp.float32), part)
