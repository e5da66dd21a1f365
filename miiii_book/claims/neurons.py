"""Claims about neurons and heads: periods, the spike, the mechanism, and where attention goes."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Real

from miiii_core.chance import in_random_order
from miiii_core.fourier import neuron_frequency
from miiii_core.interventions import ablate, logits_with, score
from miiii_core.losses import GENERALISED, NEVER
from miiii_core.runs import Run
from miiii_core.shares import centred_power, grid_purity, unit_grids, varying
from miiii_core.tasks import Task

from ..rules import folded
from .claim import Measured, activations, beside, each, require_course, require_probe

PARTS = (256, 64, 16, 4, 1)  # of the training, at which Table 3 of the paper counts
ONE_DIGIT = 0.9  # share of the attention on digits from which a head looks at one of them


@lru_cache(maxsize=8)  # two claims and the control ask
def median_blocks(run: Run) -> tuple[float, float]:
    """Return the best block of the median neuron: as it is, and with digits in random order."""
    found = varying(unit_grids(run.task, activations(run).neurons))
    mixed = in_random_order(found.grids, np.random.default_rng(0))
    own, chance = grid_purity(found.power).whole, grid_purity(centred_power(mixed)).whole
    return float(np.median(own)), float(np.median(chance))


def _periods(run: Run, name: str) -> Measured:
    own, mixed = median_blocks(run)
    return {f"best block, {name}": own, f"in random order, {name}": mixed}


def public_code_omega(
    power: Real[np.ndarray, "epoch k0 k1"], epochs: Int[np.ndarray, " epoch"]
) -> Int[np.ndarray, " epoch"]:
    """Count |ω| as the paper's public code counts it, to show what that reading does.

    One neuron's amplitudes are averaged over k0; columns are 3·K log-spaced epochs; each
    row k1 (0 among them) is divided by its sum over the columns; a frequency is active
    above μ + σ of the whole map; the label it prints is int(count^0.75).

    Args:
        power: One neuron's `frequency_power_2d` at each record, not normalised per epoch.
        epochs: Epoch of each record, increasing.

    Returns:
        The label of the column that each record falls into.

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


def _active(run: Run, name: str) -> Measured:
    require_probe("neuron_spectrum", run)
    return {f"active frequencies of a neuron, {name}": run.metrics["active_per_neuron"][-1]}


def explained_by_difference(
    logits: Float[np.ndarray, "n n_classes"], task: Task
) -> Float[np.ndarray, " tasks"]:
    """Return the share of each task's logits' variance that is a function of (n - c) mod q.

    Cosines of 2πk(n - c)/q, whatever their k and size, together make up all such functions.
    Means of each class over the inputs are removed first. It is the number n that counts, not its
    label: for T_basis the share is what chance and the digits allow.
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
    shares = shares[solved] if solved.any() else np.zeros(1)
    return {
        "tasks generalised": int(solved.sum()),
        "logits explained by n - c": float(np.median(shares)),
        "the same, least": float(shares.min()),
        "neurons' best block": median_blocks(run)[0],
        "of the interaction, n mod q": float(run.metrics["residue_share"][-1].sum()),
    }


def _digits(run: Run, name: str) -> Measured:
    maps = np.moveaxis(run.task.grid(np.asarray(activations(run).attention)), 2, 0)
    return looks(maps, name)


def looks(maps: Float[np.ndarray, "heads x0 x1 tokens"], name: str) -> Measured:
    """Count the heads that look at one digit, and those of the others that are periodic."""
    on_digits = np.maximum(maps[..., 0] + maps[..., 1], np.finfo(maps.dtype).tiny)
    first = (maps[..., 0] / on_digits).mean(axis=(1, 2))
    one_digit = (first >= ONE_DIGIT) | (first <= 1 - ONE_DIGIT)
    periodic = np.asarray(neuron_frequency(maps[..., 0]).share) >= 0.5
    return {
        f"heads, {name}": len(maps),
        f"on one digit, {name}": int(one_digit.sum()),
        f"on both and periodic, {name}": int((~one_digit & periodic).sum()),
    }


def _little(run: Run, name: str) -> Measured:
    intact, task, rows = activations(run), run.task, run.task.held_out
    edit = ablate(intact, "attention", range(run.config.model.n_heads))
    before, after = (
        float(score(logits, task, rows).accuracy.mean())
        for logits in (intact.logits, logits_with(run.model, task, edit))
    )
    return {
        f"accuracy, {name}": before,
        f"accuracy lost with patterns fixed, {name}": before - after,
    }


MEASURES = {
    "periodic-neurons": each(_periods, "miiii", "basis"),
    "public-code": beside(_public, "miiii"),
    "frequencies": each(_active, "miiii", "nanda", "nanda-as-miiii"),
    "mechanism": beside(_mechanism, "miiii"),
    "attention": each(_digits, "miiii", "nanda", "nanda-as-miiii"),
    "fixed-attention": each(_little, "miiii", "nanda", "nanda-as-miiii"),
}
