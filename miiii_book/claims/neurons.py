"""Claims about neurons and heads: periods, the spike, the mechanism, and where attention goes."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from miiii_core.chance import in_random_order
from miiii_core.fourier import neuron_frequency, public_code_omega
from miiii_core.interventions import fix_attention, logits_with, score
from miiii_core.runs import Run
from miiii_core.schedule import GENERALISED, NEVER
from miiii_core.shares import best_block, centred_power, unit_grids, varying
from miiii_core.tasks import Task

from ..rules import folded
from .claim import (
    Claim,
    Measured,
    Values,
    Verdict,
    activations,
    decide,
    each,
    measured,
    mostly,
    require_probe,
)

PARTS = (256, 64, 16, 4, 1)  # of the training, at which Table 3 of the paper counts
TABLE_3 = (0, 0, 10, 18, 10)
PEAK = 16_384  # the epoch of its largest count
ONE_DIGIT = 0.9  # share of the attention on digits from which a head looks at one of them
LITTLE = 0.05  # held-out accuracy


@lru_cache(maxsize=8)  # two claims and the control ask
def median_blocks(run: Run) -> tuple[float, float]:
    """Return the best block of the median neuron: as it is, and with digits in random order."""
    found = varying(unit_grids(run.task, activations(run).neurons))
    mixed = in_random_order(found.grids, np.random.default_rng(0))
    own, chance = best_block(found.power), best_block(centred_power(mixed))
    return float(np.median(own)), float(np.median(chance))


def _periods(run: Run, name: str) -> Measured:
    own, mixed = median_blocks(run)
    return {f"best block, {name}": own, f"in random order, {name}": mixed}


def _periodic(v: Values, name: str) -> bool:
    share, chance = v[f"best block, {name}"], v[f"in random order, {name}"]
    return share >= 0.5 and share > 2 * chance


def omega(run: Run) -> dict[str, Float[np.ndarray, " wide_ticks"]]:
    """Count active frequencies at each wide record, by our rule and by the public code's.

    Returns:
        ``ours``: pairs above μ + 2σ of each neuron's own map, mean over all neurons.
        ``public count`` and ``public label``: one neuron, μ + σ of a row-normalised map over
        log time, and the number that the code prints for it.
    """
    epochs = run.metrics["wide_epoch"]
    public = public_code_omega(run.metrics["first_neuron_power"], epochs)
    column = np.maximum(np.searchsorted(public.epochs, epochs, side="right") - 1, 0)
    return {
        "ours": run.metrics["active_per_neuron"],
        "public count": np.asarray(public.active[column], float),
        "public label": np.asarray(public.label[column], float),
    }


def spiked(counts: Float[np.ndarray, " ticks"]) -> bool:
    """Return whether counts rise above their start and then fall by a fifth of their peak."""
    return bool(counts.max() > 1.25 * counts[-1] and counts.max() > counts[0])


def records_at(
    epochs: Int[np.ndarray, " ticks"], parts: tuple[int, ...] = PARTS
) -> Int[np.ndarray, " parts"]:
    """Return the last record within each part of the training: 1/256 of it, and so on."""
    return np.array([np.searchsorted(epochs, epochs[-1] / n, side="right") - 1 for n in parts])


def _spike(run: Run) -> Measured:
    require_probe("neuron_spectrum", run)
    epochs, counts, learned = run.metrics["wide_epoch"], omega(run), run.learned_at()
    ours, public, rows = counts["ours"], counts["public label"], records_at(epochs)
    later, end = epochs >= 1, max(ours[-1], 1e-9)
    peaks = {
        "ours": epochs[later][ours[later].argmax()],
        "public code": epochs[later][public[later].argmax()],
    }
    return {
        **{f"at 1/{n} of the epochs": ours[row] for n, row in zip(PARTS, rows, strict=True)},
        **{f"public code, 1/{n}": public[row] for n, row in zip(PARTS, rows, strict=True)},
        "before over after": ours[rows[2]] / end,
        "peak over final": ours[later].max() / end,
        "spike": spiked(ours[later]),
        "spike, public code": spiked(public[later]),
        **{f"peak at epoch, {rule}": int(epoch) for rule, epoch in peaks.items()},
        **{f"learned by then, {rule}": int((learned <= e).sum()) for rule, e in peaks.items()},
    }


def _timing(run: Run) -> Measured:
    found, epochs = _spike(run), run.learned_at()
    ever = epochs[epochs < NEVER]
    return {
        **found,
        "first task generalises (epoch)": ever.min(initial=NEVER),
        "last task generalises (epoch)": ever.max() if len(ever) else NEVER,
    }


def _in_time(v: Values, by: str, count: str) -> bool:
    early, second, third, fourth, end = (v[count.format(part)] for part in PARTS)
    first, last = (v[f"{which} task generalises (epoch)"] for which in ("first", "last"))
    peaks = first <= v[f"peak at epoch, {by}"] <= last
    return peaks and max(early, second) < 1 <= third < fourth and end < fourth


def explained_by_difference(
    logits: Float[np.ndarray, "n n_classes"],
    task: Task,
    labels: Int[np.ndarray, "n tasks"] | None = None,
) -> Float[np.ndarray, " tasks"]:
    """Return the share of each task's logits' variance that is a function of (n - c) mod q.

    Cosines of 2πk(n - c)/q, whatever their k and size, together make up all such functions.
    Means of each class over the inputs are removed first.

    Args:
        logits: Packed logits of all inputs.
        task: The task that has the classes.
        labels: What stands in the place of n, for a task whose labels are shuffled.
    """
    if labels is None:
        labels = np.arange(task.p**2)[:, None] % task.class_sizes
    shares = []
    for columns, label in zip(task.columns, labels.T, strict=True):
        own = logits[:, columns].astype(float)
        own = own - own.mean(axis=0)
        shares.append((folded(own, label) ** 2).sum() / len(own) / (own**2).sum())
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


class Heads(NamedTuple):
    """Where the heads of a run look, head by head.

    Attributes:
        first: Attention on x0 over that on both digits, mean over all inputs.
        frequency: The wave that explains most of the attention on x0; 0 for none.
        share: Share of its variance that this wave explains, in both digits together.
    """

    first: Float[np.ndarray, " heads"]
    frequency: Int[np.ndarray, " heads"]
    share: Float[np.ndarray, " heads"]

    @property
    def one_digit(self) -> Bool[np.ndarray, " heads"]:
        """Whether each head looks at one digit."""
        return (self.first >= ONE_DIGIT) | (self.first <= 1 - ONE_DIGIT)


def attention_maps(run: Run) -> Float[np.ndarray, "heads x0 x1 tokens"]:
    """Return the attention from the read-out position over the full grid."""
    return np.moveaxis(run.task.grid(np.asarray(activations(run).attention)), 2, 0)


def heads(maps: Float[np.ndarray, "heads x0 x1 tokens"]) -> Heads:
    """Summarise attention maps."""
    on_digits = np.maximum(maps[..., 0] + maps[..., 1], np.finfo(maps.dtype).tiny)
    wave = neuron_frequency(maps[..., 0])
    first = (maps[..., 0] / on_digits).mean(axis=(1, 2))
    return Heads(first, np.asarray(wave.frequency), np.asarray(wave.share))


def _digits(run: Run, name: str) -> Measured:
    found = heads(attention_maps(run))
    return {
        f"heads, {name}": len(found.first),
        f"on one digit, {name}": int(found.one_digit.sum()),
        f"on both and periodic, {name}": int((~found.one_digit & (found.share >= 0.5)).sum()),
    }


def _little(run: Run, name: str) -> Measured:
    values, task = activations(run), run.task
    edit = fix_attention(values, np.full(run.config.model.n_heads, True))
    before, after = (
        float(score(logits, task, task.held_out).accuracy.mean())
        for logits in (values.logits, logits_with(run.model, task, edit))
    )
    return {f"accuracy, {name}": before, f"accuracy with patterns fixed, {name}": after}


CLAIMS = (
    Claim(
        key="periodic-neurons",
        statement="neurons of T_miiii are periodic in both digits and react to few frequencies; "
        "those of T_basis are not",
        source="Figs. 14 and 15",
        criterion="the median neuron has half of its variance or more in one block of the p-DFT, "
        "twice as much as with the digits in random order; and that of T_basis has not",
        measures=each(_periods, "miiii", "basis"),
        judge=lambda v: decide(_periodic(v, "T_miiii") and not _periodic(v, "T_basis")),
        where="neurons#fig-block-shares",
        shown=("best block, T_miiii", "in random order, T_miiii", "best block, T_basis",
               "in random order, T_basis"),
    ),
    Claim(
        key="spike",
        statement="the number of active frequencies rises and falls again in the course of "
        "training: the ω-spike",
        source="Fig. 16, Table 3",
        criterion="a peak above the first count and a quarter above the last one, by our "
        "definition and by the public code's; partly: by one of the two",
        measures=measured(_spike, "miiii"),
        judge=lambda v: decide(mostly(v["spike"]), mostly(v["spike, public code"])),
        where="neurons#fig-omega",
        published={
            "peak at epoch, ours": PEAK,
            **{f"at 1/{n} of the epochs": count for n, count in zip(PARTS, TABLE_3, strict=True)},
        },
        shown=("peak over final", "spike", "spike, public code"),
    ),
    Claim(
        key="spike-time",
        statement="the ω-spike comes when the paper says: from no active frequencies to most of "
        "them while the many tasks are learned",
        source="Fig. 16, Table 3, Discussion",
        criterion="written after the numbers were seen: by our definition, the peak lies between "
        "the epochs at which the first and the last task generalise (0.9 in validation, of those "
        "that do), and the counts of Table 3 are as there: fewer than one at 1/256 and 1/64 of "
        "the epochs, more at 1/16, most at 1/4, fewer at the end; and the same by the public "
        "code's; partly: by one of the two; not testable where no task generalises",
        measures=measured(_timing, "miiii"),
        judge=lambda v: decide(
            _in_time(v, "ours", "at 1/{} of the epochs"),
            _in_time(v, "public code", "public code, 1/{}"),
            given=v["first task generalises (epoch)"] < NEVER,
        ),
        where="neurons#fig-omega",
        published={
            "peak at epoch, public code": PEAK,
            **{f"public code, 1/{n}": count for n, count in zip(PARTS, TABLE_3, strict=True)},
        },
        shown=("peak at epoch, ours", "first task generalises (epoch)",
               "last task generalises (epoch)"),
    ),
    Claim(
        key="reuse",
        statement="before the many tasks are learned as many frequencies are active as after",
        source="Discussion, Table 3",
        criterion="by our definition, the count at a sixteenth of the epochs is within a quarter "
        "of the last; not testable where there is no spike between the two",
        measures=measured(_spike, "miiii"),
        judge=lambda v: decide(0.8 <= v["before over after"] <= 1.25, given=mostly(v["spike"])),
        where="neurons#fig-omega",
        published={"before over after": TABLE_3[2] / TABLE_3[-1]},
    ),
    Claim(
        key="mechanism",
        statement="the mechanism of T_miiii is that of Nanda et al.: products of cosines and sines",
        source="Discussion",
        criterion="over the tasks that generalised: a function of (n - c) mod q makes up 90 % of "
        "the variance of the median task's logits; and functions of n mod q half of the neurons' "
        "interaction part; partly: one of the two",
        measures=measured(_mechanism, "miiii"),
        judge=lambda v: decide(
            v["logits explained by n - c"] >= 0.9,
            v["of the interaction, n mod q"] >= 0.5,
            given=v["tasks generalised"] > 0,
        ),
        where="neurons#fig-mechanism",
        shown=("of the interaction, n mod q", "logits explained by n - c", "tasks generalised"),
    ),
    Claim(
        key="attention",
        statement="each head of T_miiii looks at one digit or the other; those of T_nanda may use "
        "both, periodically",
        source="Fig. 18",
        criterion="every head of T_miiii has 0.9 of its attention to digits on one of them, on "
        "average; a head of T_nanda has not, and half of its variance in one frequency; partly: "
        "one of the two",
        measures=each(_digits, "miiii", "nanda"),
        judge=lambda v: decide(
            v["on one digit, T_miiii"] == v["heads, T_miiii"],
            v["on both and periodic, T_nanda"] >= 1,
        ),
        where="attention#fig-attention-miiii",
        shown=("on one digit, T_miiii", "heads, T_miiii", "on both and periodic, T_nanda"),
    ),
    Claim(
        key="attention-little",
        statement="attention contributes little to solving the tasks",
        source="Attention patterns, after Nanda et al.",
        criterion="held-out accuracy falls by less than 0.05 when the pattern of every head is "
        "fixed at its mean, in each of the two; partly: in one",
        measures=each(_little, "miiii", "nanda"),
        judge=lambda v: decide(
            *(
                v[f"accuracy, {name}"] - v[f"accuracy with patterns fixed, {name}"] < LITTLE
                for name in ("T_nanda", "T_miiii")
            )
        ),
        where="attention#fig-still-miiii",
        shown=("accuracy with patterns fixed, T_nanda", "accuracy, T_nanda",
               "accuracy with patterns fixed, T_miiii", "accuracy, T_miiii"),
    ),
)  # fmt: skip
