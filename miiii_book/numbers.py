"""Numbers of the ledger, stored beside the book: ``python -m benchmarks.trainings numbers``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from miiii_core.losses import NEVER
from miiii_core.runs import Run
from miiii_core.train import initial_state

from .claims.claim import Values
from .results import read_results

FILE = "numbers.jsonl"
RUNS, SHUFFLED, UNTRAINED = "runs", "shuffled labels", "untrained"  # what a row is about
Evidence = Mapping[str, Sequence[Run]]  # runs by kind
PLACES = ("miiii", "masked", "bases")  # kinds whose place "basis" takes: it has shuffled labels


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

    def line(row: Row) -> str:
        words = {NEVER: "never"}
        numbers = {n: None if np.isnan(x) else words.get(x, x) for n, x in row.numbers.items()}
        return json.dumps(row._asdict() | {"numbers": numbers}) + "\n"

    return "".join(map(line, rows))


def untrained(run: Run) -> Run:
    """Return a run as it was before its first step."""
    blank = replace(run)
    own = {"model": initial_state(run.config, run.task).model, "metrics": run.metrics.until(0)}
    blank.__dict__.update(own | {"task": run.task, "snapshot_epochs": ()})
    return blank
