"""Claims about training: which tasks generalise, when, and what it takes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import spearmanr

from ..milestones import GENERALISED, MASTERED, NEVER, first_epoch
from ..network.model import WEIGHT_NAMES
from ..storage.saved import Run
from ..training.schedule import SETTLED
from .ledger import CannotTell, Claim, Measure, Measured, Values, Verdict, decide

EASY = (2, 3, 5, 7)
NEXT = (11, 13, 17, 19)
CONVERGED = 0.98  # mean validation accuracy of a training that has come to its end
ATTENTION = ("W_Q", "W_K", "W_V", "W_O")


def generalised_at(run: Run, level: float = GENERALISED) -> Float[np.ndarray, " tasks"]:
    """Epoch at which each task first had a validation accuracy; `NEVER` for not at all."""
    accuracy = run.metrics.split("accuracy", "validation")
    found = [first_epoch(run.metrics["epoch"], task, level) for task in accuracy.T]
    return np.array([NEVER if epoch is None else epoch for epoch in found], float)


def settled_at(
    epochs: Int[np.ndarray, " ticks"], norms: Float[np.ndarray, "ticks matrices"]
) -> Float[np.ndarray, " matrices"]:
    """Last epoch at which each norm was a tenth of its largest or more."""
    loud = norms >= 0.1 * norms.max(axis=0)
    return epochs[len(loud) - 1 - loud[::-1].argmax(axis=0)].astype(float)


def _final(run: Run) -> Measured:
    last = run.metrics.split("accuracy", "validation")[-1]
    return {
        "tasks": len(last),
        "tasks at 0.999": int((last >= SETTLED).sum()),
        "tasks at 0.99": int((last >= MASTERED).sum()),
        "mean validation accuracy": last.mean(),
        "least validation accuracy": last.min(),
    }


def _judge_final(values: Values) -> Verdict:
    nearly = values["tasks at 0.99"] >= 0.9 * values["tasks"]
    return decide(values["tasks at 0.999"] == values["tasks"], bool(nearly))


def _order(run: Run) -> Measured:
    if not set(EASY) < set(run.task.moduli):
        raise CannotTell(
            f"p = {run.task.p} has the tasks {', '.join(map(str, run.task.moduli))} only; it takes "
            f"{', '.join(map(str, EASY))} and others, which every p from 13 on has"
        )
    epochs = dict(zip(run.task.moduli, generalised_at(run), strict=True))
    rest = [epoch for q, epoch in epochs.items() if q not in EASY]
    order = spearmanr(np.arange(len(rest)), rest) if len(set(rest)) > 1 else None
    return {
        "p": run.task.p,
        **{f"epoch of mod {q}": epochs[q] for q in EASY},
        "first of the others": min(rest),
        "median of the others": float(np.median(rest)),
        "last of the others": max(rest),
        "rank correlation of the others with q": 0.0 if order is None else float(order.statistic),
        "p-value of that": 1.0 if order is None else float(order.pvalue),
    }


def _judge_order(values: Values) -> Verdict:
    easy = [values[f"epoch of mod {q}"] for q in EASY]
    dated = [] if values["p"] != 113 else [20_000 <= values["median of the others"] <= 80_000]
    return decide(
        max(easy) <= values["first of the others"],
        easy == sorted(easy),
        values["median of the others"] < NEVER and values["p-value of that"] >= 0.05,
        *dated,
        given=max(easy) < NEVER,
    )


def _at_common_end(*trained: Run) -> list[tuple[np.ndarray, ...]]:
    """Training and validation accuracy of each run's tasks at the last epoch they share."""
    shared = set.intersection(*(set(run.metrics["epoch"].tolist()) for run in trained))
    rows = [int(np.flatnonzero(run.metrics["epoch"] == max(shared))[0]) for run in trained]
    splits = ("train", "validation")
    return [
        tuple(run.metrics.split("accuracy", split)[row] for split in splits)
        for run, row in zip(trained, rows, strict=True)
    ]


def _filter(full: Run, without: Run) -> Measured:
    (_, ours), (_, theirs) = _at_common_end(full, without)
    return {
        "mean validation accuracy": ours.mean(),
        "the same without filter": theirs.mean(),
        "tasks generalised": int((ours >= GENERALISED).sum()),
        "tasks generalised without filter": int((theirs >= GENERALISED).sum()),
    }


def _judge_filter(values: Values) -> Verdict:
    behind = values["the same without filter"] < values["mean validation accuracy"]
    return decide(
        values["the same without filter"] < CONVERGED,
        behind,
        given=values["mean validation accuracy"] >= CONVERGED,
    )


def _dropout(full: Run, without: Run) -> Measured:
    (_, ours), (by_heart, theirs) = _at_common_end(full, without)
    moduli = np.array(without.task.moduli)
    solved = moduli[theirs >= GENERALISED]
    return {
        "least training accuracy": by_heart.min(),
        "tasks generalised": int((ours >= GENERALISED).sum()),
        "tasks generalised without dropout": len(solved),
        "those beside 2 and 3": int((~np.isin(solved, (2, 3))).sum()),
    }


def _judge_dropout(values: Values) -> Verdict:
    fewer = values["tasks generalised without dropout"] < values["tasks generalised"]
    return decide(
        values["tasks generalised without dropout"] == 2 and values["those beside 2 and 3"] == 0,
        fewer,
        given=values["least training accuracy"] >= MASTERED and values["tasks generalised"] > 2,
    )


def _masked(full: Run, masked: Run) -> Measured:
    moduli = np.array(full.task.moduli)
    ours, theirs = generalised_at(full), generalised_at(masked)
    following, rest = np.isin(moduli, NEXT), moduli > max(NEXT)
    return {
        "last of 11, 13, 17, 19": theirs[following].max(
            initial=NEVER if not following.any() else 0
        ),
        "first of the larger": theirs[rest].min(initial=NEVER),
        "median of the larger": _median(theirs[rest]),
        "the same with all tasks": _median(ours[rest]),
        "spike": peak_over_final(masked),
        "spike with all tasks": peak_over_final(full),
    }


def peak_over_final(run: Run) -> float:
    """Most active pairs of frequencies per neuron at any record, over those at the last."""
    active = run.metrics["active_per_neuron"]
    return float(active.max() / max(active[-1], 1e-9))


def masked_parts(values: Values) -> dict[str, bool]:
    """What the criterion of `masked` asks, and whether it is so."""
    return {
        "11, 13, 17 and 19 come before all larger ones": (
            values["last of 11, 13, 17, 19"] <= values["first of the larger"]
        ),
        "the spike is smaller": values["spike"] < values["spike with all tasks"],
        "the larger ones come at most a quarter later": (
            values["median of the larger"] <= 1.25 * values["the same with all tasks"]
        ),
    }


def _judge_masked(values: Values) -> Verdict:
    return decide(
        *masked_parts(values).values(),
        given=max(values["last of 11, 13, 17, 19"], values["the same with all tasks"]) < NEVER,
    )


def _gradients(run: Run) -> Measured:
    later = run.metrics["epoch"] >= 1
    settled = settled_at(run.metrics["epoch"][later], run.metrics["grad_norm"][later])
    attention = np.isin(WEIGHT_NAMES, ATTENTION)
    return {
        "attention settles after epoch": _median(settled[attention]),
        "the rest settles after epoch": _median(settled[~attention]),
        "epochs": run.epoch,
    }


def _judge_gradients(values: Values) -> Verdict:
    attention, rest = (values[f"{who} settles after epoch"] for who in ("attention", "the rest"))
    return decide(attention <= rest / 2, attention < rest)


def _median(values: Sequence[float] | np.ndarray) -> float:
    """Median; `NEVER` for none."""
    return float(np.median(values)) if len(values) else NEVER


CLAIMS = (
    Claim(
        key="all-tasks",
        statement="T_miiii is learned perfectly: accuracy 1 in validation on every task",
        source="Fig. 5",
        criterion="reproduced: 0.999 or more on every task at the end; partly: 0.99 on nine "
        "tasks of ten",
        judge=_judge_final,
        measures=(Measure(needs=("miiii",), of=_final),),
        published={"tasks": 29, "tasks at 0.999": 29, "least validation accuracy": 1.0},
        page="training",
        figure="fig-accuracy",
    ),
    Claim(
        key="order",
        statement="2, 3, 5, 7 generalise first and in that order; the others around epoch 40,000 "
        "in no particular order",
        source="Fig. 5",
        criterion="epochs of 0.9 in validation: those four before all others; ascending; others "
        "without rank correlation with q (p ≥ 0.05); at p = 113 their median within a factor of "
        "two of 40,000",
        judge=_judge_order,
        measures=(Measure(needs=("miiii",), of=_order),),
        published={"median of the others": 40_000},
        shown=(
            *(f"epoch of mod {q}" for q in EASY),
            "first of the others",
            "rank correlation of the others with q",
            "p-value of that",
        ),
        page="training",
        figure="fig-accuracy",
    ),
    Claim(
        key="filter",
        statement="without the gradient filter (λ = 0) training does not converge in the same time",
        source="Hyper-parameter optimization",
        criterion="where the full recipe has a mean validation accuracy of 0.98, the other has "
        "less than that; partly: it has 0.98 too, and less than the full recipe",
        judge=_judge_filter,
        measures=(Measure(needs=("miiii", "no-grokfast"), of=_filter),),
        published={},
        shown=("mean validation accuracy", "the same without filter"),
        page="ablations",
        figure="fig-ablation-controls",
    ),
    Claim(
        key="dropout",
        statement="without dropout the model overfits all tasks but 2 and 3",
        source="Attention patterns, end",
        criterion="all training inputs are known (0.99) and 0.9 in validation is reached by 2 and "
        "3 only; partly: by fewer tasks than with dropout",
        judge=_judge_dropout,
        measures=(Measure(needs=("miiii", "no-dropout"), of=_dropout),),
        published={"tasks generalised without dropout": 2, "those beside 2 and 3": 0},
        shown=("tasks generalised", "least training accuracy"),
        page="ablations",
        figure="fig-controls-tasks",
    ),
    Claim(
        key="masked",
        statement="with 2, 3, 5, 7 masked, 11, 13, 17, 19 come first, the spike is subtler and "
        "the others are not much delayed",
        source="Attention patterns, end",
        criterion="epochs of 0.9 in validation: those four before all larger ones; most active "
        "frequencies over final ones less than with all tasks; median of the larger tasks at most "
        "a quarter later",
        judge=_judge_masked,
        measures=(Measure(needs=("miiii", "masked"), of=_masked, probes=("neuron_spectrum",)),),
        published={},
        shown=(
            "last of 11, 13, 17, 19",
            "first of the larger",
            "median of the larger",
            "the same with all tasks",
            "spike",
            "spike with all tasks",
        ),
        page="ablations",
        figure="fig-ablation-controls",
    ),
    Claim(
        key="gradients",
        statement="the gradients of the attention settle early",
        source="Fig. 17",
        criterion="median epoch after which a matrix's gradient norm stays below a tenth of its "
        "largest: for attention at most half of that for the rest; partly: earlier",
        judge=_judge_gradients,
        measures=(Measure(needs=("miiii",), of=_gradients, probes=("norms",)),),
        published={},
        shown=("attention settles after epoch", "the rest settles after epoch"),
        page="training",
        figure="fig-gradients",
    ),
)
