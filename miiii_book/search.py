"""Hyperparameter search by Optuna: a study that stops, goes on, and is shared by machines.

Each trial trains one configuration and reports its validation loss at every record; after a
quarter of its epochs a trial that does worse than the median of its elders is pruned. Everything
that a study knows lies in its storage.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState
from sqlalchemy import URL
from tqdm import tqdm

from miiii_core.config import Config, fields
from miiii_core.runs import RunError, runs_root
from miiii_core.train import TRAINING_VERSION, TrainingDiverged, fit, initial_state, task_of

from .spaces import RECORDING, Space

PATIENCE = 0.25  # share of its epochs that every trial is given: early losses tell little
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Result(NamedTuple):
    """One trial: what was tried, how it went, and how far it was trained.

    The loss is the weighted validation loss at the last record, 1 for an even guess; the accuracy
    the mean on validation inputs. A pruned trial was behind, or diverged.
    """

    number: int
    parameters: dict[str, Any]
    loss: float
    accuracy: float
    epoch: int
    pruned: bool


def search(
    base: Config, space: Space, n_trials: int, *, name: str | None = None,
    storage: str | None = None, seed: int = 0, progress: bool = True,
) -> optuna.Study:  # fmt: skip
    """Run trials until a study has so many, those of earlier calls and other machines included.

    A trial that repeats an earlier one is answered from it. One that is interrupted is given back
    as failed, and a later search tries another in its place.

    Args:
        base: The experiment; every trial changes the fields of the space, and no other.
        space: Values to choose from, by field.
        n_trials: Number of trials that the study shall have, completed or pruned.
        name: Name of the study in its storage; made from what is searched if not given.
        storage: Any URL that Optuna takes; a SQLite file among the runs if not given.
        seed: Seed of the sampler.
        progress: Whether to show a bar.
    """
    known = sorted(set(fields()) - set(RECORDING))
    for field, values in space.items():
        if field not in known:
            raise ValueError(f"{field} cannot be searched; fields that can are {', '.join(known)}")
        if not values or not all(isinstance(value, int | float | str) for value in values):
            raise ValueError(f"{field} has the values {list(values)}; give numbers or names")
    if n_trials < 1:
        raise ValueError(f"n_trials={n_trials} will not do; give at least 1")
    study = open_study(base, space, name, open_storage(storage), seed)
    with tqdm(total=n_trials, unit="trial", disable=not progress) as bar:
        while (done := len(results(study))) < n_trials:
            bar.update(done - bar.n)
            trial = study.ask()
            try:
                _answer(study, trial, base, space)
            except BaseException:
                study.tell(trial, state=TrialState.FAIL)
                raise
            jax.clear_caches()  # hundreds of programs would use up what Linux lets a process map
        bar.update(n_trials - bar.n)
    return study


def open_storage(url: str | BaseStorage | None = None) -> BaseStorage:
    """Return the storage of any URL that Optuna takes; a SQLite file among the runs if not given.

    RunError if it cannot be opened.
    """
    if url is None:
        runs_root().mkdir(parents=True, exist_ok=True)
        usual = URL.create("sqlite", database=str(runs_root() / "searches.db"))
        url = usual.render_as_string()
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # each database has errors of its own
        raise RunError(
            f"the storage {url} cannot be used: {str(error).splitlines()[0]}; "
            "give an Optuna storage URL, such as sqlite:///search.db"
        ) from error


def open_study(
    base: Config, space: Space, name: str | None = None, storage: BaseStorage | None = None,
    seed: int = 0,
) -> optuna.Study:  # fmt: skip
    """Return the study of a configuration and a space, new or as it was left.

    Its name, the task's by default, is followed by a digest of both and of the training version.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name, where = study_name(base, space, name), storage or open_storage()
    study = optuna.create_study(storage=where, study_name=name, load_if_exists=True)
    before = len(study.get_trials(deepcopy=False))
    # A sampler that began anew would ask its first questions again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + before, constant_liar=True)
    patience = round(PATIENCE * base.train.epochs)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=patience)
    return study


def study_name(base: Config, space: Space, name: str | None = None) -> str:
    """Return a name, the task's by default, with a digest of what is asked."""
    question = json.dumps([base.digest, TRAINING_VERSION, dict(space)])
    return f"{name or base.task.name}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"


def results(study: optuna.Study) -> list[Result]:
    """Return what a study has found so far, best first; pruned trials after completed ones."""
    found = [
        Result._make((one.number, one.params, *one.user_attrs["scores"], one.state == DONE[1]))
        for one in study.get_trials(deepcopy=False, states=DONE)
    ]
    return sorted(found, key=lambda result: (result.pruned, result.loss))


def distinct(found: Sequence[Result]) -> list[Result]:
    """Return the results without those that repeat the parameters of an earlier one."""
    seen = {json.dumps(result.parameters): result for result in reversed(found)}
    return sorted(seen.values(), key=found.index)


def _answer(study: optuna.Study, trial: Trial, base: Config, space: Space) -> None:
    """Train what a trial asks for, unless an earlier one did, and tell the study."""
    chosen = {n: trial.suggest_categorical(n, values) for n, values in space.items()}
    twin = next((one for one in results(study) if one.parameters == chosen), None)
    found = twin or _train(trial, base.replace(**chosen, **RECORDING))
    trial.set_user_attr("scores", [found.loss, found.accuracy, found.epoch])
    pruned = {"state": TrialState.PRUNED} if found.pruned else {"values": found.loss}
    study.tell(trial, **pruned)


def _train(trial: Trial, config: Config) -> Result:
    """Train until the end, or until the trial is behind its elders or has diverged."""
    task, found = task_of(config), (np.inf, 0.0, 0)
    try:
        for now in fit(config, task, initial_state(config, task)):
            if now.metrics is None:
                continue
            loss = float(now.metrics["loss"][1] @ task.loss_weights)
            found = (loss, float(now.metrics["accuracy"][1].mean()), now.epoch)
            if not np.isfinite(loss):
                break
            trial.report(loss, now.epoch)
            if now.last:
                return Result(trial.number, trial.params, *found, False)
            if trial.should_prune():
                return Result(trial.number, trial.params, *found, True)
    except TrainingDiverged:
        pass
    return Result(trial.number, trial.params, np.inf, *found[1:], True)
