r"""Rules of the answer in a task's logits: fitted, used alone, and taken out.

A rule gives each class a score by how far it is from the answer y, $g((y - c) \bmod q)$, whatever
the input. The mechanism of Nanda et al. (2023) makes it a sum of cosines,
$\sum_k a_k \cos(2\pi k (n - c)/q)$. A network that has learned by heart is right on its training
inputs, so a rule fitted there would look like one wherever there are labels: everything is
fitted on inputs held out, and used on others.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from miiii_core.fourier import effective_rank
from miiii_core.interventions import Scores, logits_with, mean_scores
from miiii_core.model import Transformer
from miiii_core.tasks import Task, task_columns
from miiii_core.waves import Waves, columns, turns, waves_of

from .held_out import SAMPLE, choosing_rows, scoring_rows

Tensor = np.ndarray | Array
Ints = Int[np.ndarray, " _"]
DRAWS = 20  # number of random controls
USED = 0.95  # share of what all cosines explain of a task that the ones it is said to use hold
TINY = float(np.finfo(float).tiny)


def folded(
    logits: Float[np.ndarray, "rows classes"], answers: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " classes"]:
    """Sum one task's logits by (answer - class) mod q; each sum has a term for each input."""
    size = logits.shape[1]
    return np.bincount(_differences(answers, size).ravel(), logits.ravel(), size)


class Rule(NamedTuple):
    """A rule for each task, packed side by side.

    Attributes:
        scores: g of each difference 0..q-1, of mean 0 for each task.
        bias: What each class gets whatever the answer.
        class_sizes: Number of classes of each task.
    """

    scores: Float[np.ndarray, " n_classes"]
    bias: Float[np.ndarray, " n_classes"]
    class_sizes: tuple[int, ...]

    def of(self, targets: Int[Tensor, "rows tasks"]) -> Float[np.ndarray, "rows n_classes"]:
        """Return what the rule says of each class for these answers, the bias left out."""
        parts = zip(task_columns(self.class_sizes), np.asarray(targets).T, strict=True)
        scores = [(self.scores[own], answers) for own, answers in parts]
        return np.concatenate([g[_differences(answers, len(g))] for g, answers in scores], axis=1)


def fit_rule(
    logits: Float[Tensor, "rows n_classes"],
    targets: Int[Tensor, "rows tasks"],
    class_sizes: tuple[int, ...],
) -> Rule:
    """Fit the rule nearest to logits by least squares: means over inputs and classes.

    Args:
        logits: Logits of inputs that nothing was learned from.
        targets: The answers there.
        class_sizes: Number of classes of each task.
    """
    values = np.asarray(logits, float)
    bias, found = values.mean(axis=0), []
    for own, answers in zip(task_columns(class_sizes), np.asarray(targets).T, strict=True):
        sums = folded(values[:, own] - bias[own], answers)
        found.append((sums - sums.mean()) / len(values))
    return Rule(np.concatenate(found), bias, class_sizes)


class RuleScores(NamedTuple):
    """How a network does on inputs held out, and what its rule has to do with that.

    Attributes:
        whole: Scores of the network as it is.
        only: Scores of the rule alone.
        without: Scores with the rule taken out.
        trained: Scores with the rule taken out, on inputs trained on.
        guess: Accuracy of the best constant answer on the inputs held out.
    """

    whole: Scores
    only: Scores
    without: Scores
    trained: Scores
    guess: Float[np.ndarray, " tasks"]


def score_rule(model: Transformer, task: Task, most: int = SAMPLE) -> RuleScores:
    """Fit the rules of a network on inputs held out, and use them on others.

    Args:
        model: A model of any epoch.
        task: The task that has the targets.
        most: Largest number of inputs to fit on, to score on, and of those trained on.
    """
    rows = (*halves(scoring_rows(task, 2 * most)), choosing_rows(task, most))
    fitted, held, trained = (np.asarray(logits_with(model, task, {}, each)) for each in rows)
    known, answers, learned = (task.targets[each] for each in rows)
    rule = fit_rule(fitted, known, task.class_sizes)

    def scored(logits: Tensor, targets: Tensor) -> Scores:
        return mean_scores(jnp.asarray(logits, jnp.float32), targets, task.class_sizes)

    return RuleScores(
        scored(held, answers),
        scored(rule.of(answers) + rule.bias, answers),
        scored(held - rule.of(answers), answers),
        scored(trained - rule.of(learned), learned),
        np.array([np.bincount(y).max() / len(y) for y in answers.T]),
    )


def halves(held_out: Ints) -> tuple[Ints, Ints]:
    """Part inputs into some to fit on and others to score on, every second one each."""
    return held_out[::2], held_out[1::2]


class Formula(NamedTuple):
    r"""The fit of one task's logits by cosines.

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

    def of(self, numbers: Ints) -> Float[np.ndarray, "n q"]:
        """Return what the used cosines alone say about some numbers."""
        table = np.cos(2 * np.pi * turns(_waves(self.used, self.modulus), np.arange(self.modulus)))
        return (table @ self.cos[self.used - 1])[_differences(numbers, self.modulus)]

    def unused(self, generator: np.random.Generator) -> Ints | None:
        """Draw as many k as the task uses from those that it does not; None if there are fewer."""
        rest, many = np.setdiff1d(np.arange(1, len(self.cos) + 1), self.used), len(self.used)
        return generator.permutation(rest)[:many] if len(rest) >= many else None


def remainder_moduli(task: Task) -> tuple[int, ...]:
    """Return the moduli of a task whose classes are the remainders of n, whatever their labels.

    Raises:
        ValueError: for another task.
    """
    if task.class_sizes != task.moduli or task.config.name == "nanda":
        raise ValueError(f"classes of T_{task.config.name} are no remainders of n; give T_miiii's")
    return task.moduli


def fit_formulas(
    logits: Float[Tensor, "n n_classes"], task: Task, rows: Ints | None = None
) -> list[Formula]:
    """Fit each task of remainders by cosines.

    For each n the classes run through all remainders of n - c once, so waves of different k are
    at right angles, and every coefficient is a plain mean, whatever the inputs.

    Args:
        logits: Packed logits of all inputs.
        task: A task of remainders.
        rows: Inputs to fit on; all by default.
    """
    numbers, found = np.arange(len(task.digits)) if rows is None else rows, []
    for q, own in zip(remainder_moduli(task), task.columns, strict=True):
        values = np.asarray(logits[:, own], float)[numbers]
        centred = values - values.mean(axis=0)
        scale, sums = (1 if q == 2 else 2) / centred.size, folded(centred, numbers)
        angles = 2 * np.pi * turns(waves_of([q]), np.arange(q))
        cos, sin = scale * sums @ np.cos(angles), scale * sums @ np.sin(angles)
        total = max((centred**2).mean(), TINY) * scale * centred.size
        share = cos**2 / total
        order = np.argsort(-share)
        enough = int(np.argmax(np.cumsum(share[order]) >= USED * share.sum())) + 1
        found.append(Formula(q, cos, share, sin**2 / total, 1 + order[:enough]))
    return found


def parts_by_waves(
    own: Float[np.ndarray, "n q"], ks: Ints, fitted: Ints, scored: Ints
) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "n q"]]:
    """Keep of one task's logits only some waves of its remainder; and take just these out.

    What the waves hold is found on some inputs, by least squares with a constant, and taken from
    others: logits that know inputs by heart are high at the right class there.

    Args:
        own: The task's own logits of all inputs, one column for each remainder.
        ks: Numbers k of the waves, 1..q//2.
        fitted: Inputs to fit on, more than there are waves.
        scored: Inputs whose logits are wanted.
    """
    chosen = _waves(ks, own.shape[1])
    waves, mean = columns(chosen, fitted), own[fitted].mean(axis=0)
    centred = waves - waves.mean(axis=0)  # nearly at right angles: normal equations lose nothing
    gram = np.linalg.pinv(centred.T @ centred, hermitian=True)
    weights = gram @ (centred.T @ (own[fitted] - mean))
    along = (columns(chosen, scored) - waves.mean(axis=0)) @ weights
    return mean + along, own[scored] - along


class Trial(NamedTuple):
    """The formula against the network, on inputs held out that it was not fitted on.

    Attributes:
        formulas: Formulas fitted to the network's logits, on the other half of those held out.
        explained: Share of the variance of each task's logits that its formula predicts.
        guess: Accuracy of the most frequent class of each task.
        network: Accuracy of the network.
        formula: Accuracy of the used cosines alone.
        kept: Accuracy of the network with only the used waves of n mod q in its logits.
        left: Accuracy of the network without them.
        unused: Accuracy without as many waves of n mod q that the task does not use; NaN for a
            task that uses more than half of its waves.
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

    Args:
        logits: Packed logits of all inputs.
        task: A task of remainders.
        generator: Source of the waves that serve as controls.
        draws: Number of sets of them for each task.
    """
    fitted, scored = halves(scoring_rows(task, len(task.digits)))
    formulas, found = fit_formulas(logits, task, fitted), []
    for i, formula in enumerate(formulas):
        own, right = np.asarray(logits[:, task.columns[i]], float), task.targets[scored, i]

        def accuracy(values: np.ndarray, right: np.ndarray = right) -> float:
            return float((values.argmax(axis=1) == right).mean())

        spoken, others = formula.of(scored), [formula.unused(generator) for _ in range(draws)]
        parts = parts_by_waves(own, formula.used, fitted, scored)
        controls = [
            np.nan if ks is None else accuracy(parts_by_waves(own, ks, fitted, scored)[1])
            for ks in others
        ]
        centred, missed = (x - x.mean(axis=0) for x in (own[scored], own[scored] - spoken))
        share = float(1 - (missed**2).sum() / max((centred**2).sum(), TINY))
        outcomes = map(accuracy, (own[scored], spoken, *parts))
        found.append((share, np.bincount(right).max() / len(right), *outcomes, controls))
    explained, guess, network, spoken, kept, left, unused = map(np.array, zip(*found, strict=True))
    return Trial(formulas, explained, guess, network, spoken, kept, left, unused.T)


def knowledge(
    losses: Float[np.ndarray, "*rest tasks"], task: Task
) -> Float[np.ndarray, "*rest tasks"]:
    """Return the share of the answers' entropy that a model has removed.

    It is 0 for guessing by frequency, 1 for certainty, and below 0 for worse than guessing. An
    accuracy on T_divisible would be (q - 1) / q for whoever always says no.

    Args:
        losses: Cross-entropy of each task, in nats.
        task: A task whose answers differ.
    """
    shares = [np.bincount(answers) / len(answers) for answers in task.targets.T]
    return 1 - losses / np.array([-(f[f > 0] * np.log(f[f > 0])).sum() for f in shares])


def residue_means(values: Float[np.ndarray, " n"], q: int) -> Float[np.ndarray, " q"]:
    """Average a function of 0, 1, 2, ... over the numbers of each remainder modulo q."""
    residues = np.arange(len(values)) % q
    return np.bincount(residues, values) / np.bincount(residues)


def frequencies_used(profile: Float[np.ndarray, " q"]) -> float:
    """Return over how many of its q // 2 frequencies a function of remainders spreads.

    It is the exponential of the entropy of their shares of the energy: q // 2 for a function that
    is high at one remainder and the same at all others, 0 for nothing.
    """
    energy = np.abs(np.fft.rfft(profile)[1:]) ** 2
    return float(effective_rank(energy / (energy.sum() or 1)))


def _waves(ks: Ints, q: int) -> Waves:
    return Waves.of([(int(k), q) for k in ks])


def _differences(answers: Int[np.ndarray, " rows"], size: int) -> Int[np.ndarray, "rows classes"]:
    return (answers[:, None] - np.arange(size)) % size
