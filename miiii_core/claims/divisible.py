"""Claims of ours about learning only whether q divides n."""

import numpy as np
from jaxtyping import Bool, Float

from ..analysis import divisibility
from ..analysis.symmetry import FIRST
from ..milestones import GENERALISED
from ..storage.saved import Run
from ..tasks import Task
from .ledger import OURS, Claim, Measure, Measured, Values, Verdict, decide

KNOWN = 0.9  # share of the answers' entropy removed, from which a task of T_divisible is learned
FEW = 3  # tasks from which a median over them says something


def knowledge_of(run: Run) -> Float[np.ndarray, " tasks"]:
    """Share of the answers' entropy that a run of T_divisible has removed, on validation inputs."""
    return divisibility.knowledge(run.metrics.split("loss", "validation")[-1], run.task)


def spread_of(run: Run) -> Float[np.ndarray, " tasks"]:
    """Frequencies that each task's answers are made of, as a share of the q // 2 there are."""
    return spread(np.asarray(run.activations().logits), run.task)


def spread(logits: Float[np.ndarray, "n n_classes"], task: Task) -> Float[np.ndarray, " tasks"]:
    """The same by logits over all inputs."""
    moduli = task.moduli
    if task.config.name == "divisible":
        yes = divisibility.yes_over_no(logits).T
        profiles = [divisibility.residue_means(y, q) for y, q in zip(yes, moduli, strict=True)]
    else:
        profiles = [divisibility.answer_profile(logits[:, own]) for own in task.columns]
    used = [divisibility.frequencies_used(profile) for profile in profiles]
    return np.array(used) / (np.array(moduli) // 2)


def learned(run: Run) -> Bool[np.ndarray, " tasks"]:
    """Tasks from 5 on that a run has learned for inputs held out."""
    if run.config.task.name == "divisible":
        good = knowledge_of(run) >= KNOWN
    else:
        good = run.metrics.split("accuracy", "validation")[-1] >= GENERALISED
    return good & (np.array(run.task.moduli) >= FIRST)


def _divisible(divisible: Run, full: Run) -> Measured:
    found: dict[str, float] = {}
    for name, run in (("T_divisible", divisible), ("T_miiii", full)):
        good = learned(run)
        found[f"tasks that {name} learned"] = int(good.sum())
        spread = np.median(spread_of(run)[good]) if good.any() else 0.0
        found[f"frequencies used by {name}"] = float(spread)
    return found


def _judge_divisible(values: Values) -> Verdict:
    spread = values["frequencies used by T_divisible"]
    return decide(
        spread >= 0.8,
        spread > values["frequencies used by T_miiii"],
        given=values["tasks that T_divisible learned"] >= FEW,
    )


CLAIMS = (
    Claim(
        key="divisible",
        statement="T_divisible, whose right answer has all frequencies of q alike, uses them all",
        source=OURS,
        criterion="in the median task from 5 on that is learned, answers spread over 0.8 of the "
        "q // 2 frequencies or more; and over more than those of T_miiii; partly: one of the "
        "two; three such tasks are needed",
        judge=_judge_divisible,
        measures=(Measure(needs=("divisible", "miiii"), of=_divisible),),
        published={},
        page="variations",
        figure="fig-divisible",
    ),
)
