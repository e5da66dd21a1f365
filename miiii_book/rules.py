r"""The cosine formula of a task's answers: fitted, and used alone.

The mechanism of Nanda et al. (2023) makes the logit of class c a function of n - c, the sum
$\sum_k a_k \cos(2\pi k (n - c)/q)$. A network that has learned by heart is right on its training
inputs, so a formula fitted there would look like one wherever there are labels: everything is
fitted on inputs held out, and used on others.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from miiii_core.fourier import effective_rank
from miiii_core.runs import Run
from miiii_core.shares import TINY
from miiii_core.tasks import Task
from miiii_core.waves import turns, waves_of

Tensor = np.ndarray | Array
Ints = Int[np.ndarray, " _"]
DRAWS = 20  # number of random controls
USED = 0.95  # share of what all cosines explain of a task that the ones it is said to use hold
SAMPLE = 512  # number of inputs that many interventions are scored on


def folded(
    logits: Float[np.ndarray, "rows classes"], answers: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " classes"]:
    """Sum one task's logits by (answer - class) mod q; each sum has a term for each input."""
    size = logits.shape[1]
    return np.bincount(_differences(answers, size).ravel(), logits.ravel(), size)


def scoring_rows(task: Task, most: int = SAMPLE) -> Int[np.ndarray, " rows"]:
    """Return inputs held out, to score by: all, or as many as that, at random."""
    return np.concatenate([task.validation, task.test])[:most]


class Formula(NamedTuple):
    """The fit of one task's logits by cosines."""

    modulus: int  #: The prime q
    cos: Float[np.ndarray, " k"]  #: Coefficients of cos(2πk(n - c)/q), k = 1..q//2
    #: The k, largest coefficient first, that hold `USED` of the variance of all cosines
    used: Int[np.ndarray, " used"]

    def of(self, numbers: Ints) -> Float[np.ndarray, "n q"]:
        """Return what the used cosines alone say about some numbers."""
        table = _cosines(self.modulus)[:, self.used - 1]
        return (table @ self.cos[self.used - 1])[_differences(numbers, self.modulus)]


def remainder_moduli(task: Task) -> tuple[int, ...]:
    """Return the moduli of a task whose classes are the remainders of n; ValueError for another."""
    if task.class_sizes != task.moduli or task.config.name == "nanda":
        raise ValueError(f"classes of T_{task.config.name} are no remainders of n; give T_miiii's")
    return task.moduli


def fit_formulas(logits: Float[Tensor, "n n_classes"], task: Task, rows: Ints) -> list[Formula]:
    """Fit each task of remainders by cosines.

    For each n the classes run through all remainders of n - c once, so waves of different k are
    at right angles, and every coefficient is a plain mean, whatever the inputs. Logits are packed,
    of all inputs; rows are those to fit on.
    """
    found = []
    for q, own in zip(remainder_moduli(task), task.columns, strict=True):
        values = np.asarray(logits[:, own], float)[rows]
        centred = values - values.mean(axis=0)
        size = (1 if q == 2 else 2) / centred.size
        cos = size * folded(centred, rows) @ _cosines(q)
        order = np.argsort(-(cos**2))
        enough = int(np.argmax(np.cumsum(cos[order] ** 2) >= USED * (cos**2).sum())) + 1
        found.append(Formula(q, cos, 1 + order[:enough]))
    return found


class Trial(NamedTuple):
    """The formula against the network, on inputs held out that it was not fitted on."""

    #: Share of the variance of each task's logits that its formula predicts
    explained: Float[np.ndarray, " tasks"]
    network: Float[np.ndarray, " tasks"]  #: Accuracy of the network
    formula: Float[np.ndarray, " tasks"]  #: Accuracy of the used cosines alone


def trial(logits: Float[Tensor, "n n_classes"], task: Task) -> Trial:
    """Put the formula in the place of the network; logits are packed, of all inputs."""
    held_out, found = scoring_rows(task, len(task.digits)), []
    fitted, scored = held_out[::2], held_out[1::2]
    for i, formula in enumerate(fit_formulas(logits, task, fitted)):
        own, right = np.asarray(logits[scored, task.columns[i]], float), task.targets[scored, i]
        spoken = formula.of(scored)
        share = 1 - (own - spoken).var(axis=0).sum() / max(own.var(axis=0).sum(), TINY)
        correct = [(each.argmax(axis=1) == right).mean() for each in (own, spoken)]
        found.append((share, *correct))
    return Trial(*map(np.array, zip(*found, strict=True)))


class Standing(NamedTuple):
    """How each task's rule stands against everything else in its logits."""

    #: Mean logit of the right class less the largest mean of another, by n - c, on inputs held out,
    #: over the standard deviation of what is no function of n - c
    margin: Float[np.ndarray, " tasks"]
    #: Nats by which the right class stands higher on inputs trained on than on those held out
    by_heart: Float[np.ndarray, " tasks"]


def standing(logits: Float[Tensor, "n n_classes"], task: Task) -> Standing:
    """Part each task's logits, packed and of all inputs, into rule, memory and the rest."""
    found, unseen = [], scoring_rows(task, len(task.digits))
    for q, own in zip(remainder_moduli(task), task.columns, strict=True):
        values = np.asarray(logits[:, own], float)
        values = values - values.mean(axis=1, keepdims=True)
        gaps = _differences(np.arange(len(values)), q)
        by_gap = np.take_along_axis(values, gaps, axis=1)  # at d the logit of class n - d
        rule = by_gap[unseen].mean(axis=0)
        rest = (by_gap[unseen] - rule).std()
        heart = by_gap[task.train, 0].mean() - rule[0]
        found.append(((rule[0] - rule[1:].max()) / max(rest, TINY), heart))
    return Standing(*map(np.array, zip(*found, strict=True)))


def standings(run: Run) -> tuple[Ints, Standing]:
    """Return the epochs of a run's snapshots, and the `standing` there, axes (snapshot, task)."""
    models = (run.snapshot(epoch) for epoch in run.snapshot_epochs)
    found = [standing(each.activations(run.task.digits).logits, run.task) for each in models]
    return np.array(run.snapshot_epochs, int), Standing(*map(np.array, zip(*found, strict=True)))


def frequencies_used(profile: Float[np.ndarray, " q"]) -> float:
    """Return over how many of its q // 2 frequencies a function of remainders spreads.

    It is the exponential of the entropy of their shares of the energy: q // 2 for a function that
    is high at one remainder and the same at all others, 0 for nothing.
    """
    return effective_rank(np.abs(np.fft.rfft(profile)[1:]) ** 2)


def _cosines(q: int) -> Float[np.ndarray, "q k"]:
    return np.cos(2 * np.pi * turns(waves_of([q]), np.arange(q)))


def _differences(answers: Int[np.ndarray, " rows"], size: int) -> Int[np.ndarray, "rows classes"]:
    return (answers[:, None] - np.arange(size)) % size
