"""Results of trainings whose weights do not travel with the book, one training a line.

``benchmarks/trainings.py`` writes them into ``book/results``.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from miiii_core.config import Config, differences
from miiii_core.losses import NEVER, first_epoch
from miiii_core.runs import Run, RunError, shipped_root

from .spaces import RECORDING, neighbours

T = TypeVar("T")
Row = Mapping[str, Any]
# Fields in which trainings of one recipe may differ: size, seed, length, and what is recorded.
FREE = ("p", "seed", "epochs", "settled_share", "eval_every", *RECORDING)


class Curve(NamedTuple):
    """How one training came along on unseen inputs."""

    epochs: Int[np.ndarray, " ticks"]  #: Epochs recorded
    accuracy: Float[np.ndarray, " ticks"]  #: Validation accuracy there, mean over tasks
    least: Float[np.ndarray, " ticks"]  #: That of the weakest task; not a number: unknown
    ends: Float[np.ndarray, " tasks"] = np.zeros(0)  #: That of each task at the end; or none

    @classmethod
    def of(cls, run: Run) -> "Curve":
        """Return the curve of a run."""
        accuracy = run.metrics.split("accuracy", "validation")
        return cls(run.metrics["epoch"], accuracy.mean(axis=1), accuracy.min(axis=1), accuracy[-1])

    def reached(self, level: float) -> float:
        """Return the first epoch at which the mean had a level; `NEVER` for not at all."""
        return first_epoch(self.epochs, self.accuracy, level)


def read_results(name: str, parse: Callable[[Row], T]) -> list[T]:
    """Return the parsed lines of a file of results, none outside the book; RunError if damaged."""
    root = shipped_root()
    if root is None or not (path := root.parent / "results" / name).is_file():
        return []
    try:
        return [parse(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error


def config_of(row: Row) -> Config:
    """Return the configuration that a row of results holds."""
    return Config.from_json(json.dumps(row["config"]))


def curve_of(row: Row) -> Curve:
    """Return how the training of a row came along."""
    epochs, _, accuracy, least, _ = zip(*row["curve"], strict=True)
    values = (np.array(of, float) for of in (accuracy, least, row.get("ends", ())))
    return Curve(np.array(epochs, int), *values)


def curves_of(run: Run, **changes: Any) -> dict[int, Curve]:
    """Return the known curves of a run's settings, or of these with changes, by seed."""
    first, wanted = run.config.train.seed, run.config.replace(**changes)
    found = read_results("curves.jsonl", lambda row: (config_of(row), curve_of(row)))
    alike = {own.train.seed: c for own, c in found if own.replace(seed=first) == wanted}
    return alike if changes else alike | {first: Curve.of(run)}


def stored_neighbours(config: Config) -> dict[tuple[str, Any], list[Curve]]:
    """Return the curves of stored neighbours, one for each seed, by the field and its value."""
    steps = {one.replace(**RECORDING): step for step, one in neighbours(config).items()}
    found: dict[tuple[str, Any], list[Curve]] = defaultdict(list)
    for own, curve in read_results("neighbours.jsonl", lambda row: (config_of(row), curve_of(row))):
        if step := steps.get(own.replace(seed=config.train.seed)):
            found[step].append(curve)
    return dict(found)


class Training(NamedTuple):
    """When a training learned its tasks; of several in one base the median, and the latest end."""

    learned: Float[np.ndarray, " tasks"]  #: Epoch of each task; infinite for never
    last: int  #: Epoch at which it ended


Trainings = Mapping[tuple[int, int], Training]  # by p and seed


def trainings_of(runs: Sequence[Run]) -> Trainings:
    """Return the trainings of one recipe: runs of T_miiii, and what is stored.

    A recipe is all but base, seed, length and what is recorded on the way: that of the run of the
    smallest base; shuffled labels have one of their own. A run counts before what is stored of it.
    """
    own = [(run.config, Training(run.learned_at(), run.epoch)) for run in runs]
    return _alike(runs, ("bases.jsonl", "shuffled.jsonl"), own)


def renamed_of(runs: Sequence[Run]) -> Trainings:
    """Return the stored trainings of that recipe with the tokens of one digit renamed."""
    return _alike(runs, ("renamed.jsonl", "shuffled-renamed.jsonl"))


def by_base(trainings: Trainings) -> dict[int, Training]:
    """Put the seeds of each base together, smallest base first."""
    found = {}
    for p in sorted({p for p, _ in trainings}):
        own = [one for (base, _), one in trainings.items() if base == p]
        median = np.median([one.learned for one in own], axis=0)
        found[p] = Training(median, max(one.last for one in own))
    return found


def _alike(
    runs: Sequence[Run], names: Sequence[str], own: Sequence[tuple[Config, Training]] = ()
) -> Trainings:
    """Return the trainings that files hold of a recipe, and its own, which come before these."""

    def parse(row: Row) -> tuple[Config, Training]:
        learned = [NEVER if epoch is None else epoch for epoch in row["learned"]]
        return config_of(row), Training(np.array(learned, float), int(row["last"]))

    recipe = min((run.config for run in runs), key=lambda config: config.task.p)
    stored = [one for name in names for one in read_results(name, parse)]
    return {
        (config.task.p, config.train.seed): one
        for config, one in [*stored, *own]  # of several of one base and seed the last counts
        if all(field in FREE for field, _, _ in differences(config, recipe))
    }
