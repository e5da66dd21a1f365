"""What other seeds say: numbers of claims from runs whose weights do not travel with the book.

Three more seeds of the large runs would take forty megabytes, and the numbers that the ledger
takes from them a few kilobytes. ``python -m benchmarks.trainings seeds`` writes these; here they
join the evidence for a claim that is put to runs which differ from them in the seed alone.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from miiii_core.config import Config
from miiii_core.losses import NEVER
from miiii_core.presets import nearest_preset
from miiii_core.runs import Run, cached

from .claims import LEDGER
from .claims.claim import CannotTell, Claim, Measured, Values
from .results import Curve, Row, config_of, read_results

FILE = "seeds.json"
BESIDE = ("nanda", "basis")  # shipped runs of the first seed, to compare with
DERIVED = "hyperparameters"  # measured on other stored results, which may grow
DIGITS = 4  # of accuracies in the curves; a thousand inputs tell them no finer
Evidence = Mapping[str, Sequence[Run]]


class Seed(NamedTuple):
    """All that is stored of one seed."""

    seed: int  #: Seed of these runs
    runs: Mapping[str, tuple[Config, Curve]]  #: What was trained and how it came along, by kind
    #: Digests of the shipped runs, such as controls, that were measured beside them
    beside: Mapping[str, str]
    claims: Mapping[str, Values]  #: The numbers of each claim, by its key

    def speaks_of(self, claim: Claim, evidence: Evidence) -> bool:
        """Return whether it says something of a claim that the runs at hand do not themselves.

        Of each kind it must have a run of another seed, or have been measured beside the one here.
        """

        def fits(kind: str) -> bool:
            there = [run.config for run in evidence.get(kind, ())]
            if not there or kind not in self.runs:
                return bool(there) and there[0].digest == self.beside.get(kind)
            own, _ = self.runs[kind]  # if it is there, such a seed speaks for itself
            return own.replace(seed=there[0].train.seed) == there[0] and own not in there

        return claim.key in self.claims and all(map(fits, claim.kinds))


def kind_of(run: Run) -> str:
    """Return the preset that a run is nearest to, of whatever size: ``miiii`` for miiii-small."""
    return nearest_preset(run.config)[0].removesuffix("-small")


def stored_seeds() -> list[Seed]:
    """Return what is stored with the book, by seed; RunError if the file is damaged."""
    return read_results(FILE, _seed)


def curves_of(run: Run, seeds: Sequence[Seed]) -> dict[int, Curve]:
    """Return the curves of a run and of those that differ from it in the seed alone, by seed."""
    first = run.config.train.seed
    alike = {
        seed.seed: curve
        for seed in seeds
        for config, curve in seed.runs.values()
        if config.replace(seed=first) == run.config
    }
    return alike | {first: Curve.of(run)}


def row_of(seed: int, own: Mapping[str, Run]) -> dict[str, Any]:
    """Measure all claims on the runs of one seed, by kind, as `stored_seeds` reads it.

    What a claim compares with and is not there is a shipped run.
    """
    beside = {kind: cached(kind) for kind in BESIDE if kind not in own}
    told = {one.key: _numbers(one, own, beside) for one in LEDGER if one.key != DERIVED}
    return {
        "seed": seed,
        "runs": {
            kind: {
                "config": json.loads(run.config.to_json()),
                "epochs": run.metrics["epoch"].tolist(),
                "accuracy": Curve.of(run).accuracy.astype(float).round(DIGITS).tolist(),
            }
            for kind, run in own.items()
        },
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


def _seed(row: Row) -> Seed:
    runs = {
        kind: (config_of(one), Curve(np.array(one["epochs"]), np.array(one["accuracy"])))
        for kind, one in row["runs"].items()
    }
    claims = {
        key: {name: NEVER if x == "never" else x for name, x in values.items()}
        for key, values in row["claims"].items()
    }
    return Seed(row["seed"], runs, row["beside"], claims)
