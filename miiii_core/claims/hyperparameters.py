"""The claim that the settings chosen are the best of those tried.

A search at the paper's size is dear, and what it finds is a sample. Whether its answer is the best
takes less: if one step from it, in one field, leads to a better run, it is not. These neighbours
are trained by ``python -m benchmarks.neighbours``, and their curves travel with the book.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..config import Config
from ..milestones import GENERALISED, first_epoch
from ..spaces import RECORDING, TABLE_1, neighbours
from ..storage.folders import book_folder
from ..storage.saved import Run, RunError
from .ledger import NEVER, CannotTell, Claim, Measure, Measured, Values, Verdict, decide

FILE = Path("book", "results", "neighbours.jsonl")
# What happens without dropout or filter at all are claims of their own, with runs of their own.
APART = (("dropout", 0.0), ("grokfast_lambda", 0.0))


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A run that has another value in one field.

    Attributes:
        field: In which it differs.
        value: What it has there.
        epochs: At which it was recorded.
        accuracy: In validation, mean over tasks, at these epochs.
    """

    field: str
    value: Any
    epochs: Int[np.ndarray, " ticks"]
    accuracy: Float[np.ndarray, " ticks"]

    @property
    def generalised(self) -> float:
        """Epoch at which the mean passed `GENERALISED`; `NEVER` if it did not."""
        return _passed(self.epochs, self.accuracy)


def stored_neighbours(config: Config, path: Path | None = None) -> list[Neighbour]:
    """Neighbours of a configuration that are stored with the book; trained with any one seed.

    Args:
        config: Of the run in the middle.
        path: Another file than the book's.

    Raises:
        RunError: if the file is damaged.
    """
    home = book_folder()
    path = path or (home / FILE if home else None)
    if path is None or not path.is_file():
        return []
    try:
        rows = {row["digest"]: row for row in map(json.loads, path.read_text().splitlines())}
        seeds = {row["seed"] for row in rows.values()}
        wanted = {
            step: rows.get(one.digest)
            for seed in sorted(seeds, reverse=True)
            for step, one in neighbours(config.replace(seed=seed, **RECORDING), TABLE_1).items()
        }
        return [_neighbour(*step, row) for step, row in wanted.items() if row]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error


def _neighbour(field: str, value: Any, row: Mapping[str, Any]) -> Neighbour:
    epochs, _, accuracy, *_ = zip(*row["curve"], strict=True)
    return Neighbour(
        field=field, value=value, epochs=np.array(epochs, int), accuracy=np.array(accuracy, float)
    )


def _passed(epochs: np.ndarray, accuracy: np.ndarray) -> float:
    found = first_epoch(epochs, accuracy, GENERALISED)
    return NEVER if found is None else float(found)


def _best(run: Run) -> Measured:
    found = stored_neighbours(run.config)
    steps = set(neighbours(run.config, TABLE_1)) - set(APART)
    if {(one.field, one.value) for one in found} != steps:
        raise CannotTell(
            f"{len(found)} of the {len(steps)} neighbours of {run.folder.name} are stored; "
            "python -m benchmarks.neighbours trains those of the paper's settings"
        )
    curve = run.metrics.split("accuracy", "validation").mean(axis=1)
    own, own_epoch = float(curve[-1]), _passed(run.metrics["epoch"], curve)
    higher = [one for one in found if one.accuracy[-1] > own]
    return {
        "mean validation accuracy": own,
        "the highest of a neighbour": max(float(one.accuracy[-1]) for one in found),
        "neighbours": len(found),
        "neighbours that end higher": len(higher),
        "fields": len(TABLE_1),
        "fields in which one ends higher": len({one.field for one in higher}),
        "epoch of mean 0.9": own_epoch,
        "the earliest of a neighbour": min(one.generalised for one in found),
    }


def _judge_best(values: Values) -> Verdict:
    better = values["fields in which one ends higher"]
    return decide(better == 0, 2 * better < values["fields"])


CLAIMS = (
    Claim(
        key="hyperparameters",
        statement="of the choices searched, dropout 0.1, λ 1/2, weight decay 1/3, d 256, "
        "learning rate 3e-4 and 4 heads are best for T_miiii",
        source="Tables 1 and 2",
        criterion="no run with another value of Table 1 in one field ends with a higher mean "
        "validation accuracy (dropout 0 and λ 0 are claims of their own); partly: in fewer than "
        "half of the fields one does",
        judge=_judge_best,
        measures=(Measure(needs=("miiii",), of=_best),),
        published={},
        page="search",
        figure="fig-neighbours",
    ),
)
