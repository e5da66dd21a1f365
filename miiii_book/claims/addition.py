"""What Nanda et al. report of modular addition, in intervals fixed before our runs were measured.

They are wide on purpose: what is asked is whether the same kind of network comes out.
"""

from math import inf
from typing import NamedTuple

from miiii_core.addition import Phases, measures
from miiii_core.runs import Run

from .claim import Measured, beside, require_course

FORMS = "circuit formation: restricted loss and weights fall, excluded loss rises"


class Agrees(NamedTuple):
    """Which values agree with a number of Nanda et al., and what ``claims.toml`` calls it."""

    what: str
    low: float
    high: float


# Nanda et al. (2023), arXiv 2301.05217, addition modulo 113; by names of `AdditionMeasures.ours`.
NANDA = {
    "key_frequencies": Agrees("key frequencies", 3, 5),  # five in one run, three or four in others
    "neurons_explained":
        Agrees("share of neurons with over 85 % of their variance at one frequency", 0.75, inf),
    "heads_explained": Agrees("least share of a head's weights at one frequency", 0.95, inf),
    "map_residual": Agrees("norm of W_L outside the key directions, over that of W_L", -inf, 0.05),
    "sums_explained":
        Agrees("least share of a key direction of the neurons in its wave of x0 + x1", 0.9, inf),
    "logits_explained":
        Agrees("share of the logits' variance in cos(w(x0 + x1 - c)) of key frequencies", 0.9, inf),
    "restricted_ratio": Agrees("restricted loss over loss", -inf, 1.0),
    "complement_ratio":
        Agrees("loss outside the key directions of the classes, over that of guessing", 1.0, inf),
    # An epoch agrees within a factor of two.
    "memorised": Agrees("memorisation ends (epoch)", 700, 2800),
    "formed": Agrees("circuit formation ends (epoch)", 4700, 18800),
    "cleaned": Agrees("cleanup ends (epoch)", 7000, 28000),
}  # fmt: skip


def _circuit(run: Run) -> Measured:
    require_course(run, len(run.snapshot_epochs))
    found = measures(run, draws=1)  # its controls decide nothing
    return {
        FORMS: found.circuit_forms,
        "greatest share of a head's weights at one frequency": found.head_share.max(),
        **{NANDA[name].what: bracket.low for name, bracket in found.ours.items()},
        **{f"{NANDA[name].what}, at the latest": found.ours[name].high for name in Phases._fields},
    }


MEASURES = {"nanda-circuit": beside(_circuit, "nanda")}
