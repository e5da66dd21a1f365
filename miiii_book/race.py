"""A race of recipes: who makes small networks generalise soonest, once each has been tuned?

Every entrant searches its hyperparameters on one course with the same number of trials, from one
seed; then its best setting trains from fresh seeds, and these are compared. The numbers of every
training lie in an Optuna storage, so that a race stops, goes on, and is shared by machines.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from miiii_core.config import Config
from miiii_core.losses import MASTERED, NEVER
from miiii_core.presets import preset
from miiii_core.runs import runs_root, shipped_root
from miiii_core.train import TrainingDiverged, fit, initial_state, task_of

from .search import open_storage, open_study, study_name
from .spaces import RECORDING, Space

FILE = "race.log"
LEVELS = (0.5, 0.9, MASTERED)  # of the mean validation accuracy
_SHORT: dict[str, Any] = {**RECORDING, "eval_every": 16, "evals_per_octave": 1}
COURSES: dict[str, Config] = {
    "miiii": preset("miiii-small").replace(d_model=64, epochs=4096, **_SHORT),
    "nanda": preset("nanda-small").replace(epochs=2048, **_SHORT),
    "small": preset("miiii-small").replace(p=13, d_model=32, epochs=1024, **_SHORT),
}
COMMON: Space = {
    "learning_rate": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "weight_decay": (0.0, 0.1, 0.3, 1.0, 3.0),
    "dropout": (0.0, 0.1, 0.2),
    "dropout_mask": ("shared", "sample"),
    "warmup": (0, 100),
}
FILTERS: Space = {"grokfast_lambda": (0.0, 0.5, 2.0, 5.0)}


@dataclass(frozen=True)
class Entrant:
    """A recipe: the fields that make it, and the values that it may choose from in others."""

    name: str
    fixed: dict[str, Any]
    own: Space

    @property
    def space(self) -> Space:
        """All values that it may choose from, by field."""
        return {**COMMON, **self.own}


def _filtered(update: str, **fixed: Any) -> tuple[dict[str, Any], Space]:
    return {"update": update, "grokfast": "ema", **fixed}, FILTERS


CLIPPED = tuple(f"miiii_book.entrants:{n}" for n in ("clipped", "clipped_at_1", "clipped_at_4"))
_SLOW: Space = {"grokfast_lambda": (0.5, 2.0, 5.0)}
ENTRANTS: dict[str, Entrant] = {
    name: Entrant(name, fixed, own)
    for name, (fixed, own) in {
        "AdamW": ({"grokfast": "none"}, {}),
        "Grokfast EMA": ({"grokfast": "ema"}, _SLOW),
        "Grokfast MA": ({"grokfast": "ma"}, _SLOW),
        "⊥Grad": _filtered("miiii_book.entrants:orthogonal"),
        "clipped units": ({}, {**FILTERS, "update": CLIPPED}),
        "equal columns": _filtered("miiii_book.entrants:egalitarian"),
        "Muon": _filtered("muon"),
        "StableMax": _filtered("adamw", loss="stablemax"),
    }.items()
}


class Outcome(NamedTuple):
    """How one training went.

    Attributes:
        lost: Epochs lost: the sum over epochs of one less the mean validation accuracy.
        reached: First recorded epochs at which the mean had each of `LEVELS`, and at which every
            task had the last of them; `NEVER` for not at all.
        seconds: Time of one epoch.
        curve: Epochs, mean and least validation accuracy; of the search's trials the end alone.
    """

    lost: float
    reached: tuple[float, ...]
    seconds: float
    curve: tuple[tuple[float, ...], ...]


class Place(NamedTuple):
    """Where an entrant ended on a course: its best setting, and how fresh seeds did with it."""

    entrant: str
    setting: dict[str, Any]
    trials: int
    outcomes: dict[int, Outcome]  #: By seed
    state: float  #: Numbers that the optimiser keeps for each weight

    @property
    def lost(self) -> float:
        """Median over the seeds of the epochs lost."""
        return float(np.median([one.lost for one in self.outcomes.values()]))


def entrant_of(path: str) -> Entrant:
    """Return the entrant ``module:function``, somebody's own update rule, as `optim` calls it."""
    return Entrant(path, *_filtered(path))


def race(
    course: Config, entrants: Iterable[Entrant], *, n_trials: int, seeds: Sequence[int],
    storage: str | BaseStorage | None = None, progress: bool = True,
) -> list[Place]:  # fmt: skip
    """Train what is not stored yet, and return the entrants by how soon they were.

    Args:
        course: Task, size and length; its seed is the one that settings are searched with.
        entrants: Who takes part.
        n_trials: Number of settings that each may try.
        seeds: Seeds of the trainings that decide, other than the course's.
        storage: Any URL that Optuna takes. If it is not given, what comes with the book is read,
            and what that lacks is trained and kept in a file among the runs.
        progress: Whether to show a bar.

    Returns:
        The places, least median of epochs lost first.
    """
    if n_trials < 1 or not seeds or course.train.seed in seeds:
        raise ValueError(
            f"n_trials={n_trials}, seeds={list(seeds)} will not do; give at least one trial, and "
            f"seeds other than {course.train.seed}, with which settings are searched"
        )
    found, missing = [], []
    for entrant in entrants:
        place = _shipped(course, entrant) if storage is None else None
        if place and place.trials >= n_trials and set(seeds) <= set(place.outcomes):
            found.append(place)
        else:
            missing.append(entrant)
    if missing:
        where, total = _storage(storage), len(missing) * (n_trials + len(seeds))
        with tqdm(total=total, unit="training", smoothing=0.05, disable=not progress) as bar:
            found += [_enter(course, one, n_trials, seeds, where, bar) for one in missing]
    return sorted(found, key=lambda place: place.lost)


def run(config: Config, whole: bool = True) -> Outcome:
    """Train until every task has `MASTERED`, or to the end; one that diverges has learned nothing.

    Args:
        config: The experiment.
        whole: Whether to return the whole curve.
    """
    task, curve, began = task_of(config), [(0, 0.0, 0.0)], 0.0
    try:
        for now in fit(config, task, initial_state(config, task)):
            began = began or time.perf_counter()  # compiled by now
            if now.metrics is not None:
                accuracy = now.metrics["accuracy"][1]
                curve.append((now.epoch, round(float(accuracy.mean()), 4), float(accuracy.min())))
                if accuracy.min() >= MASTERED:
                    break
    except TrainingDiverged:
        curve = [(0, 0.0, 0.0)]
    jax.clear_caches()  # hundreds of programs would use up what Linux lets a process map
    epochs, mean, least = np.array(curve).T
    lost = float(np.diff(epochs, append=config.train.epochs) @ (1 - mean))
    levels = [mean >= level for level in LEVELS] + [least >= MASTERED]
    reached = tuple(float(epochs[each.argmax()]) if each.any() else NEVER for each in levels)
    seconds = (time.perf_counter() - began) / max(1.0, epochs[-1])
    return Outcome(lost, reached, seconds, tuple(curve if whole else curve[-1:]))


def table(found: Iterable[Place]) -> list[list[str]]:
    """Return rows of text: each entrant's medians over the seeds, with least and most."""
    heads = (f"mean {LEVELS[0]:g}", f"{LEVELS[1]:g}", f"{LEVELS[2]:g}", f"every task {MASTERED:g}")
    rows = [["entrant", *heads, "epochs lost", "ms an epoch", "state per weight", "setting"]]
    for place in found:
        every = np.array([one.reached for one in place.outcomes.values()])
        lost = np.array([one.lost for one in place.outcomes.values()])
        fastest = min(one.seconds for one in place.outcomes.values())
        setting = ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in place.setting.items())
        rows.append([place.entrant, *map(_spread, every.T), _spread(lost), f"{1e3 * fastest:.1f}",
                     f"{place.state:.1f}", setting])  # fmt: skip
    return rows


def _spread(epochs: np.ndarray) -> str:
    """Show a median with least and most; and of how many, where some never got there."""
    there = int(np.isfinite(epochs).sum())
    if not there:
        return f"never in {len(epochs)}"
    low, middle, high = (
        "never" if np.isinf(epoch) else f"{epoch:,.0f}"
        for epoch in (epochs.min(), np.median(epochs), epochs.max())
    )
    return f"{middle} ({low} to {high})"


def _enter(
    course: Config,
    entrant: Entrant,
    n_trials: int,
    seeds: Sequence[int],
    where: BaseStorage,
    bar: tqdm,
) -> Place:
    """Let an entrant run its course, as far as that is not stored."""
    bar.set_postfix_str(entrant.name)
    base, (search, final) = course.replace(**entrant.fixed), _studies(course, entrant, where)
    bar.update(min(n_trials, len(_done(search))))
    while len(_done(search)) < n_trials:
        trial = search.ask()
        chosen = {n: trial.suggest_categorical(n, v) for n, v in entrant.space.items()}
        twin = next((t for t in _done(search) if t.params == chosen), None)
        _tell(search, trial, _outcome(twin) if twin else run(base.replace(**chosen), whole=False))
        bar.update()
    setting = _place(course, entrant, search, final).setting
    while missing := _missing(final, setting, seeds):
        final.enqueue_trial({"seed": missing[0], **setting})
        trial = final.ask()
        chosen = {n: trial.suggest_categorical(n, v) for n, v in entrant.space.items()}
        seed = trial.suggest_int("seed", 0, 2**31 - 1)
        _tell(final, trial, run(base.replace(**chosen, seed=seed)))
    bar.update(len(seeds))
    return _place(course, entrant, search, final)


def _place(course: Config, entrant: Entrant, search: optuna.Study, final: optuna.Study) -> Place:
    trials = sorted(_done(search), key=lambda trial: trial.value or 0.0)
    setting = trials[0].params if trials else {}
    outcomes = {
        trial.params["seed"]: _outcome(trial)
        for trial in _done(final)
        if trial.params == {**setting, "seed": trial.params["seed"]}
    }
    config = course.replace(**entrant.fixed, **setting)
    state = eqx.filter_eval_shape(initial_state, config, task_of(config))
    kept, weights = (
        sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state.opt_state, state.model)
    )
    return Place(entrant.name, setting, len(trials), dict(sorted(outcomes.items())), kept / weights)


def _studies(course: Config, entrant: Entrant, where: BaseStorage) -> list[optuna.Study]:
    """Return an entrant's search on a course, and the trainings of its best setting by seed."""
    base = course.replace(**entrant.fixed)
    names = (f"race-{entrant.name}", f"seeds-{entrant.name}")
    return [open_study(base, entrant.space, name, where) for name in names]


def _shipped(course: Config, entrant: Entrant) -> Place | None:
    """Return what comes with the book, which is only read; None if that has nothing of it."""
    root = shipped_root()
    path = root.parent / "results" / FILE if root else None
    if path is None or not path.is_file():
        return None
    where = _journal(path, path.stat().st_mtime_ns)
    known = {study.study_name for study in where.get_all_studies()}
    base = course.replace(**entrant.fixed)
    names = [study_name(base, entrant.space, f"{k}-{entrant.name}") for k in ("race", "seeds")]
    if not set(names) <= known:
        return None
    return _place(course, entrant, *(optuna.load_study(study_name=n, storage=where) for n in names))


@cache  # a file of a thousand trials takes a while to read
def _journal(path: Path, _: int) -> BaseStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def _storage(url: str | BaseStorage | None) -> BaseStorage:
    """Return the storage of a URL, or of our own file."""
    if url is not None:
        return open_storage(url)
    runs_root().mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(runs_root() / FILE)))


def _done(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def _missing(study: optuna.Study, setting: dict[str, Any], seeds: Sequence[int]) -> list[int]:
    """Return seeds without an outcome; first those that nobody seems to be at."""
    done, going = (
        {t.params.get("seed") for t in study.get_trials(deepcopy=False, states=[state])
         if setting.items() <= t.params.items()}
        for state in (TrialState.COMPLETE, TrialState.RUNNING)
    )  # fmt: skip
    return sorted((seed for seed in seeds if seed not in done), key=lambda seed: seed in going)


def _tell(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> None:
    reached = [None if epoch == NEVER else epoch for epoch in outcome.reached]  # JSON has no inf
    trial.set_user_attr("outcome", [outcome.lost, reached, outcome.seconds, outcome.curve])
    study.tell(trial, outcome.lost)


def _outcome(trial: FrozenTrial) -> Outcome:
    lost, reached, seconds, curve = trial.user_attrs["outcome"]
    levels = tuple(NEVER if epoch is None else epoch for epoch in reached)
    return Outcome(lost, levels, seconds, tuple(map(tuple, curve)))
