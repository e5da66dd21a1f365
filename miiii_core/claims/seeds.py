"""What other seeds say: numbers of claims from runs whose weights do not travel with the book.

Three more seeds of the large runs would take forty megabytes, and the numbers that the ledger
takes from them a few kilobytes. ``python -m benchmarks.seeds`` writes these; here they join the
evidence, each seed as one more witness, for a claim that is put to runs which differ from them in
the seed alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..config import Config
from ..milestones import NEVER, Curve
from ..storage.results import find_results, read_results
from ..storage.saved import Run
from .examining import Told
from .ledger import Claim, Evidence, Measured

FILE = "seeds.json"


@dataclass(frozen=True, kw_only=True)
class Witness:
    """One run of a seed, without its weights.

    Attributes:
        config: What was trained.
        curve: How it came along.
        final: In validation, of each task at the end.
        origin: Device, seconds, and the revision of the code.
    """

    config: Config
    curve: Curve
    final: Float[np.ndarray, " tasks"]
    origin: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Seed:
    """All that is known of one seed.

    Attributes:
        seed: Of these runs.
        runs: By kind.
        beside: Digests of the shipped runs, such as controls, that were measured beside them.
        claims: The numbers of each claim, by its key.
    """

    seed: int
    runs: Mapping[str, Witness]
    beside: Mapping[str, str]
    claims: Mapping[str, Measured]

    def tells(self, claim: Claim, evidence: Evidence) -> bool:
        """Whether it says something of a claim that the runs at hand do not say themselves."""
        return claim.key in self.claims and all(
            self._fits(kind, evidence.get(kind, ())) for kind in claim.needs
        )

    def told(self, claim: Claim) -> Told:
        """Its numbers for a claim, of which those of the runs beside it are not its own."""
        return Told(self.seed, self.runs.keys(), self.claims[claim.key])

    def _fits(self, kind: str, runs: Sequence[Run]) -> bool:
        """Whether the runs of a kind are those of another seed, or those measured beside it."""
        first = runs[0].config if runs else None
        if first is None or kind not in self.runs:
            return first is not None and first.digest == self.beside.get(kind)
        # A seed that is there with all its weights speaks for itself.
        there = {run.config.digest for run in runs}
        own = self.runs[kind].config
        return own.replace(seed=first.train.seed) == first and own.digest not in there


def stored_seeds(path: Path | None = None) -> list[Seed]:
    """What is stored with the book, by seed; nothing outside it.

    Args:
        path: Another file than the book's.

    Raises:
        RunError: if the file is damaged.
    """
    return read_results(path or find_results(FILE), _parse)


def curves_of(run: Run, seeds: Sequence[Seed]) -> dict[int, Curve]:
    """Mean validation accuracy of a run and of those that differ from it in the seed, by seed.

    Args:
        run: With all its records.
        seeds: Among which its likes may be.
    """
    own = Curve(run.metrics["epoch"], run.metrics.split("accuracy", "validation").mean(axis=1))
    first = run.config.train.seed
    alike = {
        seed.seed: one.curve
        for seed in seeds
        for one in seed.runs.values()
        if one.config.replace(seed=first) == run.config
    }
    return alike | {first: own}


def number_as_json(value: float) -> float | str:
    """A number that JSON can hold; `NEVER` as a word."""
    return "never" if value == NEVER else float(value)


def _parse(path: Path) -> list[Seed]:
    found = [_seed(row) for row in json.loads(path.read_text())]
    return sorted(found, key=lambda seed: seed.seed)


def _seed(row: Mapping[str, Any]) -> Seed:
    return Seed(
        seed=row["seed"],
        runs={kind: _witness(one) for kind, one in row["runs"].items()},
        beside=row["beside"],
        claims={
            key: {name: NEVER if x == "never" else x for name, x in values.items()}
            for key, values in row["claims"].items()
        },
    )


def _witness(row: Mapping[str, Any]) -> Witness:
    return Witness(
        config=Config.from_json(json.dumps(row["config"])),
        curve=Curve(np.array(row["epochs"], int), np.array(row["accuracy"], float)),
        final=np.array(row["final"], float),
        origin=row["origin"],
    )
