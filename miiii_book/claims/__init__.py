"""The claims of the ledger: texts and criteria in ``claims.toml``, measures in modules."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import addition, circuits, embeddings, neurons, training, variations, waves
from .claim import Claim, Judge, Measured, judge_by, measures_of

_SUBJECTS = (training, embeddings, neurons, addition, circuits, waves, variations)
_MEASURES: dict[str, Callable[..., Measured]] = {
    key: take for subject in _SUBJECTS for key, take in subject.MEASURES.items()
}
# Criteria that are more than comparisons of measured numbers.
_JUDGES: dict[str, Judge] = {
    **training.JUDGES, **embeddings.JUDGES, **neurons.JUDGES, **addition.JUDGES,
}  # fmt: skip


def _claim(
    key: str,
    runs: list[str],
    taken: str = "beside",
    holds: tuple[str, ...] = (),
    given: str = "",
    **texts: Any,
) -> Claim:
    judge = judge_by(holds, given) if holds else _JUDGES[key]
    return Claim(key=key, measures=measures_of(_MEASURES[key], runs, taken), judge=judge, **texts)


_TEXTS = tomllib.loads(Path(__file__).with_name("claims.toml").read_text("utf-8"))
LEDGER: tuple[Claim, ...] = tuple(_claim(key, **texts) for key, texts in _TEXTS.items())


def find_claim(key: str) -> Claim:
    """Return the claim of a key; ValueError for a key that no claim has, naming those there are."""
    known = {claim.key: claim for claim in LEDGER}
    if key not in known:
        raise ValueError(f"claim={key!r} is not in the ledger; give one of {', '.join(known)}")
    return known[key]
