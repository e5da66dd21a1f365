"""The ledger: what the paper claims, and what runs of ours say about it.

>>> from miiii_core import claims, runs
>>> evidence = claims.gather([runs.cached(name) for name in ("miiii-small", "nanda-small")])
>>> claims.examine_all(evidence)
"""

from collections.abc import Sequence

from . import (
    attention,
    basis,
    circuit,
    divisible,
    embeddings,
    hyperparameters,
    larger_base,
    learning,
    learning_circuits,
    mechanism,
    neurons,
    serving,
    variations,
)
from .examining import examine
from .impostor import can_pose, with_impostor
from .ledger import Claim, Evidence, Finding, Measure, Verdict, decide
from .page import Expectations, Ledger, seeds_table, summary
from .seeds import Seed, curves_of, stored_seeds
from .sources import BASES, gather, kind_of

__all__ = [
    "BASES",
    "LEDGER",
    "Claim",
    "Evidence",
    "Expectations",
    "Finding",
    "Ledger",
    "Measure",
    "Seed",
    "Verdict",
    "can_pose",
    "curves_of",
    "decide",
    "examine",
    "examine_all",
    "find_claim",
    "gather",
    "kind_of",
    "seeds_table",
    "stored_seeds",
    "summary",
    "with_impostor",
]

LEDGER: tuple[Claim, ...] = (
    *hyperparameters.CLAIMS,
    *learning.CLAIMS,
    *embeddings.CLAIMS,
    *neurons.CLAIMS,
    *attention.CLAIMS,
    *circuit.CLAIMS,
    *serving.CLAIMS,
    *basis.CLAIMS,
    *mechanism.CLAIMS,
    *learning_circuits.CLAIMS,
    *variations.CLAIMS,
    *larger_base.CLAIMS,
    *divisible.CLAIMS,
)


def find_claim(key: str) -> Claim:
    """The claim of a key.

    Raises:
        ValueError: for a key that no claim has.
    """
    known = {claim.key: claim for claim in LEDGER}
    if key not in known:
        raise ValueError(f"no claim is called {key!r}; the ledger has {', '.join(known)}")
    return known[key]


def examine_all(
    evidence: Evidence, keys: Sequence[str] | None = None, seeds: Sequence[Seed] = ()
) -> Ledger:
    """Put claims to runs.

    Args:
        evidence: Runs by kind, from `gather`.
        keys: Of the claims; all if not given.
        seeds: Such as `stored_seeds`: where one tells more of a claim, it joins in.
    """
    chosen = LEDGER if keys is None else [find_claim(key) for key in keys]
    beside = {
        claim.key: [seed.told(claim) for seed in seeds if seed.tells(claim, evidence)]
        for claim in chosen
    }
    return Ledger([examine(claim, evidence, beside[claim.key]) for claim in chosen], evidence)
