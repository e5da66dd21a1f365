"""The claim that the settings chosen are the best of those tried.

A search at the paper's size is dear, and what it finds is a sample. Whether its answer is the best
takes less: if one step from it, in one field, leads to a better run, it is not. These neighbours
are trained by ``python -m benchmarks.neighbours``, and their curves travel with the book.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import Config
from ..milestones import GENERALISED, Curve
from ..spaces import RECORDING, TABLE_1, neighbours
from ..storage.results import curve_of, find_results, read_lines, read_results
from ..storage.saved import Run
from .ledger import CannotTell, Claim, Measure, Measured, Values, Verdict, decide
from .seeds import curves_of

FILE = "neighbours.jsonl"
# As published, by field; and what the numbers of a run's best value are called.
TABLE_2 = {
    "dropout": ("dropout", 0.1),
    "grokfast_lambda": ("λ", 1 / 2),
    "weight_decay": ("weight decay", 1 / 3),
    "d_model": ("d", 256),
    "learning_rate": ("learning rate", 3e-4),
    "n_heads": ("heads", 4),
}
# What happens without dropout or filter at all are claims of their own, with runs of their own.
APART = (("dropout", 0.0), ("grokfast_lambda", 0.0))


class Neighbour(NamedTuple):
    """A run that has another value in one field.

    Attributes:
        field: In which it differs.
        value: What it has there.
        seed: Of the run.
        curve: Its mean validation accuracy.
    """

    field: str
    value: Any
    seed: int
    curve: Curve


def stored_neighbours(config: Config, path: Path | None = None) -> list[Neighbour]:
    """Neighbours of a configuration that are stored with the book, whatever their seed.

    Args:
        config: Of the run in the middle.
        path: Another file than the book's.

    Raises:
        RunError: if the file is damaged.
    """
    return read_results(path or find_results(FILE), partial(_parse, config))


def _parse(config: Config, path: Path) -> list[Neighbour]:
    rows = {row["digest"]: row for row in read_lines(path)}
    return [
        Neighbour(field, value, seed, curve_of(rows[one.digest]))
        for seed in sorted({row["seed"] for row in rows.values()})
        for (field, value), one in _steps(config.replace(seed=seed, **RECORDING)).items()
        if one.digest in rows
    ]


def _steps(config: Config) -> dict[tuple[str, Any], Config]:
    """Neighbours by field and value, but for those with runs of their own."""
    found = neighbours(config, TABLE_1)
    return {step: one for step, one in found.items() if step not in APART}


def _best(run: Run) -> Measured:
    found = stored_neighbours(run.config)
    steps, there = list(_steps(run.config)), {(one.field, one.value) for one in found}
    if there != set(steps):
        raise CannotTell(
            f"{len(there)} of the {len(steps)} neighbours of {run.folder.name} are stored; "
            "python -m benchmarks.neighbours trains those of the paper's settings"
        )
    own = curves_of(run, ())[run.config.train.seed]
    ends = {
        step: _end(one.curve for one in found if step == (one.field, one.value)) for step in steps
    }
    ends_of = {
        field: {run.config.values[field]: own.accuracy[-1]}
        | {value: end for (other, value), end in ends.items() if other == field}
        for field in TABLE_1
    }
    higher = {step for step, end in ends.items() if end > own.accuracy[-1]}
    return {
        "mean validation accuracy": own.accuracy[-1],
        "the highest of a neighbour": max(ends.values()),
        "neighbours": len(steps),
        "neighbours that end higher": len(higher),
        "fields": len(TABLE_1),
        "fields in which one ends higher": len({field for field, _ in higher}),
        **{
            f"best {name}": max(ends_of[field], key=lambda value: ends_of[field][value])
            for field, (name, _) in TABLE_2.items()
        },
        "epoch of mean 0.9": own.reached(GENERALISED),
        "the earliest of a neighbour": min(one.curve.reached(GENERALISED) for one in found),
    }


def _end(curves: Iterable[Curve]) -> float:
    """Median over seeds of the accuracy at the end."""
    return float(np.median([curve.accuracy[-1] for curve in curves]))


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
        published={f"best {name}": value for name, value in TABLE_2.values()},
        page="search",
        figure="fig-neighbours",
        shown=(
            "mean validation accuracy",
            "the highest of a neighbour",
            "fields",
            "fields in which one ends higher",
        ),
    ),
)
