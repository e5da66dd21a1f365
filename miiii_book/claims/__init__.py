"""The claims of the ledger: texts and criteria in ``claims.toml``, measures in modules."""

import tomllib
from pathlib import Path

from . import addition, embeddings, neurons, training, variations, waves
from .claim import Claim, Measure

MEASURES: dict[str, tuple[Measure, ...]] = {
    **training.MEASURES, **embeddings.MEASURES, **neurons.MEASURES, **addition.MEASURES,
    **waves.MEASURES, **variations.MEASURES,
}  # fmt: skip
_TEXTS = tomllib.loads(Path(__file__).with_name("claims.toml").read_text("utf-8"))
LEDGER: tuple[Claim, ...] = tuple(
    Claim(key=key, **{"measure": key} | texts) for key, texts in _TEXTS.items()
)


def find_claim(key: str) -> Claim:
    """Return the claim of a key; ValueError for a key that no claim has, naming those there are."""
    known = {claim.key: claim for claim in LEDGER}
    if key not in known:
        raise ValueError(f"claim={key!r} is not in the ledger; give one of {', '.join(known)}")
    return known[key]
