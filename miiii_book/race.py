"""A race of recipes: who makes small networks generalise soonest, once each has been tuned?

Every entrant searches its hyperparameters on one course with the same number of trials, from one
seed; then its best setting trains from fresh seeds, and these are compared.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState
from tqdm import tqdm

from miiii_core.config import Config
from miiii_core.losses import MASTERED, NEVER, first_epoch
from miiii_core.model import numerics
from miiii_core.presets import preset
from miiii_core.runs import runs_root, shipped_root
from miiii_core.train import Problem, TrainingDiverged, advance, fit, initial_state, task_of

from .search import choose, finished, open_storage, open_study, search, study_name
from .spaces import RECORDING, Space

FILE = "race.log"
LEVELS = (0.5, 0.9, MASTERED)  # of the mean validation accuracy
_SHORT: dict[str, Any] = {**RECORDING, "eval_every": 16, "evals_per_octave": 1}
COURSES: dict[str, Config] = {
    "miiii": preset("miiii-small").replace(d_model=64, epochs=4096, **_SHORT),
    "nanda": preset("nanda-small").replace(epochs=2048, **_SHORT),
    "small": preset("miiii-small").replace(p=13, d_model=32, epochs=1024, **_SHORT),
}
COMMON: dict[str, tuple[Any, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "weight_decay": (0.0, 0.1, 0.3, 1.0, 3.0),
    "dropout": (0.0, 0.1, 0.2),
    "dropout_mask": ("shared", "sample"),
    "warmup": (0, 100),
}
FILTERED = COMMON | {"grokfast_lambda": (0.0, 0.5, 2.0, 5.0)}
_SLOW = COMMON | {"grokfast_lambda": (0.5, 2.0, 5.0)}
_CLIPPED = tuple(f"miiii_book.entrants:{n}" for n in ("clipped", "clipped_at_1", "clipped_at_4"))


class Entrant(NamedTuple):
    """A recipe: the fields that make it, and the values that it may choose from, by field."""

    name: str
    fixed: dict[str, Any]
    space: Space


def entrant_of(update: str, name: str | None = None, **fixed: Any) -> Entrant:
    """Return the entrant with an update rule, such as your ``module:function``, and a filter."""
    return Entrant(name or update, {"update": update, "grokfast": "ema", **fixed}, FILTERED)


ENTRANTS: dict[str, Entrant] = {
    entrant.name: entrant
    for entrant in (
        Entrant("AdamW", {"grokfast": "none"}, COMMON),
        Entrant("Grokfast EMA", {"grokfast": "ema"}, _SLOW),
        Entrant("Grokfast MA", {"grokfast": "ma"}, _SLOW),
        entrant_of("miiii_book.entrants:orthogonal", "⊥Grad"),
        Entrant("clipped units", {}, FILTERED | {"update": _CLIPPED}),
        entrant_of("miiii_book.entrants:egalitarian", "equal columns"),
        entrant_of("muon", "Muon"),
        entrant_of("adamw", "StableMax", loss="stablemax"),
    )
}


class Outcome(NamedTuple):
    """How one training went."""

    lost: float  #: Epochs lost: the sum over epochs of one less the mean validation accuracy
    #: First recorded epochs at which the mean had each of `LEVELS`, and at which every task had
    #: the last of them; `NEVER` for not at all
    reached: tuple[float, ...]


class Place(NamedTuple):
    """Where an entrant ended on a course: its best setting, and how fresh seeds did with it."""

    entrant: str
    setting: dict[str, Any]
    n_trials: int  #: Trials of its search, in which a setting may come twice
    outcomes: dict[int, Outcome]  #: By seed
    seconds: float  #: Time of an epoch, by `pace`; not a number: not taken
    state: float  #: Numbers that the optimiser keeps for each weight

    @property
    def lost(self) -> float:
        """Median over the seeds of the epochs lost."""
        return float(np.median([one.lost for one in self.outcomes.values()]))


def race(
    course: Config, entrants: Collection[Entrant], *, n_trials: int, seeds: Sequence[int],
    storage: str | BaseStorage | None = None, progress: bool = True,
) -> list[Place]:  # fmt: skip
    """Train what is not stored yet; return who came where, least median of epochs lost first.

    Settings are searched with the course's own seed; others decide. The storage is any URL that
    Optuna takes. If it is not given, what comes with the book is read, and what that lacks is
    trained and kept in a file among the runs.
    """
    root, stored = shipped_root(), []
    if storage is None and root and (path := root.parent / "results" / FILE).is_file():
        shipped = _journal(path)
        for entrant in entrants:
            with suppress(KeyError, ValueError):  # no such study, or no trial in it
                stored.append(_place(course, entrant, shipped))
    found = [one for one in stored if one.n_trials >= n_trials and set(seeds) <= set(one.outcomes)]
    known = [place.entrant for place in found]
    if missing := [entrant for entrant in entrants if entrant.name not in known]:
        where = open_storage(_journal(runs_root() / FILE) if storage is None else storage)
        for entrant in tqdm(missing, unit="entrant", disable=not progress):
            _enter(course, entrant, n_trials, seeds, where, progress)
            found.append(_place(course, entrant, where))
    return sorted(found, key=lambda place: place.lost)


def run(config: Config) -> Outcome:
    """Train until every task has `MASTERED`, or to the end; what diverges has learned nothing."""
    task, curve = task_of(config), [(0, 0.0, 0.0)]
    try:
        for now in fit(config, task, initial_state(config, task)):
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
    goals = [*((mean, level) for level in LEVELS), (least, MASTERED)]
    return Outcome(lost, tuple(first_epoch(epochs.astype(int), own, level) for own, level in goals))


def pace(config: Config) -> float:
    """Return the seconds that an epoch takes once it is compiled, the least of five chunks."""
    task, taken = task_of(config), []
    problem, state = Problem.of(config, task), initial_state(config, task)
    with numerics(config.model):
        for epochs in (1, *[64] * 5):
            began = time.perf_counter()
            state, loss = jax.block_until_ready(advance(problem, state, jax.numpy.int32(epochs)))
            taken.append((time.perf_counter() - began) / epochs)
    return min(taken[1:])


def table(found: Iterable[Place]) -> list[list[str]]:
    """Return rows of text: each entrant's medians over the seeds, with least and most."""
    heads = (f"mean {LEVELS[0]:g}", f"{LEVELS[1]:g}", f"{LEVELS[2]:g}", f"every task {MASTERED:g}")
    others = ("epochs lost", "ms an epoch", "state per weight", "trials", "setting")
    rows = [["entrant", *heads, *others]]
    for place in found:
        lost, reached = map(np.array, zip(*place.outcomes.values(), strict=True))
        setting = ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in place.setting.items())
        cost = [f"{1e3 * place.seconds:.1f}", f"{place.state:.1f}", str(place.n_trials)]
        rows.append([place.entrant, *map(_spread, reached.T), _spread(lost), *cost, setting])
    return rows


def _spread(epochs: np.ndarray) -> str:
    """Show a median with least and most; and of how many, where none ever got there."""
    if np.isinf(epochs).all():
        return f"never in {len(epochs)}"
    shown = f"{np.median(epochs):,.0f} ({epochs.min():,.0f} to {epochs.max():,.0f})"
    return shown.replace("inf", "never")


def _enter(
    course: Config, entrant: Entrant, n_trials: int, seeds: Sequence[int], where: BaseStorage,
    progress: bool,
) -> None:  # fmt: skip
    """Let an entrant run its course, as far as that is not stored."""
    base, space = course.replace(**entrant.fixed), entrant.space
    tuned = search(base, space, n_trials, name=f"race-{entrant.name}", storage=where,
                   progress=progress, train=_train)  # fmt: skip
    final = open_study(base, space, f"seeds-{entrant.name}", where)

    def train_again(trial: Trial) -> float:
        seed = trial.suggest_int("seed", 0, 2**31 - 1)
        return _train(base.replace(**choose(trial, space), seed=seed), trial)

    while missing := _missing(final, tuned.best_params, seeds):
        final.enqueue_trial({"seed": missing[0], **tuned.best_params})
        final.optimize(train_again, n_trials=1)
    final.set_user_attr("seconds", pace(base.replace(**tuned.best_params)))


def _train(config: Config, trial: Trial) -> float:
    """Return the epochs lost by a trial's configuration, and keep with it how that went."""
    lost, reached = run(config)
    levels = [None if epoch == NEVER else epoch for epoch in reached]  # JSON has no infinity
    trial.set_user_attr("outcome", [lost, levels])
    return lost


def _place(course: Config, entrant: Entrant, storage: BaseStorage) -> Place:
    """Return where an entrant ended by what is stored, which is only read; KeyError if nothing."""
    base = course.replace(**entrant.fixed)
    names = [study_name(base, entrant.space, f"{k}-{entrant.name}") for k in ("race", "seeds")]
    tuned, final = (optuna.load_study(study_name=name, storage=storage) for name in names)
    config = base.replace(**tuned.best_params)
    state = eqx.filter_eval_shape(initial_state, config, task_of(config))
    kept, weights = (
        sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state.opt_state, state.model)
    )
    outcomes, seconds = _outcomes(final, tuned.best_params), final.user_attrs.get("seconds", np.nan)
    n = len(finished(tuned))
    return Place(entrant.name, tuned.best_params, n, outcomes, seconds, kept / weights)


def _outcomes(final: optuna.Study, setting: dict[str, Any]) -> dict[int, Outcome]:
    """Return how trainings of a setting went, by seed."""
    found = {}
    for trial in finished(final):
        if setting.items() <= trial.params.items():
            lost, reached, *_ = trial.user_attrs["outcome"]
            levels = tuple(NEVER if epoch is None else epoch for epoch in reached)
            found[trial.params["seed"]] = Outcome(lost, levels)
    return dict(sorted(found.items()))


def _missing(final: optuna.Study, setting: dict[str, Any], seeds: Sequence[int]) -> list[int]:
    """Return seeds without an outcome; first those that nobody seems to be at."""
    running = final.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    going = {trial.params.get("seed") for trial in running}
    missing = set(seeds) - set(_outcomes(final, setting))
    return sorted(missing, key=lambda seed: (seed in going, seed))


def _journal(path: Path) -> BaseStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))
