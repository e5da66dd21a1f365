"""What Nanda et al. report of modular addition, by the names that ``claims.toml`` has for it.

Its intervals, wide on purpose, ask whether the same kind of network comes out.
"""

from miiii_core.addition import AdditionMeasures, Phases, measures
from miiii_core.runs import Run

from .claim import Measured, beside, require_course

FORMS = "circuit formation: restricted loss and weights fall, excluded loss rises"
# Nanda et al. (2023), arXiv 2301.05217, addition modulo 113; by names of `AdditionMeasures.ours`.
NANDA = {
    "key_frequencies": "key frequencies",
    "neurons_explained": "share of neurons with over 85 % of their variance at one frequency",
    "heads_explained": "least share of a head's weights at one frequency",
    "map_residual": "norm of W_L outside the key directions, over that of W_L",
    "sums_explained": "least share of a key direction of the neurons in its wave of x0 + x1",
    "logits_explained": "share of the logits' variance in cos(w(x0 + x1 - c)) of key frequencies",
    "restricted_ratio": "restricted loss over loss",
    "complement_ratio": "loss outside the key directions of the classes, over that of guessing",
    "memorised": "memorisation ends (epoch)",
    "formed": "circuit formation ends (epoch)",
    "cleaned": "cleanup ends (epoch)",
}


def numbers_of(found: AdditionMeasures) -> Measured:
    """Return what was measured, by the names that claims have for it."""
    late = {f"{NANDA[name]}, at the latest": found.ours[name].high for name in Phases._fields}
    return {NANDA[name]: bracket.low for name, bracket in found.ours.items()} | late


def _circuit(run: Run) -> Measured:
    require_course(run, len(run.snapshot_epochs))
    found = measures(run, draws=1)  # its controls decide nothing
    heads = {"greatest share of a head's weights at one frequency": found.head_share.max()}
    return {FORMS: found.circuit_forms, **heads, **numbers_of(found)}


MEASURES = {"nanda-circuit": beside(_circuit, "nanda")}
