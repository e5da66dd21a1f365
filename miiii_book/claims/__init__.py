"""The claims of the ledger: their texts in ``claims.toml``, their rules in a module a subject."""

import tomllib
from pathlib import Path
from typing import Any

from . import addition, circuits, embeddings, neurons, training, variations, waves
from .claim import Claim, Rules

_TEXTS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("claims.toml").read_text("utf-8")
)
_SUBJECTS = (training, embeddings, neurons, addition, circuits, waves, variations)
_RULES: Rules = {key: rule for subject in _SUBJECTS for key, rule in subject.RULES.items()}
LEDGER: tuple[Claim, ...] = tuple(
    Claim(key=key, measures=_RULES[key][0], judge=_RULES[key][1], **texts)
    for key, texts in _TEXTS.items()
)


def find_claim(key: str) -> Claim:
    """Return the claim of a key; ValueError for a key that no claim has, naming those there are."""
    known = {claim.key: claim for claim in LEDGER}
    if key not in known:
        raise ValueError(f"claim={key!r} is not in the ledger; give one of {', '.join(known)}")
    return known[key]
