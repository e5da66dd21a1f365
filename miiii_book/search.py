"""Hyperparameter search by Optuna: a study that stops, goes on, and is shared by machines.

After a quarter of its epochs a trial that does worse than the median of its elders is pruned.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL
from tqdm import tqdm

from miiii_core.config import Config, fields
from miiii_core.optim import rule_digest
from miiii_core.runs import RunError, runs_root
from miiii_core.train import TRAINING_VERSION, TrainingDiverged, fit, initial_state, task_of

from .spaces import RECORDING, Space

PATIENCE = 0.25  # share of its epochs that every trial is given: early losses tell little


def search(
    base: Config, space: Space, n_trials: int, *, name: str | None = None,
    storage: str | BaseStorage | None = None, seed: int = 0, progress: bool = True,
    train: Callable[[Config, Trial], float] | None = None,
) -> optuna.Study:  # fmt: skip
    """Run trials until a study has so many, those of earlier calls and other machines included.

    The study is that of `open_study`. A trial that repeats an earlier one is answered from it; in
    place of one that is interrupted a later search tries another. `train` returns what is to be
    small, by default the validation loss, and may raise `optuna.TrialPruned`.
    """
    known = sorted(set(fields()) - set(RECORDING))
    for field, values in space.items():
        if field not in known:
            raise ValueError(f"{field} cannot be searched; fields that can are {', '.join(known)}")
        if not values or not all(isinstance(value, int | float | str) for value in values):
            raise ValueError(f"{field} has the values {list(values)}; give numbers or names")
    study = open_study(base, space, name, storage, seed)

    def answer(trial: Trial) -> float:
        chosen = choose(trial, space)
        twin = next((one for one in finished(study) if one.params == chosen), None)
        if twin is None:
            return (train or _train)(base.replace(**chosen), trial)
        for attribute, value in twin.user_attrs.items():
            trial.set_user_attr(attribute, value)
        if twin.state == TrialState.PRUNED:
            raise optuna.TrialPruned
        return twin.values[0]

    with tqdm(total=n_trials, desc=name, unit="trial", disable=not progress) as bar:
        while (done := len(finished(study))) < n_trials:
            bar.update(done - bar.n)
            study.optimize(answer, n_trials=1)
        bar.update(n_trials - bar.n)
    return study


def choose(trial: Trial, space: Space) -> dict[str, Any]:
    """Return the values that a trial asks for, by field."""
    return {name: trial.suggest_categorical(name, values) for name, values in space.items()}


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have an answer, pruned ones included, in order."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def results(study: optuna.Study) -> list[FrozenTrial]:
    """Return what was found so far, each choice of values once, best first; pruned ones last.

    The attribute ``scores`` of a trial holds the weighted validation loss at its last record, 1
    for an even guess, the mean accuracy on validation inputs, and the epoch.
    """
    first = {json.dumps(one.params): one for one in reversed(finished(study))}.values()
    return sorted(first, key=lambda one: (one.state, one.user_attrs["scores"][0], one.number))


def open_storage(storage: str | BaseStorage | None = None) -> BaseStorage:
    """Return the storage of an Optuna URL; that of a SQLite file among the runs if not given."""
    if storage is None:
        runs_root().mkdir(parents=True, exist_ok=True)
        storage = URL.create("sqlite", database=str(runs_root() / "searches.db")).render_as_string()
    try:
        return optuna.storages.get_storage(storage)
    except Exception as error:  # each database has errors of its own
        raise RunError(
            f"the storage {storage} cannot be used: {str(error).splitlines()[0]}; "
            "give an Optuna storage URL, such as sqlite:///search.db"
        ) from error


def open_study(
    base: Config, space: Space, name: str | None = None, storage: str | BaseStorage | None = None,
    seed: int = 0,
) -> optuna.Study:  # fmt: skip
    """Return the study called `study_name`, in `open_storage`, new or as it was left."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what fails is raised as well
    name = study_name(base, space, name)
    study = optuna.create_study(storage=open_storage(storage), study_name=name, load_if_exists=True)
    before = len(study.get_trials(deepcopy=False))
    # A sampler that began anew would ask its first questions again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + before, constant_liar=True)
    patience = round(PATIENCE * base.train.epochs)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=patience)
    return study


def study_name(base: Config, space: Space, name: str | None = None) -> str:
    """Return a name, the task's by default, with a digest of what is asked and of the training."""
    rule = "" if base.optim.update.startswith("miiii_book.") else rule_digest(base.optim)
    question = json.dumps([base.digest, TRAINING_VERSION, dict(space), *filter(None, [rule])])
    return f"{name or base.task.name}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"


def _train(config: Config, trial: Trial) -> float:
    """Return the loss at the end; TrialPruned once the trial is behind its elders, or diverges."""
    config = config.replace(**RECORDING)
    task, loss, accuracy, epoch = task_of(config), np.inf, 0.0, 0
    try:
        for now in fit(config, task, initial_state(config, task)):
            if now.metrics is None:
                continue
            loss, epoch = float(now.metrics["loss"][1] @ task.loss_weights), now.epoch
            accuracy = float(now.metrics["accuracy"][1].mean())
            if not np.isfinite(loss):
                raise TrainingDiverged
            trial.report(loss, epoch)
            if not now.last and trial.should_prune():
                raise optuna.TrialPruned
    except TrainingDiverged:
        loss = np.inf
        raise optuna.TrialPruned from None
    finally:
        trial.set_user_attr("scores", [loss, accuracy, epoch])
        jax.clear_caches()  # hundreds of programs would use up what Linux lets a process map
    return loss
