"""Numbers of the ledger, stored beside the book: of its runs, of controls, and of other seeds.

What claims are judged by takes minutes to measure and a few kilobytes to keep; three more seeds of
the large runs would take forty megabytes. ``python -m benchmarks.trainings numbers`` writes them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from miiii_core.config import Config
from miiii_core.losses import NEVER
from miiii_core.runs import Run
from miiii_core.train import initial_state

from .claims.claim import Values
from .results import Curve, config_of, read_results

FILE, CURVES = "numbers.jsonl", "curves.jsonl"
RUNS, SHUFFLED, UNTRAINED = "runs", "shuffled labels", "untrained"  # what a row is about
Evidence = Mapping[str, Sequence[Run]]  # runs by kind
CONTROL = "basis"  # the kind that has shuffled labels,
PLACES = ("miiii", "masked", "bases")  # and those whose place it takes


class Row(NamedTuple):
    """What one measure found on the runs of one seed."""

    measure: str  #: Key of the measure
    subject: str  #: The runs themselves, or which control in their place
    seed: int  #: Seed of the first run
    runs: Mapping[str, str]  #: `identity` of each run, by the kind whose place it has
    numbers: Values  #: What was measured, by name

    @property
    def recipes(self) -> dict[str, str]:
        """What was trained but for the seed, by kind."""
        return {kind: name.split("/")[0] for kind, name in self.runs.items()}


def identity(run: Run) -> str:
    """Return ``recipe/seed/weights``: digests of the configuration without seed, and of the end."""
    recipe, seed = run.config.replace(seed=0).digest, run.config.train.seed
    return f"{recipe}/{seed}/{run.info.get('files', {}).get('weights.npz', '')[:12]}"


def stored_rows() -> list[Row]:
    """Return the numbers that come with the book; RunError if the file is damaged."""

    def parse(row: Mapping[str, Any]) -> Row:
        numbers = {n: {"never": NEVER, None: np.nan}.get(x, x) for n, x in row["numbers"].items()}
        return Row(**{**row, "numbers": numbers})

    return read_results(FILE, parse)


def as_lines(rows: Iterable[Row]) -> str:
    """Return rows as `stored_rows` reads them, a JSON object a line."""

    def plain(x: float) -> float | str | None:
        return "never" if x == NEVER else None if np.isnan(x) else float(x)

    lines = []
    for row in rows:
        numbers = {name: plain(x) for name, x in row.numbers.items()}
        lines.append(json.dumps(row._asdict() | {"numbers": numbers}) + "\n")
    return "".join(lines)


def untrained(run: Run) -> Run:
    """Return a run as it was before its first step."""
    blank = replace(run)
    own = {"model": initial_state(run.config, run.task).model, "metrics": run.metrics.until(0)}
    blank.__dict__.update(own | {"task": run.task, "snapshot_epochs": ()})
    return blank


def curves_of(run: Run) -> dict[int, Curve]:
    """Return the curves of a run and of those that differ from it in the seed alone, by seed."""
    first = run.config.train.seed

    def parse(row: Mapping[str, Any]) -> tuple[Config, Curve]:
        return config_of(row), Curve(np.array(row["epochs"]), np.array(row["accuracy"]))

    alike = {
        config.train.seed: curve
        for config, curve in read_results(CURVES, parse)
        if config.replace(seed=first) == run.config
    }
    return alike | {first: Curve.of(run)}


def in_their_place(evidence: Evidence, subject: str) -> Evidence:
    """Return the runs by kind with a control in the place of those that learned a rule."""
    if subject == SHUFFLED:
        return dict(evidence) | dict.fromkeys(PLACES, evidence.get(CONTROL, ()))
    return {kind: list(map(untrained, runs)) for kind, runs in evidence.items()}
