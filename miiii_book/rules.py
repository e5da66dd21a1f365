r"""The cosine formula of a task's answers, $\sum_k a_k \cos(2\pi k (n - c)/q)$ for class c.

It is fitted on inputs held out: where answers are known by heart, any network looks like one.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from miiii_core.fourier import Tensor, effective_rank
from miiii_core.runs import Run
from miiii_core.shares import TINY
from miiii_core.tasks import Task
from miiii_core.waves import turns, waves_of

Ints = Int[np.ndarray, " _"]
DRAWS = 20  # number of random controls
USED = 0.95  # share of what all cosines explain of a task that the ones it is said to use hold
SAMPLE = 512  # number of inputs that many interventions are scored on


def by_gap(logits: Float[Tensor, "rows q"], answers: Ints) -> Float[np.ndarray, "rows q"]:
    """Return one task's logits in the order of (answer - class) mod q: first the right class's."""
    return np.take_along_axis(np.asarray(logits, float), _gaps(answers, logits.shape[1]), axis=1)


def folded(logits: Float[Tensor, "rows q"], answers: Ints) -> Float[np.ndarray, " q"]:
    """Sum one task's logits over the inputs, by (answer - class) mod q."""
    return by_gap(logits, answers).sum(axis=0)


def scoring_rows(task: Task, most: int = SAMPLE) -> Int[np.ndarray, " rows"]:
    """Return inputs held out, to score by: all, or as many as that, at random."""
    return np.concatenate([task.validation, task.test])[:most]


class Formula(NamedTuple):
    """The fit of one task's logits by cosines."""

    modulus: int  #: The prime q
    cos: Float[np.ndarray, " k"]  #: Coefficients of cos(2πk(n - c)/q), k = 1..q//2
    used: Ints  #: The k, largest coefficient first, that hold `USED` of the variance of all cosines

    def of(self, numbers: Ints) -> Float[np.ndarray, "n q"]:
        """Return what the used cosines alone say about some numbers."""
        table = _cosines(self.modulus)[:, self.used - 1]
        return (table @ self.cos[self.used - 1])[_gaps(numbers, self.modulus)]


def remainder_moduli(task: Task) -> tuple[int, ...]:
    """Return the moduli of a task whose classes are the remainders of n; ValueError for another."""
    if task.class_sizes != task.moduli or task.config.name == "nanda":
        raise ValueError(f"classes of T_{task.config.name} are no remainders of n; give T_miiii's")
    return task.moduli


def fit_formulas(logits: Float[Tensor, "n n_classes"], task: Task, rows: Ints) -> list[Formula]:
    """Fit each task of remainders by cosines, on some rows of the packed logits of all inputs.

    For each n the classes run through all remainders of n - c once, so waves of different k are
    at right angles, and every coefficient is a plain mean, whatever the inputs.
    """
    found = []
    for q, own in zip(remainder_moduli(task), task.columns, strict=True):
        values = np.asarray(logits)[rows, own].astype(float)
        centred = values - values.mean(axis=0)
        size = (1 if q == 2 else 2) / centred.size
        cos = size * folded(centred, rows) @ _cosines(q)
        order = np.argsort(-(cos**2))
        enough = int(np.argmax(np.cumsum(cos[order] ** 2) >= USED * (cos**2).sum())) + 1
        found.append(Formula(q, cos, 1 + order[:enough]))
    return found


class Trial(NamedTuple):
    """The formula against the network, on inputs held out that it was not fitted on."""

    explained: Float[np.ndarray, " tasks"]  #: Share of the logits' variance that it predicts
    network: Float[np.ndarray, " tasks"]  #: Accuracy of the network
    formula: Float[np.ndarray, " tasks"]  #: Accuracy of the used cosines alone


def trial(logits: Float[Tensor, "n n_classes"], task: Task) -> Trial:
    """Put the formula in the place of the network; logits are packed, of all inputs."""
    held_out, found = scoring_rows(task, len(task.digits)), []
    fitted, scored = held_out[::2], held_out[1::2]
    for i, formula in enumerate(fit_formulas(logits, task, fitted)):
        own, said = np.asarray(logits)[scored, task.columns[i]].astype(float), formula.of(scored)
        share = 1 - (own - said).var(axis=0).sum() / max(own.var(axis=0).sum(), TINY)
        right = (np.array([own, said]).argmax(axis=2) == task.targets[scored, i]).mean(axis=1)
        found.append((share, *right))
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
    for _, own in zip(remainder_moduli(task), task.columns, strict=True):
        values = by_gap(np.asarray(logits)[:, own], np.arange(len(logits)))
        values -= values.mean(axis=1, keepdims=True)
        rule = values[unseen].mean(axis=0)
        rest = (values[unseen] - rule).std()
        heart = values[task.train, 0].mean() - rule[0]
        found.append(((rule[0] - rule[1:].max()) / max(rest, TINY), heart))
    return Standing(*map(np.array, zip(*found, strict=True)))


def standings(run: Run) -> tuple[Ints, Standing]:
    """Return the epochs of a run's snapshots, and the `standing` there, axes (snapshot, task)."""
    models = (run.snapshot(epoch) for epoch in run.snapshot_epochs)
    found = [standing(each.activations(run.task.digits).logits, run.task) for each in models]
    return np.array(run.snapshot_epochs, int), Standing(*map(np.array, zip(*found, strict=True)))


def frequencies_used(profile: Float[np.ndarray, " q"]) -> float:
    """Return over how many of its q // 2 frequencies a function of n mod q spreads its energy."""
    return effective_rank(np.abs(np.fft.rfft(profile)[1:]) ** 2)


def _cosines(q: int) -> Float[np.ndarray, "q k"]:
    return np.cos(2 * np.pi * turns(waves_of([q]), np.arange(q)))


def _gaps(answers: Ints, q: int) -> Int[np.ndarray, "rows q"]:
    return (answers[:, None] - np.arange(q)) % q
