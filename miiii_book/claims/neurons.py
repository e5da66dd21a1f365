"""Claims about parts of the network: periods, the spike, the mechanism, and what each part does."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int, Real

from miiii_core.fourier import neuron_frequency, ranks_for
from miiii_core.interventions import ablate, logits_with, score
from miiii_core.losses import GENERALISED, NEVER
from miiii_core.runs import Run
from miiii_core.shares import TINY, centred_power, grid_purity, in_random_order, unit_grids, varying
from miiii_core.tasks import Task

from .. import circuits
from ..rules import folded
from .claim import Measured, activations, beside, each, median, require_course, require_probe

PARTS = (256, 64, 16, 4, 1)  # of the training, at which Table 3 of the paper counts
ONE_DIGIT = 0.9  # share of the attention on digits from which a head looks at one of them


def _periods(run: Run) -> Measured:
    """Find the best block of the median neuron, as it is and with digits in random order."""
    found = varying(unit_grids(run.task, activations(run).neurons))
    mixed = centred_power(in_random_order(found.grids, np.random.default_rng(0)))
    shares = {"best block": found.power, "best block in random order": mixed}
    return {name: np.median(grid_purity(power).whole) for name, power in shares.items()}


def public_code_omega(
    power: Real[np.ndarray, "epoch k0 k1"], epochs: Int[np.ndarray, " epoch"]
) -> Int[np.ndarray, " epoch"]:
    """Count |ω| at each record as the paper's public code does, from one neuron's power there.

    Amplitudes are averaged over k0; columns are 3·K log-spaced epochs; each row k1 (0 among them)
    is divided by its sum over the columns; a frequency is active above μ + σ of the whole map; the
    label it prints is int(count^0.75). Returned is the label of the column a record falls into.

    Deviations: a column shows the last record up to its epoch, not a mean over three epochs;
    energies of ±k0 are added before the root; the grid keeps its first row and column.
    """
    last = float(epochs[-1])
    columns = np.floor(np.exp(np.linspace(0, 1, 3 * (power.shape[-1] - 1)) * np.log(last)) + 1e-3)
    record = np.clip(np.searchsorted(epochs, columns, side="right") - 1, 0, None)
    rows = np.sqrt(power).mean(axis=1)[record].T
    total = rows.sum(axis=1, keepdims=True)
    rows = rows / np.where(total > 0, total, 1)
    active = (rows > rows.mean() + rows.std()).sum(axis=0)
    label = np.sqrt(np.sqrt(active.astype(float) ** 3)).astype(int)
    return label[np.maximum(np.searchsorted(columns, epochs, side="right") - 1, 0)]


def records_at(epochs: Int[np.ndarray, " ticks"]) -> Int[np.ndarray, " parts"]:
    """Return the last record within each of the `PARTS` of the training: 1/256 of it, and so on."""
    return np.array([np.searchsorted(epochs, epochs[-1] / n, side="right") - 1 for n in PARTS])


def _public(run: Run) -> Measured:
    require_probe("neuron_spectrum", run)
    epochs = run.metrics["wide_epoch"]
    require_course(run, len(epochs))
    counts = public_code_omega(run.metrics["first_neuron_power"], epochs)
    later, rows = epochs >= 1, records_at(epochs)
    return {
        **{f"public code, 1/{n}": counts[row] for n, row in zip(PARTS, rows, strict=True)},
        "peak at epoch, public code": epochs[later][counts[later].argmax()],
        **generalising(run),
    }


def generalising(run: Run) -> Measured:
    """Return when the first and the last task generalised, of those that did."""
    epochs = run.learned_at()
    first, last = epochs.min(), max(epochs[epochs < NEVER], default=NEVER)
    return {"first task generalises (epoch)": first, "last task generalises (epoch)": last}


def _active(run: Run) -> Measured:
    require_probe("neuron_spectrum", run)
    power = varying(unit_grids(run.task, activations(run).neurons)).power.sum(axis=0)
    energy = np.sort((power.sum(axis=0) + power.sum(axis=1))[1:])[::-1]  # in either digit
    return {
        "frequencies in play": ranks_for(np.cumsum(energy) / energy.sum(), 0.9),
        "active frequencies of a neuron": run.metrics["active_per_neuron"][-1],
    }


def explained_by_difference(
    logits: Float[np.ndarray, "n n_classes"], task: Task
) -> Float[np.ndarray, " tasks"]:
    """Return the share of each task's logits' variance that is a function of (n - c) mod q.

    Cosines of 2πk(n - c)/q together make up all such functions. Means of each class over the inputs
    are removed first. The number n counts, not its label: T_basis has what chance and digits allow.
    """
    numbers, shares = np.arange(task.p**2), []
    for columns, size in zip(task.columns, task.class_sizes, strict=True):
        own = logits[:, columns].astype(float)
        own = own - own.mean(axis=0)
        shares.append((folded(own, numbers % size) ** 2).sum() / len(own) / (own**2).sum())
    return np.array(shares)


def _mechanism(run: Run) -> Measured:
    require_probe("residues", run)
    solved = run.metrics.split("accuracy", "validation")[-1] >= GENERALISED
    shares = explained_by_difference(np.asarray(activations(run).logits), run.task)
    return {
        "tasks generalised": solved.sum(),
        "logits explained by n - c": median(shares[solved]),
        "share of the interaction in n mod q": run.metrics["residue_share"][-1].sum(),
    }


def _digits(run: Run) -> Measured:
    return looks(np.moveaxis(run.task.grid(np.asarray(activations(run).attention)), 2, 0))


def looks(maps: Float[np.ndarray, "heads x0 x1 tokens"]) -> Measured:
    """Count the heads that look at one digit, and those of the others that are periodic."""
    first = (maps[..., 0] / np.maximum(maps[..., :2].sum(axis=-1), TINY)).mean(axis=(1, 2))
    one_digit = (first >= ONE_DIGIT) | (first <= 1 - ONE_DIGIT)
    periodic = np.asarray(neuron_frequency(maps[..., 0]).share) >= 0.5
    return {
        "heads": len(maps),
        "heads on one digit": one_digit.sum(),
        "periodic heads on both digits": (~one_digit & periodic).sum(),
    }


def _little(run: Run) -> Measured:
    intact, task = activations(run), run.task
    edit = ablate(intact, "attention", range(run.config.model.n_heads))
    before, after = (
        float(score(logits, task, task.held_out).accuracy.mean())
        for logits in (intact.logits, logits_with(run.model, task, edit))
    )
    return {"accuracy": before, "accuracy lost with patterns fixed": before - after}


def _broken(run: Run, by: Callable[[circuits.Bench], circuits.Selectivity]) -> Measured:
    bench = circuits.lay_out(run)
    found, solved = by(bench), bench.solved
    broken = solved & (found.own <= circuits.BROKEN)
    return {
        "tasks solved": solved.sum(),
        "broken": broken.sum(),
        "broken, but not by random sets": (broken & (found.random_own >= 0.5)).sum(),
        "others spared": (solved & (found.others >= circuits.KEPT)).sum(),
    }


def _sieve(run: Run) -> Measured:
    bench = circuits.lay_out(run)
    found = circuits.sieve_numbers(bench, circuits.break_by_subspaces(bench).parts)
    precision, recall = found.precision_recall(run.task.held_out)
    return {
        "tasks solved": bench.solved.sum(),
        "precision on numbers held out": precision,
        "recall on numbers held out": recall,
    }


MEASURES = {
    "periodic-neurons": each(_periods, "miiii", "basis"),
    "public-code": beside(_public, "miiii"),
    "frequencies": each(_active, "miiii", "nanda", "nanda-as-miiii"),
    "mechanism": beside(_mechanism, "miiii"),
    "attention": each(_digits, "miiii", "nanda", "nanda-as-miiii"),
    "fixed-attention": each(_little, "miiii", "nanda", "nanda-as-miiii"),
    "own-neurons": beside(partial(_broken, by=circuits.break_by_neurons), "miiii"),
    "own-subspace": beside(partial(_broken, by=circuits.break_by_subspaces), "miiii"),
    "prime-sieve": beside(_sieve, "miiii"),
}
