"""Results that travel with the book: numbers of trainings whose weights do not.

``benchmarks/trainings.py`` writes them into ``book/results``, one training a line.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from miiii_core.config import Config, differences
from miiii_core.runs import Run, RunError, shipped_root
from miiii_core.schedule import NEVER, first_epoch
from miiii_core.tasks import primes_below

from .spaces import RECORDING, TABLE_1, neighbours

T = TypeVar("T")
Row = Mapping[str, Any]
BASES, RENAMED, NEIGHBOURS = "bases.jsonl", "renamed.jsonl", "neighbours.jsonl"
# Fields in which trainings of one recipe may differ: size, seed, length, and what is recorded.
FREE = ("p", "seed", "epochs", "settled_share", "eval_every", *RECORDING)
# What happens without dropout or filter at all are claims of their own, with runs of their own.
APART = (("dropout", 0.0), ("grokfast_lambda", 0.0))


class Curve(NamedTuple):
    """How one training came along: epochs recorded, and mean validation accuracy there."""

    epochs: Int[np.ndarray, " ticks"]
    accuracy: Float[np.ndarray, " ticks"]

    @classmethod
    def of(cls, run: Run) -> "Curve":
        """Return the curve of a run."""
        accuracy = run.metrics.split("accuracy", "validation")
        return cls(run.metrics["epoch"], accuracy.mean(axis=1))

    def reached(self, level: float) -> float:
        """Return the first epoch at which the mean had a level; `NEVER` for not at all."""
        found = first_epoch(self.epochs, self.accuracy, level)
        return NEVER if found is None else float(found)


def read_results(name: str, parse: Callable[[Row], T]) -> list[T]:
    """Read a file of stored results: a JSON list, or one JSON object a line.

    Args:
        name: Name of the file. Where it is not, as outside the book, there are no results.
        parse: Function from one object to one result.

    Raises:
        RunError: if the file cannot be read; names it.
    """
    root = shipped_root()
    path = root.parent / "results" / name if root else None
    if path is None or not path.is_file():
        return []
    try:
        text = path.read_text("utf-8")
        rows = json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines())
        return [parse(row) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error


def config_of(row: Row) -> Config:
    """Return the configuration that a row of results holds."""
    return Config.from_json(json.dumps(row["config"]))


def curve_of(row: Row) -> Curve:
    """Return how the training of a row came along."""
    epochs, _, accuracy, *_ = zip(*row["curve"], strict=True)
    return Curve(np.array(epochs, int), np.array(accuracy, float))


class Neighbour(NamedTuple):
    """A training that has another value in one field, with its seed and curve."""

    field: str
    value: Any
    seed: int
    curve: Curve


def neighbour_steps(config: Config) -> dict[tuple[str, Any], Config]:
    """Return the neighbours of a configuration by field and value, but for those in `APART`."""
    found = neighbours(config, TABLE_1)
    return {step: one for step, one in found.items() if step not in APART}


def stored_neighbours(config: Config) -> list[Neighbour]:
    """Return the stored neighbours of a configuration, of whatever seed."""
    seed = config.train.seed
    steps = {one.replace(**RECORDING): step for step, one in neighbour_steps(config).items()}

    def parse(row: Row) -> Neighbour | None:
        own = config_of(row)
        step = steps.get(own.replace(seed=seed))
        return Neighbour(*step, own.train.seed, curve_of(row)) if step else None

    return [one for one in read_results(NEIGHBOURS, parse) if one]


class Training(NamedTuple):
    """When one training learned its tasks: the epoch of each, infinite for never, and the last."""

    p: int
    seed: int
    learned: Float[np.ndarray, " tasks"]
    last: int


class Base(NamedTuple):
    """What trainings in one base say: how many, the median of each epoch, and the latest end."""

    seeds: int
    learned: Float[np.ndarray, " tasks"]
    last: int


def trainings_of(runs: Sequence[Run]) -> list[Training]:
    """Return the trainings of one recipe, by p and seed: runs of T_miiii, and what is stored.

    A recipe is all but base, seed, length and what is recorded on the way. Of the recipes that
    the runs have it is the one with the most bases. A run counts before what is stored of its
    base and seed.
    """
    return _fullest(runs)[1]


def renamed_of(runs: Sequence[Run]) -> list[Training]:
    """Return the stored trainings of that recipe with the tokens of one digit renamed."""
    recipe, _ = _fullest(runs)
    return _alike(recipe, read_results(RENAMED, _training)) if recipe else []


def by_base(trainings: Iterable[Training]) -> dict[int, Base]:
    """Put the seeds of each base together, smallest base first."""
    several: dict[int, list[Training]] = {}
    for one in sorted(trainings, key=lambda one: one.p):
        several.setdefault(one.p, []).append(one)
    medians = {p: np.median([one.learned for one in each], axis=0) for p, each in several.items()}
    return {p: Base(len(own), medians[p], max(x.last for x in own)) for p, own in several.items()}


def _fullest(runs: Sequence[Run]) -> tuple[Config | None, list[Training]]:
    """Return the recipe with the most bases, and its trainings; None if there are no runs."""
    stored = read_results(BASES, _training)
    own = [
        (run.config, Training(run.task.p, run.config.train.seed, run.learned_at(), run.epoch))
        for run in runs
    ]
    found = [(recipe, _alike(recipe, [*stored, *own])) for recipe, _ in own]
    return max(found, key=lambda each: len({one.p for one in each[1]}), default=(None, []))


def _alike(recipe: Config, trainings: Sequence[tuple[Config, Training]]) -> list[Training]:
    """Return the trainings of one recipe; later ones take the place of earlier ones."""
    chosen = {
        (one.p, one.seed): one
        for config, one in trainings
        if all(field in FREE for field, _, _ in differences(config, recipe))
    }
    return [chosen[place] for place in sorted(chosen)]


def _training(row: Row) -> tuple[Config, Training]:
    config = config_of(row)
    learned = np.array([NEVER if epoch is None else epoch for epoch in row["learned"]], float)
    if len(learned) != len(primes_below(config.task.p)):
        raise ValueError(f"{len(learned)} tasks at p = {config.task.p}")
    return config, Training(config.task.p, config.train.seed, learned, int(row["last"]))
