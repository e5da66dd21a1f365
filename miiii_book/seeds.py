"""What other seeds say: numbers of claims from runs whose weights do not travel with the book.

Three more seeds of the large runs would take forty megabytes, and the numbers that the ledger
takes from them a few kilobytes. ``python -m benchmarks.trainings seeds`` writes these; here they
join the evidence for a claim that is put to runs which differ from them in the seed alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from miiii_core.config import Config
from miiii_core.presets import nearest_preset
from miiii_core.runs import Run, cached
from miiii_core.schedule import NEVER

from .claims import LEDGER
from .claims.claim import CannotTell, Claim, Measured, Values
from .results import Curve, config_of, find_results, read_results

FILE = "seeds.json"
BESIDE = ("nanda", "basis")  # shipped runs of the first seed, to compare with
DERIVED = "hyperparameters"  # measured on other stored results, which may grow
DIGITS = 4  # of accuracies in the curves; a thousand inputs tell them no finer
Evidence = Mapping[str, Sequence[Run]]


@dataclass(frozen=True)
class StoredRun:
    """One run without its weights: what was trained, and how it came along."""

    config: Config
    curve: Curve


@dataclass(frozen=True)
class Seed:
    """All that is stored of one seed.

    Attributes:
        seed: Seed of these runs.
        runs: The runs, by kind.
        beside: Digests of the shipped runs, such as controls, that were measured beside them.
        claims: The numbers of each claim, by its key.
    """

    seed: int
    runs: Mapping[str, StoredRun]
    beside: Mapping[str, str]
    claims: Mapping[str, Values]

    def speaks_of(self, claim: Claim, evidence: Evidence) -> bool:
        """Return whether it says something of a claim that the runs at hand do not themselves."""
        return claim.key in self.claims and all(
            self._fits(kind, evidence.get(kind, ())) for kind in claim.kinds
        )

    def _fits(self, kind: str, runs: Sequence[Run]) -> bool:
        """Return whether the runs of a kind are of another seed, or were measured beside it."""
        first = runs[0].config if runs else None
        if first is None or kind not in self.runs:
            return first is not None and first.digest == self.beside.get(kind)
        own = self.runs[kind].config
        there = {run.config.digest for run in runs}  # such a seed speaks for itself
        return own.replace(seed=first.train.seed) == first and own.digest not in there


def kind_of(run: Run) -> str:
    """Return the preset that a run is nearest to, of whatever size: ``miiii`` for miiii-small."""
    return nearest_preset(run.config)[0].removesuffix("-small")


def stored_seeds(path: Path | None = None) -> list[Seed]:
    """Return what is stored with the book, by seed; nothing outside it.

    Args:
        path: Another file than the book's.

    Raises:
        RunError: if the file is damaged.
    """
    return sorted(read_results(path or find_results(FILE), _seed), key=lambda one: one.seed)


def curves_of(run: Run, seeds: Sequence[Seed]) -> dict[int, Curve]:
    """Return the curves of a run and of those that differ from it in the seed alone, by seed."""
    first = run.config.train.seed
    alike = {
        seed.seed: one.curve
        for seed in seeds
        for one in seed.runs.values()
        if one.config.replace(seed=first) == run.config
    }
    return alike | {first: Curve.of(run)}


def row_of(seed: int, own: Mapping[str, Run]) -> dict[str, Any]:
    """Measure all claims on the runs of one seed, as `stored_seeds` reads it.

    Args:
        seed: Seed of the runs.
        own: The runs, by kind. What a claim compares with and is not there is a shipped run.
    """
    beside = {kind: cached(kind) for kind in BESIDE if kind not in own}
    told = {one.key: _numbers(one, own, beside) for one in LEDGER if one.key != DERIVED}
    return {
        "seed": seed,
        "runs": {kind: _row_of_run(run) for kind, run in own.items()},
        "beside": {kind: run.config.digest for kind, run in beside.items()},
        "claims": {
            key: {name: "never" if x == NEVER else float(x) for name, x in values.items()}
            for key, values in told.items()
            if values
        },
    }


def _numbers(claim: Claim, own: Mapping[str, Run], beside: Mapping[str, Run]) -> Measured:
    """Return what a claim measures on runs of a seed; nothing if they cannot tell."""
    found: dict[str, Any] = {}
    there = {**beside, **own}
    for kinds, take, together in claim.measures:
        if not together and set(kinds) & set(own) and set(kinds) <= set(there):
            try:
                found |= take(*(there[kind] for kind in kinds))
            except CannotTell:
                return {}
    return found


def _row_of_run(run: Run) -> dict[str, Any]:
    accuracy = run.metrics.split("accuracy", "validation")
    return {
        "config": json.loads(run.config.to_json()),
        "epochs": run.metrics["epoch"].tolist(),
        "accuracy": accuracy.mean(axis=1).astype(float).round(DIGITS).tolist(),
        "final": accuracy[-1].astype(float).round(DIGITS).tolist(),
        "origin": {key: run.info[key] for key in ("device", "wall_seconds")},
    }


def _seed(row: Mapping[str, Any]) -> Seed:
    runs = {
        kind: StoredRun(
            config_of(one),
            Curve(np.array(one["epochs"], int), np.array(one["accuracy"], float)),
        )
        for kind, one in row["runs"].items()
    }
    claims = {
        key: {name: NEVER if x == "never" else x for name, x in values.items()}
        for key, values in row["claims"].items()
    }
    return Seed(row["seed"], runs, row["beside"], claims)
