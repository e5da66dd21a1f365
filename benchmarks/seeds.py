"""What do other seeds say? Takes the numbers of all claims from runs that are not shipped.

    miiii sweep --preset miiii --precision bfloat16 --seed 1,2,3 --out seeds/miiii
    miiii sweep --preset no-grokfast --precision bfloat16 --seed 1,2,3 --out seeds/no-grokfast
    python -m benchmarks.seeds seeds/*/*

On a GPU of a data centre the trainings take some five minutes. What a claim compares with, such
as shuffled labels, and of which no run is given, is the shipped run of the first seed.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from miiii_core import claims
from miiii_core.claims.ledger import CannotTell, Measured
from miiii_core.claims.seeds import FILE, number_as_json
from miiii_core.runs import cached
from miiii_core.storage.files import write_atomic
from miiii_core.storage.saved import Run, load

RESULTS = Path(__file__).parent.parent / "book" / "results" / FILE
SHIPPED = ("nanda", "basis")
DERIVED = ("hyperparameters",)  # measured on other stored results, which may grow
DIGITS = 4  # of accuracies in the curves; a thousand inputs tell them no finer


def main() -> None:
    """Measure all claims on the runs given, seed by seed, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="finished runs, of any seeds")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of all seeds, written anew")
    given = parser.parse_args()
    own: dict[int, dict[str, Run]] = defaultdict(dict)
    for run in map(load, given.runs):
        seed, kind = run.config.train.seed, claims.kind_of(run)
        if kind in own[seed]:
            parser.error(
                f"{own[seed][kind].folder} and {run.folder} are both {kind} of seed {seed}"
            )
        own[seed][kind] = run
    beside = {name: cached(name) for name in SHIPPED}
    rows = [row_of(seed, own[seed], beside) for seed in tqdm(sorted(own), unit="seed")]
    write_atomic(given.out, (json.dumps(rows, allow_nan=False) + "\n").encode())


def row_of(seed: int, own: Mapping[str, Run], beside: Mapping[str, Run]) -> dict[str, Any]:
    """One seed as `claims.stored_seeds` reads it.

    Args:
        seed: Of the runs.
        own: Runs of this seed, by kind.
        beside: Runs of another, to compare with.
    """
    asked = [claim for claim in claims.LEDGER if claim.key not in DERIVED]
    measured = {claim.key: numbers_of(claim, own, beside) for claim in asked}
    return {
        "seed": seed,
        "runs": {kind: _witness(run) for kind, run in own.items()},
        "beside": {kind: run.config.digest for kind, run in beside.items()},
        "claims": {
            key: {name: number_as_json(float(value)) for name, value in values.items()}
            for key, values in measured.items()
            if values
        },
    }


def numbers_of(claim: claims.Claim, own: Mapping[str, Run], beside: Mapping[str, Run]) -> Measured:
    """What a claim measures on runs of this seed; nothing if they cannot tell."""
    found: dict[str, Any] = {}
    there = {**beside, **own}
    for measure in claim.measures:
        if measure.together or not set(measure.needs) & set(own):
            continue
        if not set(measure.needs) <= set(there):
            continue
        try:
            found |= measure.take([there[kind] for kind in measure.needs])
        except CannotTell:
            return {}
    return found


def _witness(run: Run) -> dict[str, Any]:
    accuracy = run.metrics.split("accuracy", "validation")
    return {
        "config": json.loads(run.config.to_json()),
        "epochs": run.metrics["epoch"].tolist(),
        "accuracy": accuracy.mean(axis=1).astype(float).round(DIGITS).tolist(),
        "final": accuracy[-1].astype(float).round(DIGITS).tolist(),
        "origin": {
            "device": run.info["device"],
            "wall_seconds": run.info["wall_seconds"],
            "code_revision": run.info["code_revision"],
        },
    }


if __name__ == "__main__":
    main()
