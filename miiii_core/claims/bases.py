"""When each task was learned in other bases: by runs, and by trainings stored with the book."""

import json
from collections.abc import Sequence
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
RECORDED = (
    "probes", "n_snapshots", "settled_share", "eval_every", "evals_per_octave", "wide_per_octave",
)  # fmt: skip
FREE = ("p", "seed", "epochs", *RECORDED)  # in which trainings of one recipe may differ


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


class _Training(NamedTuple):
    p: int
    seed: int
    learned: Float[np.ndarray, " tasks"]
    last: int


def bases_of(runs: Sequence[Run], path: Path | None = None) -> dict[int, Base]:
    """The bases of a recipe, smallest first, by runs and by what is stored of the same recipe.

    A recipe is all but base, seed, length and what is recorded on the way. Of the recipes that
    runs have it is the one with the most bases, of one base and seed a run before what is stored.

    Args:
        runs: Of T_miiii.
        path: Another file than the book's.

    Raises:
        RunError: if the file is damaged.
    """
    stored = read_results(path or find_results(FILE), _parse)
    given = [(run.config, _of_run(run)) for run in runs]
    found = [_alike(recipe, [*stored, *given]) for recipe, _ in given]
    return max(found, key=len, default={})


def _alike(recipe: Config, trainings: Sequence[tuple[Config, _Training]]) -> dict[int, Base]:
    """The bases of the trainings of one recipe; later ones take the place of earlier ones."""
    chosen = {
        (one.p, one.seed): one for config, one in trainings if same_recipe(config, recipe, FREE)
    }
    found: dict[int, Base] = {}
    for p in sorted({p for p, _ in chosen}):
        several = [one for one in chosen.values() if one.p == p]
        middle = np.median([one.learned for one in several], axis=0)
        found[p] = Base(len(several), middle, max(one.last for one in several))
    return found


def _of_run(run: Run) -> _Training:
    return _Training(run.task.p, run.config.train.seed, generalised_at(run), run.epoch)


def _parse(path: Path) -> list[tuple[Config, _Training]]:
    found = []
    for row in read_lines(path):
        config = Config.from_json(json.dumps(row["config"]))
        p, seed = config.task.p, config.train.seed
        learned = np.array([NEVER if epoch is None else epoch for epoch in row["learned"]], float)
        if len(learned) != len(primes_below(p)):
            raise ValueError(f"{len(learned)} tasks at p = {p}")
        found.append((config, _Training(p, seed, learned, row["last"])))
    return found
