"""Claims about training: which settings, which tasks generalise, when, and what it takes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import spearmanr

from miiii_core.model import WEIGHT_NAMES
from miiii_core.runs import Run
from miiii_core.schedule import GENERALISED, MASTERED, NEVER, SETTLED

from ..results import neighbour_steps, stored_neighbours
from ..seeds import curves_of
from ..spaces import TABLE_1
from .claim import CannotTell, Claim, Measured, Values, Verdict, decide, measured, require_probe

# Table 2, by field; and what the numbers of the best value are called.
TABLE_2 = {
    "dropout": ("dropout", 0.1),
    "grokfast_lambda": ("λ", 1 / 2),
    "weight_decay": ("weight decay", 1 / 3),
    "d_model": ("d", 256),
    "learning_rate": ("learning rate", 3e-4),
    "n_heads": ("heads", 4),
}
EASY, NEXT = (2, 3, 5, 7), (11, 13, 17, 19)
CONVERGED = 0.98  # mean validation accuracy of a training that has come to its end
ATTENTION = ("W_Q", "W_K", "W_V", "W_O")


def _best(run: Run) -> Measured:
    found, steps = stored_neighbours(run.config), list(neighbour_steps(run.config))
    there = {(one.field, one.value) for one in found}
    if there != set(steps):
        raise CannotTell(
            f"{len(there)} of the {len(steps)} neighbours of {run.folder.name} are stored; "
            "python -m benchmarks.trainings neighbours trains those of the paper's settings"
        )
    own = curves_of(run, ())[run.config.train.seed]
    seeds = {
        step: [one.curve.accuracy[-1] for one in found if step == (one.field, one.value)]
        for step in steps
    }
    ends = {step: float(np.median(each)) for step, each in seeds.items()}
    own_end, higher = own.accuracy[-1], [s for s in steps if ends[s] > own.accuracy[-1]]

    def best(field: str) -> float:
        tried = {value: end for (other, value), end in ends.items() if other == field}
        tried = {run.config.values[field]: own_end} | tried
        return max(tried, key=lambda value: tried[value])

    return {
        "mean validation accuracy": own_end,
        "the highest of a neighbour": max(ends.values()),
        "neighbours": len(steps),
        "neighbours that end higher": len(higher),
        "fields": len(TABLE_1),
        "fields in which one ends higher": len({field for field, _ in higher}),
        **{f"best {name}": best(field) for field, (name, _) in TABLE_2.items()},
        "epoch of mean 0.9": own.reached(GENERALISED),
        "the earliest of a neighbour": min(one.curve.reached(GENERALISED) for one in found),
    }


def _final(run: Run) -> Measured:
    last = run.metrics.split("accuracy", "validation")[-1]
    return {
        "tasks": len(last),
        "tasks at 0.999": int((last >= SETTLED).sum()),
        "tasks at 0.99": int((last >= MASTERED).sum()),
        "mean validation accuracy": last.mean(),
        "least validation accuracy": last.min(),
    }


def _order(run: Run) -> Measured:
    if not set(EASY) < set(run.task.moduli):
        raise CannotTell(
            f"p = {run.task.p} has the tasks {', '.join(map(str, run.task.moduli))} only; it takes "
            f"{', '.join(map(str, EASY))} and others, which every p from 13 on has"
        )
    epochs = dict(zip(run.task.moduli, run.learned_at(), strict=True))
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


def _judge_order(v: Values) -> Verdict:
    easy = [v[f"epoch of mod {q}"] for q in EASY]
    dated = [20_000 <= v["median of the others"] <= 80_000] if v["p"] == 113 else []
    return decide(
        max(easy) <= v["first of the others"],
        easy == sorted(easy),
        v["median of the others"] < NEVER and v["p-value of that"] >= 0.05,
        *dated,
        given=max(easy) < NEVER,
    )


def _at_common_end(*runs: Run) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return training and validation accuracies of each run at the last epoch they share."""
    last = max(set.intersection(*(set(run.metrics["epoch"].tolist()) for run in runs)))
    return [
        (by_heart[run.metrics["epoch"] == last][0], held_out[run.metrics["epoch"] == last][0])
        for run in runs
        for by_heart, held_out in [
            [run.metrics.split("accuracy", split) for split in ("train", "validation")]
        ]
    ]


def _filter(full: Run, without: Run) -> Measured:
    (_, ours), (_, theirs) = _at_common_end(full, without)
    return {
        "mean validation accuracy": ours.mean(),
        "the same without filter": theirs.mean(),
        "tasks generalised": int((ours >= GENERALISED).sum()),
        "tasks generalised without filter": int((theirs >= GENERALISED).sum()),
    }


def _dropout(full: Run, without: Run) -> Measured:
    (_, ours), (by_heart, theirs) = _at_common_end(full, without)
    solved = np.array(without.task.moduli)[theirs >= GENERALISED]
    return {
        "least training accuracy": by_heart.min(),
        "tasks generalised": int((ours >= GENERALISED).sum()),
        "tasks generalised without dropout": len(solved),
        "those beside 2 and 3": int((~np.isin(solved, (2, 3))).sum()),
    }


def _masked(full: Run, masked: Run) -> Measured:
    require_probe("neuron_spectrum", full, masked)
    moduli, ours, theirs = np.array(full.task.moduli), full.learned_at(), masked.learned_at()
    following, rest = np.isin(moduli, NEXT), moduli > max(NEXT)

    def spike(run: Run) -> float:
        counts = run.metrics["active_per_neuron"]
        return float(counts.max() / max(counts[-1], 1e-9))

    return {
        "last of 11, 13, 17, 19": theirs[following].max() if following.any() else NEVER,
        "first of the larger": theirs[rest].min(initial=NEVER),
        "median of the larger": _median(theirs[rest]),
        "the same with all tasks": _median(ours[rest]),
        "spike": spike(masked),
        "spike with all tasks": spike(full),
    }


def settled_at(
    epochs: Int[np.ndarray, " ticks"], norms: Float[np.ndarray, "ticks matrices"]
) -> Float[np.ndarray, " matrices"]:
    """Return the last epoch at which each norm was a tenth of its largest or more."""
    loud = norms >= 0.1 * norms.max(axis=0)
    return epochs[len(loud) - 1 - loud[::-1].argmax(axis=0)].astype(float)


def _gradients(run: Run) -> Measured:
    require_probe("norms", run)
    later = run.metrics["epoch"] >= 1
    settled = settled_at(run.metrics["epoch"][later], run.metrics["grad_norm"][later])
    attention = np.isin(WEIGHT_NAMES, ATTENTION)
    return {
        "attention settles after epoch": _median(settled[attention]),
        "the rest settles after epoch": _median(settled[~attention]),
        "epochs": run.epoch,
    }


def _median(values: Sequence[float] | np.ndarray) -> float:
    return float(np.median(values)) if len(values) else NEVER


CLAIMS = (
    Claim(
        key="hyperparameters",
        statement="of the choices searched, dropout 0.1, λ 1/2, weight decay 1/3, d 256, "
        "learning rate 3e-4 and 4 heads are best for T_miiii",
        source="Tables 1 and 2",
        criterion="no run with another value of Table 1 in one field ends with a higher mean "
        "validation accuracy (dropout 0 and λ 0 are claims of their own); partly: in fewer than "
        "half of the fields one does",
        measures=measured(_best, "miiii"),
        judge=lambda v: decide(
            v["fields in which one ends higher"] == 0,
            2 * v["fields in which one ends higher"] < v["fields"],
        ),
        where="search#fig-neighbours",
        published={f"best {name}": value for name, value in TABLE_2.values()},
        shown=("mean validation accuracy", "the highest of a neighbour", "fields",
               "fields in which one ends higher"),
    ),
    Claim(
        key="all-tasks",
        statement="T_miiii is learned perfectly: accuracy 1 in validation on every task",
        source="Fig. 5",
        criterion="reproduced: 0.999 or more on every task at the end; partly: 0.99 on nine "
        "tasks of ten",
        measures=measured(_final, "miiii"),
        judge=lambda v: decide(
            v["tasks at 0.999"] == v["tasks"], v["tasks at 0.99"] >= 0.9 * v["tasks"]
        ),
        where="training#fig-accuracy",
        published={"tasks at 0.999": 29, "tasks": 29, "least validation accuracy": 1.0},
    ),
    Claim(
        key="order",
        statement="2, 3, 5, 7 generalise first and in that order; the others around epoch 40,000 "
        "in no particular order",
        source="Fig. 5",
        criterion="epochs of 0.9 in validation: those four before all others; ascending; others "
        "without rank correlation with q (p ≥ 0.05); at p = 113 their median within a factor of "
        "two of 40,000",
        measures=measured(_order, "miiii"),
        judge=_judge_order,
        where="training#fig-accuracy",
        published={"median of the others": 40_000},
        shown=(*(f"epoch of mod {q}" for q in EASY), "first of the others",
               "rank correlation of the others with q", "p-value of that"),
    ),
    Claim(
        key="filter",
        statement="without the gradient filter (λ = 0) training does not converge in the same time",
        source="Hyper-parameter optimization",
        criterion="where the full recipe has a mean validation accuracy of 0.98, the other has "
        "less than that; partly: it has 0.98 too, and less than the full recipe",
        measures=measured(_filter, "miiii", "no-grokfast"),
        judge=lambda v: decide(
            v["the same without filter"] < CONVERGED,
            v["the same without filter"] < v["mean validation accuracy"],
            given=v["mean validation accuracy"] >= CONVERGED,
        ),
        where="ablations#fig-ablation-controls",
        shown=("the same without filter", "mean validation accuracy"),
    ),
    Claim(
        key="dropout",
        statement="without dropout the model overfits all tasks but 2 and 3",
        source="Attention patterns, end",
        criterion="all training inputs are known (0.99) and 0.9 in validation is reached by 2 and "
        "3 only; partly: by fewer tasks than with dropout",
        measures=measured(_dropout, "miiii", "no-dropout"),
        judge=lambda v: decide(
            v["tasks generalised without dropout"] == 2 and v["those beside 2 and 3"] == 0,
            v["tasks generalised without dropout"] < v["tasks generalised"],
            given=v["least training accuracy"] >= MASTERED and v["tasks generalised"] > 2,
        ),
        where="ablations#fig-controls-tasks",
        published={"tasks generalised without dropout": 2, "those beside 2 and 3": 0},
        shown=("tasks generalised", "least training accuracy"),
    ),
    Claim(
        key="masked",
        statement="with 2, 3, 5, 7 masked, 11, 13, 17, 19 come first, the spike is subtler and "
        "the others are not much delayed",
        source="Attention patterns, end",
        criterion="epochs of 0.9 in validation: those four before all larger ones; most active "
        "frequencies over final ones less than with all tasks; median of the larger tasks at most "
        "a quarter later",
        measures=measured(_masked, "miiii", "masked"),
        judge=lambda v: decide(
            v["last of 11, 13, 17, 19"] <= v["first of the larger"],
            v["spike"] < v["spike with all tasks"],
            v["median of the larger"] <= 1.25 * v["the same with all tasks"],
            given=max(v["last of 11, 13, 17, 19"], v["the same with all tasks"]) < NEVER,
        ),
        where="ablations#fig-ablation-controls",
        shown=("last of 11, 13, 17, 19", "first of the larger", "median of the larger",
               "the same with all tasks", "spike", "spike with all tasks"),
    ),
    Claim(
        key="gradients",
        statement="the gradients of the attention settle early",
        source="Fig. 17",
        criterion="median epoch after which a matrix's gradient norm stays below a tenth of its "
        "largest: for attention at most half of that for the rest; partly: earlier",
        measures=measured(_gradients, "miiii"),
        judge=lambda v: decide(
            v["attention settles after epoch"] <= v["the rest settles after epoch"] / 2,
            v["attention settles after epoch"] < v["the rest settles after epoch"],
        ),
        where="training#fig-gradients",
        shown=("attention settles after epoch", "the rest settles after epoch"),
    ),
)  # fmt: skip
