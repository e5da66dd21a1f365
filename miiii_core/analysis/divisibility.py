r"""T_divisible: what is left to learn of $[q \mid n]$, and which waves it is made of.

$$[q \mid n] = \frac1q \sum_{k=0}^{q-1} e^{2\pi i k n / q}$$

Every frequency k/q has the same share in the right answer. A network need not follow: to tell
0 from the other remainders a bump is enough that is highest there.
"""

import numpy as np
from jaxtyping import Float

from ..tasks import Task
from .spectral import Tensor, effective_rank


def prior_entropy(task: Task) -> Float[np.ndarray, " tasks"]:
    r"""Cross-entropy in nats of guessing by the frequency of the answers, $-\sum_c f_c \ln f_c$."""
    columns = zip(task.targets.T, task.class_sizes, strict=True)
    shares = [np.bincount(answers, minlength=size) / len(answers) for answers, size in columns]
    return np.array([-(f[f > 0] * np.log(f[f > 0])).sum() for f in shares])


def knowledge(
    losses: Float[np.ndarray, "*rest tasks"], task: Task
) -> Float[np.ndarray, "*rest tasks"]:
    """Share of the answers' entropy that a model has removed: 1 - loss / `prior_entropy`.

    0 for guessing by frequency, 1 for certainty, below 0 for worse than guessing. An accuracy
    would be (q - 1) / q for whoever always says no.

    Raises:
        ValueError: for losses of another number of tasks, or answers that are all alike.
    """
    known = prior_entropy(task)
    if losses.shape[-1:] != known.shape or not known.all():
        raise ValueError(
            f"losses of shape {losses.shape} were given for {len(known)} tasks with entropies from "
            f"{known.min():.3g}; give one for each task, and tasks whose answers differ"
        )
    return 1 - losses / known


def yes_over_no(logits: Float[Tensor, "n n_classes"]) -> Float[np.ndarray, "n tasks"]:
    """How much higher the logit of yes is than that of no, by task of T_divisible."""
    pairs = np.asarray(logits)
    return pairs[:, 1::2] - pairs[:, ::2]


def residue_means(values: Float[np.ndarray, " n"], q: int) -> Float[np.ndarray, " q"]:
    """Mean of a function of 0, 1, 2, ... over the numbers of each remainder modulo q.

    Raises:
        ValueError: if a remainder has no number.
    """
    if len(values) < q:
        raise ValueError(f"remainders modulo {q} need {q} values or more, not {len(values)}")
    residues = np.arange(len(values)) % q
    return np.bincount(residues, values) / np.bincount(residues)


def answer_profile(logits: Float[Tensor, "n q"]) -> Float[np.ndarray, " q"]:
    """Mean logit of the class that lies r above the right one modulo q, r = 0..q-1.

    Row n belongs to the number n. It is what the answers have in common with a function of
    c - n modulo q.

    Raises:
        ValueError: for no rows.
    """
    if not len(logits):
        raise ValueError("no logits were given to average; give those of the numbers 0, 1, 2, ...")
    numbers, q = np.arange(logits.shape[0]), logits.shape[1]
    above = (numbers[:, None] + np.arange(q)[None]) % q
    return np.take_along_axis(np.asarray(logits, float), above, axis=1).mean(axis=0)


def frequency_shares(profile: Float[np.ndarray, " q"]) -> Float[np.ndarray, " frequencies"]:
    """Energy of a function of residues at k/q cycles, k = 1..q//2, as shares of their sum.

    All are equal for a function that is high at one residue and the same at all others.
    """
    energy = np.abs(np.fft.rfft(profile)[1:]) ** 2
    return energy / (energy.sum() or 1)


def frequencies_used(profile: Float[np.ndarray, " q"]) -> float:
    """Over how many of its q // 2 frequencies a function of residues spreads.

    The exponential of the entropy of `frequency_shares`; 0 for a constant.
    """
    return float(effective_rank(frequency_shares(profile)))
