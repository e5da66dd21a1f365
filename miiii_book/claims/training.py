"""Claims about training: which settings, which tasks generalise, when, and what it takes."""

import numpy as np
from jaxtyping import Float

from miiii_core.losses import GENERALISED, NEVER, SETTLED
from miiii_core.model import WEIGHT_NAMES
from miiii_core.runs import Run

from ..results import Curve, stored_neighbours
from ..spaces import TABLE_1, neighbours
from .claim import CannotTell, Measured, beside, each, median, require_course, require_probe
from .variations import order_of
from .waves import wave_history

FIELDS = ("dropout", "λ", "weight decay", "d", "learning rate", "heads")  # of Table 1, as numbers
TRAINED, VALIDATED = 0, 1  # splits


def _best(run: Run) -> Measured:
    found, steps = stored_neighbours(run.config), neighbours(run.config)
    if set(found) != set(steps):
        raise CannotTell(
            f"{len(found)} of the {len(steps)} neighbours of {run.folder.name} are stored; "
            "python -m benchmarks.trainings neighbours trains those of the paper's settings"
        )
    own = Curve.of(run).accuracy[-1]
    tried = {field: {run.config.values[field]: own} for field in TABLE_1}
    for field, value in steps:
        tried[field][value] = median([curve.accuracy[-1] for curve in found[field, value]])
    return {
        "seeds of a neighbour": min(len(curves) for curves in found.values()),
        "fields in which one ends higher": sum(max(ends.values()) > own for ends in tried.values()),
        **{
            f"best {name}": max(ends, key=ends.__getitem__)
            for name, ends in zip(FIELDS, tried.values(), strict=True)
        },
    }


def _final(run: Run) -> Measured:
    last = run.metrics.split("accuracy", "validation")[-1]
    return {
        "tasks": len(last),
        "tasks at 0.999": (last >= SETTLED).sum(),
        "tasks at 0.9": (last >= GENERALISED).sum(),
        "least validation accuracy": last.min(),
    }


def _order(run: Run) -> Measured:
    moduli, epochs = run.task.moduli, run.learned_at()
    if len(moduli) <= 4:
        raise CannotTell(
            f"p = {run.task.p} has the tasks {', '.join(map(str, moduli))} only; it takes 2, 3, 5, "
            "7 and others, which every p from 13 on has"
        )
    rest = epochs[4:]
    correlation, p_value = order_of(rest, moduli[4:])
    return {
        "p": run.task.p,
        **{f"epoch of mod {q}": epoch for q, epoch in zip(moduli[:4], epochs[:4], strict=True)},
        "first of the others": rest.min(),
        "median of the others": np.median(rest),
        "rank correlation of the others with q": correlation,
        "p-value of the correlation": p_value,
    }


def _at_common_end(*runs: Run) -> list[Float[np.ndarray, "splits tasks"]]:
    """Return the accuracies of each run at the last epoch that all have recorded."""
    last = max(set.intersection(*(set(run.metrics["epoch"].tolist()) for run in runs)))
    return [run.metrics["accuracy"][run.metrics["epoch"] == last][0] for run in runs]


def _filter(full: Run, without: Run) -> Measured:
    ours, theirs = (ends[VALIDATED] for ends in _at_common_end(full, without))
    epochs = [Curve.of(run).reached(GENERALISED) for run in (full, without)]
    return {
        "mean validation accuracy": ours.mean(),
        "mean validation accuracy without filter": theirs.mean(),
        "epoch of mean 0.9": epochs[0],
        "epoch of mean 0.9 without filter": epochs[1],
        "epoch of mean 0.9, the earlier": min(epochs),
    }


def _dropout(full: Run, without: Run) -> Measured:
    ours, theirs = _at_common_end(full, without)
    solved = np.array(without.task.moduli)[without.learned_at() < NEVER]
    return {
        "least training accuracy": theirs[TRAINED].min(),
        "tasks generalised": (ours[VALIDATED] >= GENERALISED).sum(),
        "mean validation accuracy": ours[VALIDATED].mean(),
        "mean validation accuracy without dropout": theirs[VALIDATED].mean(),
        "tasks generalised without dropout": len(solved),
        "generalised without dropout, beside 2 and 3": (~np.isin(solved, (2, 3))).sum(),
    }


def _masked(full: Run, masked: Run) -> Measured:
    moduli, ours, theirs = np.array(full.task.moduli), full.learned_at(), masked.learned_at()
    following, rest = np.isin(moduli, (11, 13, 17, 19)), moduli > 19
    if not rest.any():
        raise CannotTell(f"p = {full.task.p} has no task above 19, and it takes those")
    return {
        "last of 11, 13, 17, 19": theirs[following].max(),
        "first of the larger": theirs[rest].min(),
        "median of the larger": np.median(theirs[rest]),
        "median of the larger, nothing masked": np.median(ours[rest]),
    }


def _masked_spike(masked: Run) -> Measured:
    waves = wave_history(masked)[1]["active"]
    return {
        "waves above chance, most": waves.max(),
        "most waves over last": waves.max() / max(waves[-1], 1e-9),
    }


def _later(run: Run) -> Measured:
    return {"epoch of mean 0.9": Curve.of(run).reached(GENERALISED)}


def _swapped(run: Run) -> Measured:
    grids = np.moveaxis(run.task.grid(run.task.targets), 2, 0)
    same = (grids == grids.transpose(0, 2, 1)).all(axis=(1, 2))
    return {"tasks the same with digits swapped": same.sum()}


def _gradients(run: Run) -> Measured:
    require_probe("norms", run)
    later = run.metrics["epoch"] >= 1
    require_course(run, int(later.sum()))
    epochs, norms = run.metrics["epoch"][later], run.metrics["grad_norm"][later]
    loud = norms >= 0.1 * norms.max(axis=0)
    settled = np.where(loud, epochs[:, None], 0).max(axis=0)  # the last epoch that is loud
    attention = np.isin(WEIGHT_NAMES, ("W_Q", "W_K", "W_V", "W_O"))
    return {
        "attention settles after epoch": median(settled[attention]),
        "the rest settles after epoch": median(settled[~attention]),
        "last of attention settles after epoch": settled[attention].max(),
    }


MEASURES = {
    "hyperparameters": beside(_best, "miiii"),
    "final": beside(_final, "miiii"),
    "thirty-percent": beside(_final, "miiii-30"),
    "order": beside(_order, "miiii"),
    "filter": beside(_filter, "miiii", "no-grokfast"),
    "dropout": beside(_dropout, "miiii", "no-dropout"),
    "masked": beside(_masked, "miiii", "masked"),
    "masked-spike": beside(_masked_spike, "masked"),
    "later": each(_later, "miiii", "nanda", "nanda-as-miiii"),
    "digits-matter": beside(_swapped, "miiii"),
    "gradients": beside(_gradients, "miiii"),
}
