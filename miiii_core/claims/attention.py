"""Claims about where the heads look, and how much that matters."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..analysis.spectral import neuron_frequency
from ..circuits.ablation import fix_attention, held_out, score, unit_mask
from ..storage.saved import Run
from .ledger import Claim, Measured, Values, Verdict, apart, decide

ONE_DIGIT = 0.9  # share of the attention on digits from which a head looks at one of them
LITTLE = 0.05  # held-out accuracy


class Heads(NamedTuple):
    """Where the heads of a run look, head by head.

    Attributes:
        first: Attention on x0 over that on both digits, mean over all inputs.
        frequency: The wave that explains most of the attention on x0; 0 for none.
        share: How much of its variance that wave explains, in both digits together.
    """

    first: Float[np.ndarray, " heads"]
    frequency: np.ndarray
    share: Float[np.ndarray, " heads"]

    @property
    def one_digit(self) -> np.ndarray:
        """Which heads look at one digit."""
        return (self.first >= ONE_DIGIT) | (self.first <= 1 - ONE_DIGIT)


def attention_maps(run: Run) -> Float[np.ndarray, "heads x0 x1 tokens"]:
    """Attention from the read-out position over the full grid."""
    attention = np.asarray(run.activations().attention)
    return np.moveaxis(run.task.grid(attention), 2, 0)


def heads(maps: Float[np.ndarray, "heads x0 x1 tokens"]) -> Heads:
    """Summarise attention maps."""
    on_digits = np.maximum(maps[..., 0] + maps[..., 1], np.finfo(maps.dtype).tiny)
    wave = neuron_frequency(maps[..., 0])
    first = (maps[..., 0] / on_digits).mean(axis=(1, 2))
    return Heads(first, np.asarray(wave.frequency), np.asarray(wave.share))


def loss_of_choice(run: Run) -> tuple[float, float]:
    """Mean held-out accuracy, as it is and with all patterns fixed at their means."""
    activations = run.activations()
    every = unit_mask(range(run.config.model.n_heads), run.config.model.n_heads)
    fixed = fix_attention(activations, run.model, run.task.digits, every)
    rows = held_out(run.task)
    before, after = (
        float(score(logits, run.task, rows).accuracy.mean())
        for logits in (activations.logits, fixed)
    )
    return before, after


def _digits(run: Run, name: str) -> Measured:
    found = heads(attention_maps(run))
    return {
        f"heads, {name}": len(found.first),
        f"on one digit, {name}": int(found.one_digit.sum()),
        f"on both and periodic, {name}": int((~found.one_digit & (found.share >= 0.5)).sum()),
    }


def _judge_digits(values: Values) -> Verdict:
    return decide(
        values["on one digit, T_miiii"] == values["heads, T_miiii"],
        values["on both and periodic, T_nanda"] >= 1,
    )


def _little(run: Run, name: str) -> Measured:
    before, after = loss_of_choice(run)
    return {f"accuracy, {name}": before, f"accuracy with patterns fixed, {name}": after}


def _judge_little(values: Values) -> Verdict:
    return decide(
        *(
            values[f"accuracy, {name}"] - values[f"accuracy with patterns fixed, {name}"] < LITTLE
            for name in ("T_nanda", "T_miiii")
        )
    )


CLAIMS = (
    Claim(
        key="attention",
        statement="each head of T_miiii looks at one digit or the other; those of T_nanda may use "
        "both, periodically",
        source="Fig. 18",
        criterion="every head of T_miiii has 0.9 of its attention to digits on one of them, on "
        "average; a head of T_nanda has not, and half of its variance in one frequency; partly: "
        "one of the two",
        judge=_judge_digits,
        measures=apart(_digits, "miiii", "nanda"),
        published={},
        shown=("heads, T_miiii", "on one digit, T_miiii", "on both and periodic, T_nanda"),
        page="attention",
        figure="fig-attention-miiii",
    ),
    Claim(
        key="attention-little",
        statement="attention contributes little to solving the tasks",
        source="Attention patterns, after Nanda et al.",
        criterion="held-out accuracy falls by less than 0.05 when the pattern of every head is "
        "fixed at its mean, in each of the two; partly: in one",
        judge=_judge_little,
        measures=apart(_little, "miiii", "nanda"),
        published={},
        shown=tuple(
            f"{what}, {name}"
            for name in ("T_miiii", "T_nanda")
            for what in ("accuracy", "accuracy with patterns fixed")
        ),
        page="attention",
        figure="fig-still-miiii",
    ),
)
