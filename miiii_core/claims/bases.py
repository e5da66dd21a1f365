"""When each task was learned in other bases: by runs, and by trainings stored with the book."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..config import Config
from ..milestones import NEVER
from ..storage.results import find_results, read_lines, read_results, same_recipe
from ..storage.saved import Run
from ..tasks import primes_below
from .learning import generalised_at

FILE = "bases.jsonl"
RENAMED = "renamed.jsonl"  # the same with the tokens of one digit in random order
RECORDED = (
    "probes", "n_snapshots", "settled_share", "eval_every", "evals_per_octave", "wide_per_octave",
)  # fmt: skip
FREE = ("p", "seed", "epochs", *RECORDED)  # in which trainings of one recipe may differ


class Training(NamedTuple):
    """When one training learned its tasks.

    Attributes:
        p: Base of the digits.
        seed: Of the training.
        learned: Epoch at which each task generalised; infinite for never.
        last: Epoch at which it ended.
    """

    p: int
    seed: int
    learned: Float[np.ndarray, " tasks"]
    last: int


class Base(NamedTuple):
    """What the trainings in one base say.

    Attributes:
        seeds: How many trainings.
        learned: Median epoch at which each task generalised; infinite for never.
        last: The latest epoch at which one ended.
    """

    seeds: int
    learned: Float[np.ndarray, " tasks"]
    last: int


def trainings_of(runs: Sequence[Run], path: Path | None = None) -> list[Training]:
    """The trainings of a recipe, by p and seed: runs, and what is stored of the same recipe.

    A recipe is all but base, seed, length and what is recorded on the way. Of the recipes that
    runs have it is the one with the most bases, of one base and seed a run before what is stored.

    Args:
        runs: Of T_miiii.
        path: Another file than the book's.

    Raises:
        RunError: if the file is damaged.
    """
    return _fullest(runs, path)[1]


def renamed_of(runs: Sequence[Run], path: Path | None = None) -> list[Training]:
    """What is stored of trainings of that recipe with the tokens of one digit renamed.

    Args:
        runs: As in `trainings_of`.
        path: Another file than the book's.

    Raises:
        RunError: if a file is damaged.
    """
    recipe, _ = _fullest(runs)
    stored = read_results(path or find_results(RENAMED), _parse)
    return [] if recipe is None else _alike(recipe, stored)


def _fullest(runs: Sequence[Run], path: Path | None = None) -> tuple[Config | None, list[Training]]:
    """The recipe with the most bases, and its trainings; None if there are no runs."""
    stored = read_results(path or find_results(FILE), _parse)
    given = [(run.config, _of_run(run)) for run in runs]
    found = [(recipe, _alike(recipe, [*stored, *given])) for recipe, _ in given]
    return max(found, key=lambda each: len({one.p for one in each[1]}), default=(None, []))


def by_base(trainings: Iterable[Training]) -> dict[int, Base]:
    """The median over the seeds of each base, smallest base first."""
    several: dict[int, list[Training]] = {}
    for one in sorted(trainings, key=lambda one: one.p):
        several.setdefault(one.p, []).append(one)
    return {
        p: Base(
            len(each),
            np.median([one.learned for one in each], axis=0),
            max(one.last for one in each),
        )
        for p, each in several.items()
    }


def _alike(recipe: Config, trainings: Sequence[tuple[Config, Training]]) -> list[Training]:
    """The trainings of one recipe; later ones take the place of earlier ones."""
    alike = [one for config, one in trainings if same_recipe(config, recipe, FREE)]
    chosen = {(one.p, one.seed): one for one in alike}
    return [chosen[place] for place in sorted(chosen)]


def _of_run(run: Run) -> Training:
    return Training(run.task.p, run.config.train.seed, generalised_at(run), run.epoch)


def _parse(path: Path) -> list[tuple[Config, Training]]:
    found = []
    for row in read_lines(path):
        config = Config.from_json(json.dumps(row["config"]))
        p, seed = config.task.p, config.train.seed
        learned = np.array([NEVER if epoch is None else epoch for epoch in row["learned"]], float)
        if len(learned) != len(primes_below(p)):
            raise ValueError(f"{len(learned)} tasks at p = {p}")
        found.append((config, Training(p, seed, learned, row["last"])))
    return found
