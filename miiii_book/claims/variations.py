"""Claims of ours about other bases, other tables, and other answers."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from miiii_core.losses import GENERALISED
from miiii_core.runs import Run
from miiii_core.tasks import Task, primes_below
from miiii_core.waves import class_means

from ..results import Training, Trainings, by_base, renamed_of, trainings_of
from ..rules import folded, frequencies_used
from ..symmetry import FIRST, Lead, lead_of
from .claim import CannotTell, Measure, Measured, activations, beside, median

KNOWN = 0.9  # share of the answers' entropy removed, from which a task of T_divisible is learned


def order_of(epochs: ArrayLike, moduli: ArrayLike) -> tuple[float, float]:
    """Return the rank correlation of q with the epoch it was learned, and its p-value.

    A task never learned counts as learned after all others; of equal epochs they are 0 and 1.
    """
    from scipy.stats import spearmanr  # takes a second to load

    if np.size(epochs) < 3 or len(np.unique(epochs)) < 2:
        return 0.0, 1.0
    found = spearmanr(moduli, epochs)
    return float(found.statistic), float(found.pvalue)


def _several(runs: Sequence[Run], least: int = 0) -> dict[int, Training]:
    """Return the trainings of each base from the least on; CannotTell if there is only one."""
    bases = {p: one for p, one in by_base(trainings_of(runs)).items() if p >= least}
    if len(bases) < 2:
        raise CannotTell(
            f"{runs[0].folder.name} is of a recipe of which no other base is known, or no larger "
            "one where that is asked; train one with another --p, all else equal"
        )
    return bases


def _symmetric(*runs: Run) -> Measured:
    bases = _several(runs)
    found = lead_of(bases) or Lead(0.0, 1.0, 0)
    return {
        "symmetric tasks": found.symmetric,
        "lead in octaves": found.octaves,
        "p-value": found.p_value,
    }


def _classes(*runs: Run) -> Measured:
    bases = _several(runs)
    order = np.array([order_of(b.learned[2:], primes_below(p)[2:]) for p, b in bases.items()])
    return {
        "bases": len(bases),
        "median rank correlation": np.median(order[:, 0]),
        "bases with p below 0.05": (order[:, 1] < 0.05).sum(),
    }


def both_ways(runs: Sequence[Run]) -> tuple[Trainings, Trainings]:
    """Return the trainings, as they are and with digits renamed, that share a base and a seed."""
    usual, renamed = trainings_of(runs), renamed_of(runs)
    places = usual.keys() & renamed.keys()
    return {at: usual[at] for at in places}, {at: renamed[at] for at in places}


def _shared(*runs: Run) -> Measured:
    usual, changed = (lead_of(by_base(trainings)) for trainings in both_ways(runs))
    if usual is None or changed is None:
        raise CannotTell(
            "no trainings with renamed digits are stored for these runs; "
            "python -m benchmarks.trainings renamed computes those of miiii-small"
        )
    return {
        "lead in octaves": usual.octaves,
        "p-value": usual.p_value,
        "lead with digits renamed": changed.octaves,
        "p-value with digits renamed": changed.p_value,
    }


def _larger(run: Run) -> Measured:
    """Compare the base of a run with the largest, until the shorter training of the two ended."""
    bases = _several([run], least=run.task.p)
    own, other = bases[run.task.p], bases[max(bases)]
    last = min(own.last, other.last)
    told = (np.array(run.task.moduli) >= FIRST) & (own.learned <= last)
    first, second = own.learned[told], other.learned[: len(told)][told]
    times = np.minimum(second, last) / first
    return {
        "tasks": told.sum(),
        "tasks learned in the larger base too": (second <= last).sum(),
        "times the epoch, median": median(times),
    }


def knowledge_of(run: Run, split: str = "validation") -> Float[np.ndarray, " tasks"]:
    """Return the share of the answers' entropy that a run has removed at its end, by split.

    It is 0 for guessing by frequency, 1 for certainty; accuracy is high for whoever always says no.
    """
    shares = (np.bincount(answers) / len(answers) for answers in run.task.targets.T)
    entropy = np.array([-(f[f > 0] * np.log(f[f > 0])).sum() for f in shares])
    return 1 - run.metrics.split("loss", split)[-1] / entropy


def spread_of(logits: Float[np.ndarray, "n n_classes"], task: Task) -> Float[np.ndarray, " tasks"]:
    """Return the frequencies that each task's answers are made of, over the q // 2 there are.

    Of T_divisible yes above no counts; else it is a task of remainders. Logits are of all inputs.
    """
    used = []
    for q, own in zip(task.moduli, task.columns, strict=True):
        each = np.asarray(logits[:, own], float)
        if task.config.name == "divisible":
            profile = class_means((each[:, 1] - each[:, 0])[None], (q,))[0]
        else:
            profile = folded(each, np.arange(len(each)))
        used.append(frequencies_used(np.asarray(profile)) / (q // 2))
    return np.array(used)


def learned(run: Run) -> Bool[np.ndarray, " tasks"]:
    """Return which tasks from 5 on a run has learned for inputs held out."""
    if run.config.task.name == "divisible":
        good = knowledge_of(run) >= KNOWN
    else:
        good = run.metrics.split("accuracy", "validation")[-1] >= GENERALISED
    return good & (np.array(run.task.moduli) >= FIRST)


def _divisible(divisible: Run, full: Run) -> Measured:
    found: dict[str, float] = {}
    for name, run in (("T_divisible", divisible), ("T_miiii", full)):
        good = learned(run)
        spread = spread_of(np.asarray(activations(run).logits), run.task)[good]
        found[f"tasks that {name} learned"] = len(spread)
        found[f"frequencies used by {name}"] = median(spread)
    return found


MEASURES = {
    "symmetric": (Measure(("bases",), _symmetric, together=True),),
    "shared-table": (Measure(("bases",), _shared, together=True),),
    "classes": (Measure(("bases",), _classes, together=True),),
    "larger-base": beside(_larger, "sample-dropout"),
    "divisible": beside(_divisible, "divisible", "miiii"),
}
